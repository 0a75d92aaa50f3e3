// Messages a second of the last minutes, one line a channel: the busiest by name, the others together.
import { rate, show } from "./text.js";

const SECONDS = 300, LINES = 5, HUES = ["--accent", "--hash", "--list", "--zset", "--set"], OTHERS = "others";

export class Chart {
  constructor(box, url) {
    this.box = box;
    this.seconds = [];
    this.names = [];
    this.reading = box.appendChild(Object.assign(document.createElement("div"), { className: "live-reading", hidden: true }));
    import(url).then(({ uPlot }) => { this.uPlot = uPlot; this.build(); }).catch(() => { box.hidden = true; });
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(box);
    window.addEventListener("themechange", () => this.build());
  }

  size() { return { width: Math.max(120, this.box.clientWidth), height: Math.max(60, this.box.clientHeight) }; }

  /** One second of the server's: [[channel, messages], ...], and how many came on the others. */
  add({ at, by, rest }) {
    this.seconds.push({ at: at / 1000, by: new Map(by), rest });
    while (this.seconds.length > SECONDS) this.seconds.shift();
    this.draw();
  }

  clear() { this.seconds = []; this.draw(); }

  busiest() {
    const totals = new Map();
    for (const { by } of this.seconds) for (const [name, count] of by) totals.set(name, (totals.get(name) || 0) + count);
    return [...totals].sort((a, b) => b[1] - a[1]).slice(0, LINES).map(([name]) => name);
  }

  draw() {
    if (!this.uPlot || document.hidden) return;
    const names = this.busiest();
    if (names.join("\0") !== this.names.join("\0")) { this.names = names; this.build(); return; }
    this.plot.setData(this.data());
  }

  data() {
    const end = this.seconds.length ? this.seconds[this.seconds.length - 1].at : Date.now() / 1000;
    const lines = this.names.map((name) => this.seconds.map(({ by }) => by.get(name) || 0));
    const others = this.seconds.map(({ by, rest }) => rest + [...by].reduce((sum, [name, count]) => sum + (this.names.includes(name) ? 0 : count), 0));
    const begin = this.seconds.length ? this.seconds[0].at : end;
    this.span = [end - Math.min(SECONDS, Math.max(60, end - begin)), end];
    return [this.seconds.map(({ at }) => at), ...lines, others];
  }

  build() {
    if (!this.uPlot) return;
    this.plot?.destroy();
    const line = (label, hue, fill) => ({ label: show(label), stroke: this.colour(hue), width: 1.25, points: { show: false }, fill: fill ? this.colour(hue, 8) : undefined });
    const axis = { stroke: this.colour("--muted"), grid: { stroke: this.colour("--line"), width: 1 }, ticks: { show: false }, font: "11px Inter Variable, sans-serif" };
    this.plot = new this.uPlot({
      ...this.size(), padding: [8, 8, 0, 8], cursor: { y: false, points: { size: 6 } }, legend: { show: false },
      scales: { x: { range: () => this.span }, y: { range: (_, min, max) => [0, Math.max(4, max * 1.15)] } },
      axes: [{ ...axis, size: 22, grid: { show: false }, incrs: [15, 30, 60], values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, tick % 60 ? 8 : 5)), space: 110 }, { ...axis, size: 46, values: (_, ticks) => ticks.map(rate), space: 30 }],
      hooks: { setCursor: [(plot) => this.read(plot)] },
      series: [{}, ...this.names.map((name, at) => line(name, HUES[at], at === 0)), line(OTHERS, "--faint", false)],
    }, this.data(), this.box);
    this.plot.setData(this.data());
  }

  /** What the lines say where the pointer is. */
  read({ cursor: { idx } }) {
    const second = idx == null ? null : this.seconds[idx];
    this.reading.hidden = !second;
    if (!second) return;
    const parts = this.names.filter((name) => second.by.get(name)).map((name) => Object.assign(document.createElement("b"), { className: this.colourOf(name), textContent: `${show(name)} ${rate(second.by.get(name))} /s` }));
    this.reading.replaceChildren(new Date(second.at * 1000).toTimeString().slice(0, 8), ...parts);
  }

  /** A token as a colour that a canvas understands, at a share (percent) of its strength. */
  colour(token, strength = 100) {
    this.probe ||= this.box.appendChild(Object.assign(document.createElement("i"), { hidden: true }));
    this.probe.style.color = `color-mix(in srgb, var(${token}) ${strength}%, transparent)`;
    return getComputedStyle(this.probe).color;
  }

  colourOf(name) { const at = this.names.indexOf(name); return at < 0 ? "" : `live-hue-${at}`; }
}
