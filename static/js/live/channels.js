// The table of channels: what is subscribed on top with its rates, then what the server says it has. Thousands of rows, a virtual list.
import { VirtualList } from "./list.js";
import { number, rate, show, size, unshow } from "./text.js";

const POLL_MS = 4000;
const keyOf = ([kind, name]) => `${kind}\0${name}`;

export class Channels {
  constructor(root, url, { toggle }) {
    Object.assign(this, { root, url, toggle, found: [], rows: [], subscribed: [], state: new Map(), rates: new Map(), text: "" });
    this.list = new VirtualList(root.querySelector("[data-channels-here]"), { make: (row) => this.make(row), fill: (row, at) => this.fill(row, at) });
    this.form = root.querySelector("[data-find]");
    this.offers = root.querySelector("[data-subscribe]");
    this.listen();
    this.keepPolling();
  }

  listen() {
    this.form.elements.find.addEventListener("input", () => this.find());
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.subscribeTyped(); });
    this.offers.addEventListener("click", ({ target }) => { const kind = target.closest("[data-kind]")?.dataset.kind; if (kind) this.subscribeTyped(kind); });
    this.list.box.addEventListener("click", ({ target }) => { const row = target.closest(".live-ch"); if (row?.pair) this.toggle(row.pair); });
    this.list.box.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.pair) this.toggle(event.target.pair); });
    this.root.querySelector("[data-unit]").addEventListener("click", ({ target }) => { this.bytes = !this.bytes; target.textContent = this.bytes ? "B/s" : "msg/s"; this.list.ask(); });
    this.root.addEventListener("click", ({ target }) => { const name = target.closest("[data-subscribe-to]")?.dataset.subscribeTo; if (name) this.toggle(["pattern", name], true); });
  }

  subscribeTyped(kind) {
    const text = this.form.elements.find.value;
    if (!text) return;
    this.toggle([kind || (/[*?[]/.test(text) ? "pattern" : "channel"), unshow(text)], true);
    this.form.elements.find.value = "";
    this.find();
  }

  find() {
    this.text = this.form.elements.find.value;
    this.offers.hidden = !this.text;
    for (const code of this.offers.querySelectorAll("code")) code.textContent = this.text;
    this.arrange();
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.poll(), 250);
  }

  /** A server with very many channels is asked less often. */
  async keepPolling() {
    const began = performance.now();
    await this.poll();
    setTimeout(() => this.keepPolling(), Math.max(POLL_MS, (performance.now() - began) * 20));
  }

  async poll() {
    if (document.hidden) return;
    const answer = await fetch(this.url, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok) return;
    const columns = await answer.json();
    this.found = columns.names.map((name, at) => ({ pair: [columns.kinds[at], name], shown: show(name), subscribers: columns.subscribers[at] }));
    this.root.querySelector("[data-total]").textContent = number(columns.total);
    this.root.querySelector("[data-total]").title = `${columns.patterns} patterns are held by clients`;
    const silent = this.root.querySelector("[data-silent]");
    silent.hidden = !columns.silent;
    silent.textContent = `${columns.silent} of the cluster's nodes did not answer`;
    this.arrange();
  }

  setSubscribed(pairs) { this.subscribed = pairs; this.arrange(); }

  /** [[kind, name, on, problem], ...] as the socket tells. */
  setState(state) {
    this.state = new Map(state.map(([kind, name, on, problem]) => [keyOf([kind, name]), { on, problem }]));
    this.list.ask();
  }

  /** Totals of each subscription: rates are their differences. */
  setTotals(at, totals) {
    for (const [kind, name, messages, bytes] of totals) {
      const key = keyOf([kind, name]), before = this.rates.get(key), seconds = before ? (at - before.at) / 1000 : 0;
      this.rates.set(key, { at, messages, bytes, rate: seconds > 0 ? (messages - before.messages) / seconds : 0, bytesRate: seconds > 0 ? (bytes - before.bytes) / seconds : 0 });
    }
    this.list.ask();
  }

  arrange() {
    const counts = new Map(this.found.map((row) => [keyOf(row.pair), row.subscribers]));
    const mine = this.subscribed.map((pair) => ({ pair, shown: show(pair[1]), subscribers: counts.get(keyOf(pair)), mine: true }));
    const held = new Set(this.subscribed.map(keyOf)), text = this.text.toLowerCase();
    const others = this.found.filter((row) => !held.has(keyOf(row.pair)) && (!text || row.shown.toLowerCase().includes(text)));
    this.rows = [...mine, ...others];
    this.list.set(0, this.rows.length);
  }

  make(row) {
    row.className = "live-ch";
    row.tabIndex = 0;
    row.setAttribute("role", "button");
    row.append(...["live-dot", "mono live-ch-name", "num", "num"].map((name) => Object.assign(document.createElement("span"), { className: name })));
  }

  fill(row, at) {
    const { pair, shown, subscribers, mine } = this.rows[at];
    const [dot, name, subs, speed] = row.children, state = this.state.get(keyOf(pair)), rates = this.rates.get(keyOf(pair));
    row.pair = pair;
    row.classList.toggle("is-on", Boolean(mine));
    row.setAttribute("aria-pressed", String(Boolean(mine)));
    dot.classList.toggle("is-waiting", Boolean(mine && !state?.on && !state?.problem));
    dot.classList.toggle("is-refused", Boolean(mine && state?.problem));
    write(name, shown);
    row.title = state?.problem || `${shown}\n${mine ? "click to unsubscribe" : "click to subscribe"}${mine && rates ? `\n${size(Math.round(rates.bytesRate))}/s` : ""}`;
    write(subs, pair[0] === "channel" ? (subscribers == null ? "" : number(subscribers)) : pair[0] === "shard" && subscribers != null ? `shard ${subscribers}` : pair[0]);
    write(speed, mine && rates ? (this.bytes ? size(Math.round(rates.bytesRate)) : rate(rates.rate)) : "");
  }
}

function write(cell, text) { if (cell.textContent !== text) cell.textContent = text; }
