// The newest messages, kept as the frames they came in: no object a message, rows are made when they are looked at.
export const KEEP = 20000;

export class Store {
  constructor() { this.clear(); this.rolled = 0; }

  clear() { this.parts = []; this.length = 0; this.first = 0; this.marks = 0; }

  /** A frame of messages; `first` is the running number of the oldest row kept. */
  addBatch(frame) {
    if (!frame.p.length) return;
    const times = [];
    for (const [at, count] of frame.at) for (let n = 0; n < count; n++) times.push(at);
    this.add({ frame, times, big: new Map(frame.big.map(([row, size, id]) => [row, { size, id }])), length: frame.p.length });
  }

  /** A row that is no message: a gap, something dropped. */
  addMark(at, text, kind) { this.marks++; this.add({ mark: { at, text, kind }, length: 1 }); }

  add(part) {
    part.start = this.first + this.length;
    this.parts.push(part);
    this.length += part.length;
    this.trim();
  }

  trim() {
    let gone = 0;
    while (this.length > KEEP && this.parts.length > 1 && this.length - this.parts[0].length >= KEEP) {
      const part = this.parts.shift();
      this.first += part.length;
      this.length -= part.length;
      if (part.frame) this.rolled += part.length;
      else this.marks--;
      gone += part.length;
    }
    return gone;
  }

  /** Rows are addressed from the newest KEEP on; older ones of a frame that is partly over are left out. */
  get visibleStart() { return this.first + Math.max(0, this.length - KEEP); }

  /** Messages that have left the list to make room. */
  get left() { return this.rolled + Math.max(0, this.length - KEEP); }

  get end() { return this.first + this.length; }

  row(number) {
    const part = this.find(number);
    if (!part) return null;
    if (part.mark) return part.mark;
    const { frame } = part, at = number - part.start;
    const sub = frame.subs[typeof frame.s === "number" ? frame.s : frame.s[at]];
    return { number, at: part.times[at], channel: frame.channels[typeof frame.c === "number" ? frame.c : frame.c[at]], sub, payload: frame.p[at], big: part.big.get(at) };
  }

  find(number) {
    let low = 0, high = this.parts.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1, part = this.parts[middle];
      if (number < part.start) high = middle - 1;
      else if (number >= part.start + part.length) low = middle + 1;
      else return part;
    }
    return null;
  }

  /** Take over what another store gathered meanwhile. */
  absorb(other) {
    for (const part of other.parts) { if (part.mark) this.marks++; this.add(part); }
    this.rolled += other.rolled;
  }
}
