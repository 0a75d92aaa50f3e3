// The socket: opened again by itself, with growing pauses, whenever it is lost; silent ones count as lost.
const PAUSES = [250, 500, 1000, 2000, 5000, 10000], SILENT_MS = 15000;
// After these a new socket would be refused as well; too many views (4429) or a browser that slept (4410) may pass.
const FINAL = new Map([[4401, "sign-in"], [4403, "denied"]]);
const text = new TextDecoder();

export class LiveSocket {
  constructor(url, { onFrame, onState }) {
    Object.assign(this, { url, onFrame, onState, failures: 0, said: "" });
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => document.hidden || this.check());
    window.addEventListener("pagehide", () => { this.left = true; this.socket?.close(); });
    window.addEventListener("pageshow", (event) => { if (event.persisted) { this.left = false; this.open(); } });
    setInterval(() => this.check(), 5000);
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const socket = this.socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { this.heard = performance.now(); };
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.receive(typeof data === "string" ? data : text.decode(data)); };
    socket.onclose = (event) => { if (socket === this.socket) this.lost(event); };
    this.heard = performance.now();
  }

  receive(data) {
    this.heard = performance.now();
    const frame = JSON.parse(data);
    if (frame.t === "end") { this.said = `${frame.sentence} ${frame.advice}`.trim(); return; }
    if (frame.t === "hello") { this.failures = 0; this.onState("open"); }
    this.onFrame(frame);
  }

  send(op, content = {}) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify({ op, ...content }));
    return true;
  }

  lost(event) {
    if (this.left) return;
    const kind = FINAL.get(event.code);
    const why = this.said || event.reason || (navigator.onLine ? "The connection to the console was lost." : "This browser is offline.");
    this.said = "";
    this.socket = null;
    if (kind) { this.onState("ended", why, kind); return; }
    this.onState("lost", why);
    this.timer = setTimeout(() => this.open(), PAUSES[Math.min(this.failures++, PAUSES.length - 1)] * (0.8 + Math.random() * 0.4));
  }

  retry() {
    if (this.socket || this.left || !this.timer) return;
    this.failures = 0;
    this.open();
  }

  /** A laptop that slept has a socket that looks open. */
  check() {
    if (this.socket && performance.now() - this.heard > SILENT_MS) { const old = this.socket; this.lost({ code: 1006, reason: "" }); old.close(); }
  }
}
