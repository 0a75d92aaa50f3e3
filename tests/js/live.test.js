import assert from "node:assert/strict";
import { test } from "node:test";

import { keyOf } from "../../static/js/live/key_events.js";
import { KEEP, Store } from "../../static/js/live/store.js";
import { fromBytes, hexDump, number, show, size, toBytes, unshow } from "../../static/js/live/text.js";

const all = Uint8Array.from({ length: 256 }, (_, at) => at);
const frame = (count, from = 0) => ({ p: Array.from({ length: count }, (_, at) => `m${from + at}`), at: [[1000, count]], channels: ["a"], c: 0, subs: [["channel", "a"]], s: 0, big: [] });

test("every byte survives the way to text and back", () => {
  assert.deepEqual(toBytes(fromBytes(all)), all);
  assert.deepEqual(toBytes(unshow(show(fromBytes(all)))), all);
});

test("text is shown as it is and the rest as escapes that can be retyped", () => {
  assert.equal(show("olá 😀"), "olá 😀");
  assert.equal(show("a\n\\\u0000\udcff"), "a\\n\\\\\\x00\\xff");
  assert.equal(unshow("a\\n\\\\\\x00\\xff"), "a\n\\\u0000\udcff");
  assert.equal(unshow("100%\\z"), "100%\\z");
});

test("a surrogate pair is a character, not bytes", () => {
  assert.deepEqual([...toBytes("😀")], [0xf0, 0x9f, 0x98, 0x80]);
  assert.deepEqual([...toBytes("x\udcf0\udc9fy")], [120, 0xf0, 0x9f, 121]);
});

test("hex has sixteen bytes a line", () => {
  assert.equal(hexDump(all.subarray(64, 81)), "00000000  40 41 42 43 44 45 46 47  48 49 4a 4b 4c 4d 4e 4f  @ABCDEFGHIJKLMNO\n00000010  50                                                P");
});

test("numbers and sizes are for people", () => {
  assert.equal(number(1482911), "1\u202f482\u202f911");
  assert.equal(size(46_500), "46.5 kB");
});

test("the store keeps the newest and says how many have left", () => {
  const store = new Store();
  for (let at = 0; at < 30; at++) store.addBatch(frame(1000, at * 1000));
  assert.equal(store.end - store.visibleStart, KEEP);
  assert.equal(store.row(store.end - 1).payload, "m29999");
  assert.equal(store.row(store.visibleStart).payload, "m10000");
  assert.equal(store.rolled + store.length, 30_000);
});

test("one frame bigger than the store is cut to its newest rows", () => {
  const store = new Store();
  store.addBatch(frame(KEEP + 500));
  assert.equal(store.row(store.visibleStart).payload, "m500");
});

test("columns with one value or many are told apart, and marks have their place", () => {
  const store = new Store();
  store.addMark(5, "gap", "gap");
  store.addBatch({ p: ["x", "y"], at: [[7, 1], [8, 1]], channels: ["a", "b"], c: [1, 0], subs: [["pattern", "*"]], s: 0, big: [[1, 9000, 3]] });
  assert.deepEqual(store.row(0), { at: 5, text: "gap", kind: "gap" });
  assert.deepEqual(store.row(1), { number: 1, at: 7, channel: "b", sub: ["pattern", "*"], payload: "x", big: undefined });
  assert.deepEqual(store.row(2).big, { size: 9000, id: 3 });
});

test("what came during a pause is taken over in order", () => {
  const store = new Store(), meanwhile = new Store();
  store.addBatch(frame(3));
  meanwhile.addBatch(frame(3, 3));
  store.absorb(meanwhile);
  assert.deepEqual([0, 1, 2, 3, 4, 5].map((at) => store.row(at).payload), ["m0", "m1", "m2", "m3", "m4", "m5"]);
});

test("a key's address names its server, db and bytes", () => {
  assert.deepEqual(keyOf("/sub/servers/prod/3/keys/_w/pane/"), { base: "/sub/servers/prod/", db: "3", name: "\udcff" });
  assert.equal(keyOf("/servers/prod/0/keys/~/").name, "");
  assert.equal(keyOf("/servers/"), null);
});
