// The list of messages: following the newest, paused, or standing still while it is read.
import { VirtualList } from "./list.js";
import { KEEP, Store } from "./store.js";
import { clock, show, size } from "./text.js";

const SHOWN = 400; // characters of a payload in its row

export class Stream {
  constructor(box, { onOpen, onFollow, hue }) {
    Object.assign(this, { box, hue, store: new Store(), meanwhile: null, highlight: "" });
    this.list = new VirtualList(box, { make: (row) => this.make(row), fill: (row, at) => this.fill(row, at), follow: true });
    this.list.follow = (atEnd) => { if (this.list.following !== atEnd && this.list.end) { this.list.following = atEnd; onFollow(atEnd); } };
    box.addEventListener("click", ({ target }) => { const row = target.closest(".live-row"); if (row && getSelection().isCollapsed) this.open(row.number, onOpen); });
    box.addEventListener("keydown", (event) => this.key(event, onOpen));
  }

  open(number, onOpen) {
    const row = this.store.row(number);
    if (!row || row.text !== undefined) return;
    this.opened = number;
    this.list.ask();
    onOpen(row);
  }

  key(event, onOpen) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.min(this.store.end - 1, Math.max(this.store.visibleStart, (this.opened ?? this.store.end) + step));
    this.open(next, onOpen);
    const top = (next - this.list.start) * 28;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + 28 > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + 28 - this.box.clientHeight;
  }

  get target() { return this.meanwhile || this.store; }

  get paused() { return Boolean(this.meanwhile); }

  get waiting() { return this.meanwhile ? this.meanwhile.length + this.meanwhile.rolled : 0; }

  get shown() { return Math.min(KEEP, this.store.length) - this.store.marks; }

  addBatch(frame) { this.target.addBatch(frame); this.refresh(); }

  addMark(at, text, kind) { this.target.addMark(at, text, kind); this.refresh(); }

  pause(on) {
    if (on && !this.meanwhile) this.meanwhile = new Store();
    if (!on && this.meanwhile) { const { meanwhile } = this; this.meanwhile = null; this.store.absorb(meanwhile); }
    this.refresh();
  }

  clear() { this.store = Object.assign(new Store(), { first: this.store.end }); if (this.meanwhile) this.meanwhile = new Store(); this.opened = null; this.refresh(); }

  refresh() { this.list.set(this.store.visibleStart, this.store.end); }

  setFollowing(on) { this.list.following = on; this.list.ask(); }

  make(row) {
    row.className = "live-row live-cols";
    row.append(...["live-time", "mono live-channel", "mono live-payload"].map((name) => Object.assign(document.createElement("span"), { className: name })));
  }

  fill(row, number) {
    const [time, channel, payload] = row.children, message = this.store.row(number);
    if (!message) { row.hidden = true; return; }
    row.className = message.kind ? `live-row live-cols live-mark live-mark-${message.kind}` : `live-row live-cols${number === this.opened ? " is-open" : ""}`;
    write(time, clock(message.at));
    if (message.kind) { write(channel, ""); write(payload, message.text); return; }
    channel.className = `mono live-channel ${this.hue(message.channel)}`;
    write(channel, show(message.channel));
    channel.title = message.sub[0] === "channel" ? "" : `by the ${message.sub[0] === "shard" ? "shard channel" : "pattern"} ${show(message.sub[1])}`;
    this.fillPayload(payload, message);
  }

  fillPayload(cell, message) {
    const text = show(message.payload.slice(0, SHOWN), true);
    const shown = message.big ? `${size(message.big.size)} ⋯ ${text}` : message.payload.length > SHOWN ? `${text}…` : text;
    const at = this.highlight ? shown.toLowerCase().indexOf(this.highlight) : -1;
    if (at < 0) { write(cell, shown); return; }
    cell.replaceChildren(...marked(shown, this.highlight));
  }
}

/** The text with every occurrence in <mark>. */
function marked(text, needle) {
  const parts = [], low = text.toLowerCase();
  let at = 0;
  for (let found; (found = low.indexOf(needle, at)) >= 0; at = found + needle.length) {
    const mark = document.createElement("mark");
    mark.textContent = text.slice(found, found + needle.length);
    parts.push(text.slice(at, found), mark);
  }
  return [...parts, text.slice(at)];
}

function write(cell, text) { if (cell.childElementCount || cell.textContent !== text) cell.textContent = text; }
