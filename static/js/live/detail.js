// One message, whole: its faces are text, JSON, hex, and whatever decoder of the console is asked.
import { clock, hexDump, number, show, size, toBase64, toBytes } from "./text.js";

const SHOWN = 1_000_000; // characters put on the page

export class Detail {
  constructor(box, url, { askWhole }) {
    Object.assign(this, { box, url, askWhole, face: "auto" });
    box.addEventListener("click", ({ target }) => this.click(target));
    box.addEventListener("change", ({ target }) => { if (target.matches("select")) this.decode(target.value); });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !box.hidden && !document.querySelector("dialog[open]")) this.close(); });
  }

  open(message) {
    this.message = { ...message };
    this.box.hidden = false;
    this.box.replaceChildren(this.head(), this.body = element("div", "live-detail-body"));
    this.show();
  }

  close() { this.box.hidden = true; this.message = null; }

  /** The whole payload of a big message has come. */
  setWhole(id, payload) {
    if (this.message?.big?.id !== id) return;
    Object.assign(this.message, { payload, big: null });
    this.open(this.message);
  }

  head() {
    const { at, channel, sub, payload, big } = this.message, head = element("header", "live-detail-head");
    const bytes = big ? big.size : toBytes(payload).length;
    const facts = element("span", "muted", `${clock(at)} · ${size(bytes)}${sub[0] === "channel" ? "" : ` · by ${sub[0]} ${show(sub[1])}`}`);
    facts.title = `${new Date(at).toISOString()} · ${number(bytes)} bytes`;
    const faces = element("span", "segmented");
    for (const face of ["auto", "text", "json", "hex"]) faces.append(Object.assign(element("button", "", { auto: "Auto", text: "Text", json: "JSON", hex: "Hex" }[face]), { type: "button", name: face }));
    const select = element("select", "select select-small");
    select.setAttribute("aria-label", "Read with a decoder");
    select.append(new Option("Decode …", ""), document.getElementById("live-decoders").content.cloneNode(true));
    const acts = [big ? button("whole", `Load all ${size(big.size)}`) : null, button("copy", "Copy"), button("close", "Close")].filter(Boolean);
    head.append(element("b", "mono", show(channel)), facts, faces, select, ...acts);
    return head;
  }

  click(target) {
    const face = target.closest(".segmented button")?.name, act = target.closest("[data-do]")?.dataset.do;
    if (face) { this.face = face; this.show(); }
    if (act === "close") this.close();
    if (act === "whole") this.askWhole(this.message.big.id);
    if (act === "copy") navigator.clipboard?.writeText(show(this.message.payload, true));
  }

  show() {
    const { payload, big } = this.message;
    for (const each of this.box.querySelectorAll(".segmented button")) each.setAttribute("aria-pressed", String(each.name === this.face));
    const odd = /[\udc80-\udcff]/.test(payload) && !isText(payload);
    const face = this.face === "auto" ? (odd ? "hex" : "json") : this.face;
    const json = face === "json" ? pretty(payload) : null;
    const text = json ?? (face === "hex" ? hexDump(toBytes(payload)) : payload.slice(0, SHOWN));
    const pre = element("pre", "mono value-text", face === "text" || (face === "json" && !json) ? shownLines(text) : text);
    const notes = [];
    if (this.face === "json" && !json) notes.push(big ? "This is the beginning only; load all of it to read it as JSON." : "This is not JSON.");
    if (big) notes.push(`The first ${number(toBytes(payload).length)} of ${number(big.size)} bytes.`);
    if (payload.length > SHOWN && face !== "hex") notes.push(`The first ${number(SHOWN)} characters are shown; Copy takes all.`);
    this.body.replaceChildren(...notes.map((note) => element("p", "muted live-note", note)), pre);
  }

  decode(name) {
    if (!name) { this.show(); return; }
    const place = element("div", "");
    place.id = "_payload";
    this.body.replaceChildren(place);
    const values = { payload: toBase64(toBytes(this.message.payload)), as: name, ...(this.message.big ? { partial: "1" } : {}) };
    window.htmx.ajax("POST", this.url, { target: place, swap: "outerHTML", values });
  }
}

const isText = (payload) => !/[\udc80-\udcff]/.test(payload.replace(/[\ud800-\udbff][\udc00-\udfff]/g, ""));
const shownLines = (text) => text.split("\n").map((line) => show(line.replaceAll("\t", "    "), true)).join("\n");

/** JSON with its digits and strings as they are: only white space changes. */
function pretty(text) {
  try { JSON.parse(text); } catch { return null; }
  if (!/^\s*[[{]/.test(text) || text.length > SHOWN) return text;
  let out = "", depth = 0, fresh = false;
  const newline = () => `\n${"  ".repeat(depth)}`;
  for (const token of text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g) || []) {
    const closes = token === "}" || token === "]";
    if (closes) depth--;
    if (fresh !== closes && (fresh || closes)) out += newline();
    fresh = token === "{" || token === "[";
    if (fresh) depth++;
    out += token === "," ? `,${newline()}` : token === ":" ? ": " : token;
  }
  return out;
}

function element(tag, name, text = "") { const made = document.createElement(tag); if (name) made.className = name; if (text) made.textContent = text; return made; }

function button(act, label) { const made = element("button", "button button-small", label); made.type = "button"; made.dataset.do = act; return made; }
