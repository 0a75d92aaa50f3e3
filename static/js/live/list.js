// A list of any length that lays out only the rows in sight. Rows are ROW px high and are reused as the list scrolls.
export const ROW = 28;
const SPARE = 6;

export class VirtualList {
  /** `make(element)` fills a new row's skeleton, `fill(element, number)` shows a row in it; rows are numbered from `start` to `end`. */
  constructor(box, { make, fill, follow = false }) {
    Object.assign(this, { box, fill, make, following: follow, start: 0, end: 0, rows: [], asked: 0, placed: 0 });
    this.space = box.querySelector(".live-space");
    box.addEventListener("scroll", () => this.onScroll(), { passive: true });
    new ResizeObserver(() => this.ask()).observe(box);
  }

  /** What there is now. The row in sight stays where it is when older ones go. */
  set(start, end) {
    const gone = Math.max(0, start - this.start);
    this.start = start;
    this.end = end;
    if (gone && !this.following) this.shift = (this.shift || 0) + gone * ROW;
    this.ask();
  }

  ask() { this.asked ||= requestAnimationFrame(() => { this.asked = 0; this.draw(); }); }

  onScroll() {
    // Where we put it ourselves is nobody's wish, and by the time the event comes the list may have grown below it.
    if (this.follow && Math.abs(this.box.scrollTop - this.placed) > 1) this.follow(this.box.scrollTop + this.box.clientHeight >= this.space.offsetHeight - ROW / 2);
    this.ask();
  }

  draw() {
    const count = this.end - this.start, height = `${count * ROW}px`;
    if (this.space.style.height !== height) this.space.style.height = height;
    if (this.following) { const bottom = count * ROW - this.box.clientHeight; if (Math.abs(this.box.scrollTop - bottom) > 1) this.box.scrollTop = Math.max(0, bottom); }
    else if (this.shift) { this.box.scrollTop = Math.max(0, this.box.scrollTop - this.shift); }
    this.shift = 0;
    const top = this.placed = this.box.scrollTop;
    const from = Math.max(0, Math.floor(top / ROW) - SPARE), to = Math.min(count, Math.ceil((top + this.box.clientHeight) / ROW) + SPARE);
    while (this.rows.length < to - from) this.addRow();
    this.rows.forEach((row, at) => this.place(row, from + at < to ? from + at : -1));
  }

  addRow() {
    const row = document.createElement("div");
    this.make(row);
    this.space.append(row);
    this.rows.push(row);
  }

  place(row, at) {
    row.hidden = at < 0;
    if (at < 0) return;
    row.style.transform = `translateY(${at * ROW}px)`;
    row.number = this.start + at;
    this.fill(row, this.start + at);
  }
}
