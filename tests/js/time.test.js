import assert from "node:assert/strict";
import { test } from "node:test";

import { agoText, lifeText, momentText } from "../../static/js/time.js";

// The same words as tests/console/test_format.py asks of the server.
for (const [ms, words] of [[1, "1 s"], [0, "0 s"], [59_999, "1 m"], [3_552_000, "59 m 12 s"], [86_405_000, "1 d"], [273_600_000, "3 d 4 h"], [63_072_000_000, "2 y"]]) {
  test(`a life of ${ms} ms is ${words}`, () => assert.equal(lifeText(ms), words));
}

for (const [seconds, words] of [[0, "now"], [42, "42 s ago"], [130, "2 min ago"], [46_800, "13 h ago"], [432_000, "5 d ago"], [-4000, "in 1 h"], [86_400_000, "2 y ago"]]) {
  test(`${seconds} s before now is ${words}`, () => assert.equal(agoText(seconds * 1000), words));
}

test("a moment is as short as its day allows", () => {
  const today = new Date(2026, 10, 24, 18);
  assert.equal(momentText(new Date(2026, 10, 24, 16, 42, 7), today), "16:42:07");
  assert.equal(momentText(new Date(2026, 10, 3, 16, 42), today), "3 Nov 16:42");
  assert.equal(momentText(new Date(2031, 0, 1, 6, 2), today), "2031-01-01 06:02");
});
