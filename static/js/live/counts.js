// The numbers at the top: sums of what the frames say, so that each message is in exactly one of them.
import { number, rate, span } from "./text.js";

const NAMES = ["received", "matched", "buffer", "browser", "slow_filter"];

export class Counts {
  constructor(root) {
    this.root = root;
    this.cells = new Map([...root.querySelectorAll("[data-count]")].map((cell) => [cell.dataset.count, cell]));
    this.whys = new Map([...root.querySelectorAll("[data-why]")].map((cell) => [cell.dataset.why, cell]));
    this.reset();
  }

  reset() {
    for (const name of NAMES) this[name] = 0;
    this.gaps = 0;
    this.since = 0;
    this.recent = [];
  }

  add(counts) {
    for (const name of NAMES) this[name] += counts[name] || 0;
    this.gaps += counts.gaps || 0;
    if (counts.received) this.recent.push([performance.now(), counts.received]);
  }

  get dropped() { return this.buffer + this.browser + this.slow_filter; }

  /** Received a second, over the last five. */
  get rate() {
    const now = performance.now();
    while (this.recent.length && now - this.recent[0][0] > 5000) this.recent.shift();
    const over = Math.min(5, Math.max(1, (Date.now() - this.since) / 1000));
    return this.recent.reduce((sum, [, count]) => sum + count, 0) / over;
  }

  show(shown, rolled) {
    const cells = { received: number(this.received), matched: number(this.matched), shown: number(shown), rate: `${rate(this.rate)} /s` };
    cells.dropped = number(this.dropped) + (this.gaps ? ` + ${this.gaps} gap${this.gaps > 1 ? "s" : ""}` : "");
    cells.since = this.since ? span(Date.now() - this.since) : "—";
    for (const [name, text] of Object.entries(cells)) write(this.cells.get(name), text);
    this.cells.get("dropped").classList.toggle("danger", this.dropped + this.gaps > 0);
    for (const name of ["browser", "buffer", "slow_filter", "gaps"]) write(this.whys.get(name), number(this[name]));
    write(this.whys.get("rolled"), number(rolled));
  }
}

function write(cell, text) { if (cell && cell.textContent !== text) cell.textContent = text; }
