// What is watched lives in the address, so that a view can be shared: ?channel=a&pattern=b.*&shard=c&q=..&mode=..&on=..
import { show, unshow } from "./text.js";

const KINDS = ["channel", "pattern", "shard"];

export function readAddress() {
  const query = new URLSearchParams(location.search);
  const subscriptions = KINDS.flatMap((kind) => query.getAll(kind).map((name) => [kind, unshow(name)]));
  return { subscriptions, text: query.get("q") || "", mode: query.get("mode") || "contains", on: query.get("on") || "", recording: query.get("recording") };
}

export function writeAddress({ subscriptions, text, mode, on }) {
  const query = new URLSearchParams();
  for (const [kind, name] of subscriptions) query.append(kind, show(name));
  if (text) { query.set("q", text); if (mode !== "contains") query.set("mode", mode); }
  if (on) query.set("on", on);
  const search = query.size ? `?${query}` : "";
  if (search !== location.search) history.replaceState(history.state, "", location.pathname + search);
}
