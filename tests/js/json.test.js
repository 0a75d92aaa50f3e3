import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../../static/js/json.js";

test("digits stay as they came", () => {
  assert.equal(parse("12345678901234567890.10"), "12345678901234567890.10");
});

test("names stay in order, and twice where they are twice", () => {
  const { open, lines } = parse('{"b": 1, "a": "x", "b": [true, null]}');
  assert.equal(open, "{");
  assert.deepEqual(lines.map((line) => line.name), ['"b"', '"a"', '"b"']);
  assert.deepEqual(lines[2].value.lines.map((line) => line.value), ["true", "null"]);
});

test("a string may hold what looks like structure", () => {
  assert.equal(parse(String.raw`"{\"a\": [1, 2]} \\"`), String.raw`"{\"a\": [1, 2]} \\"`);
});

test("depth has no bound", () => {
  const deep = 200_000;
  let at = parse("[".repeat(deep) + "]".repeat(deep));
  let levels = 0;
  while (at) [levels, at] = [levels + 1, at.lines[0]?.value];
  assert.equal(levels, deep);
});

test("a long string is one token", () => {
  const long = `"${"x\\n".repeat(1_000_000)}"`;
  assert.equal(parse(long).length, long.length);
});

for (const text of ["", "{", "[1", "}", "[}", "{1: 2}}", '"open', "1 2", "{[]: 1}"]) {
  test(`${JSON.stringify(text)} is not JSON`, () => assert.throws(() => parse(text)));
}
