// A recording, opened: its time line with gaps, a place to play from, a speed.
import { clock, number, show } from "./text.js";

const SPEEDS = [[1, "1 ×"], [5, "5 ×"], [20, "20 ×"], [0, "as fast as it goes"]];
const SVG = "http://www.w3.org/2000/svg";

export class Replay {
  constructor(box, url, { play, stop }) {
    Object.assign(this, { box, url, play, stop });
    box.addEventListener("change", ({ target }) => { if (target.matches("select") && this.playing) this.from(this.at); });
    box.addEventListener("click", (event) => this.click(event));
  }

  async open(id) {
    const answer = await fetch(`${this.url}${encodeURIComponent(id)}/`, { headers: { Accept: "application/json" } }).catch(() => null);
    if (!answer?.ok) { this.box.hidden = false; this.box.textContent = "This recording cannot be opened: it was deleted, or it is someone else's."; return false; }
    this.facts = await answer.json();
    this.build();
    return true;
  }

  build() {
    const { began, ended, messages, person, gaps, subscriptions } = this.facts;
    this.box.hidden = false;
    const speed = Object.assign(document.createElement("select"), { className: "select select-small" });
    speed.setAttribute("aria-label", "Speed");
    speed.append(...SPEEDS.map(([value, label]) => new Option(label, value)));
    this.speed = speed;
    const words = Object.assign(document.createElement("span"), { className: "live-replay-words" });
    words.textContent = `Recording by ${person}, ${new Date(began).toLocaleDateString()} ${clock(began)} to ${clock(ended)}: ${number(messages)} messages of ${subscriptions.map(([, name]) => show(name)).join(", ")}${gaps.length ? `, ${gaps.length} gap${gaps.length > 1 ? "s" : ""}` : ", lossless"}`;
    this.button = Object.assign(document.createElement("button"), { type: "button", className: "button button-small", textContent: "Play" });
    this.where = Object.assign(document.createElement("span"), { className: "mono live-where", textContent: clock(began) });
    const row = Object.assign(document.createElement("div"), { className: "live-replay-row" });
    row.append(this.button, speed, this.where, words);
    this.box.replaceChildren(row, this.line());
  }

  line() {
    const { bars, gaps, began, ended } = this.facts, most = Math.max(1, ...bars);
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${bars.length} 40`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("class", "live-bars");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Messages over time; click to play from there");
    const rect = (x, width, height, name) => { const made = document.createElementNS(SVG, "rect"); for (const [key, value] of Object.entries({ x, width, height, y: 40 - height, class: name })) made.setAttribute(key, value); svg.append(made); return made; };
    bars.forEach((count, at) => { if (count) rect(at, 0.8, Math.max(1, (count / most) * 38), "live-bar"); });
    const place = (ms) => ((ms - began) / (ended - began)) * bars.length;
    for (const gap of gaps) rect(place(gap.since), Math.max(0.5, place(gap.until ?? gap.since) - place(gap.since)), 40, "live-bar-gap");
    this.hand = rect(0, 0.4, 40, "live-hand");
    return svg;
  }

  click({ target, clientX }) {
    const svg = target.closest("svg");
    if (svg) {
      const { left, width } = svg.getBoundingClientRect();
      this.from(Math.round(this.facts.began + ((clientX - left) / width) * (this.facts.ended - this.facts.began)));
    } else if (target === this.button) {
      if (this.playing) { this.playing = false; this.stop(); this.mark(); } else this.from(this.at >= this.facts.ended ? this.facts.began : this.at || this.facts.began);
    }
  }

  from(at) {
    this.playing = true;
    this.at = at;
    this.mark();
    this.play(at, Number(this.speed.value));
  }

  /** Played up to `at`. */
  progress(at) { this.at = at; this.mark(); }

  end() { this.playing = false; this.at = this.facts.ended; this.mark(); }

  mark() {
    const { began, ended, bars } = this.facts;
    this.hand.setAttribute("x", Math.min(bars.length - 0.4, ((this.at - began) / (ended - began)) * bars.length));
    this.where.textContent = clock(this.at);
    this.button.textContent = this.playing ? "Stop" : this.at >= ended ? "Play again" : "Play";
  }
}
