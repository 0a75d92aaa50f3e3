// One key's keyspace notifications, for a page that shows the key: it hears of a change at once where the server sends events.
import { fromBytes } from "./text.js";

const TOGETHER_MS = 200; // changes that come closer together are told once
const decoder = new TextDecoder();

/** Server, db and name behind the address of a key's page or of one of its partials. */
export function keyOf(address) {
  const found = /^(.*\/servers\/[^/]+\/)(\d+)\/keys\/([^/]+)\//.exec(address);
  if (!found) return null;
  const [, base, db, id] = found;
  const bytes = id === "~" ? "" : atob(id.replaceAll("-", "+").replaceAll("_", "/"));
  return { base, db, name: fromBytes(Uint8Array.from(bytes, (char) => char.charCodeAt(0))) };
}

/** Call `onChange` after events of the key at `address`, until the function that is returned is called. A lost socket is not opened again. */
export function followKey(address, onChange) {
  const key = keyOf(address);
  if (!key) return () => {};
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${key.base}live/`);
  let soon = 0;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ op: "watch", subscriptions: [["channel", `__keyspace@${key.db}__:${key.name}`]] }));
  socket.onmessage = ({ data }) => {
    if (JSON.parse(decoder.decode(data)).t === "batch") soon ||= setTimeout(() => { soon = 0; onChange(); }, TOGETHER_MS);
  };
  return () => { clearTimeout(soon); socket.close(); };
}
