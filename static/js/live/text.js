// Text of the stream holds every byte: UTF-8 as it is, any other byte as a lone surrogate U+DC80..U+DCFF (keyspace/pubsub/subscriptions.py).
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };
const BACK = { n: 10, r: 13, t: 9, a: 7, b: 8, "\\": 92, '"': 34 };
const ODD = /[\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/u;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const hex = (byte) => byte.toString(16).padStart(2, "0");

/** As a person may read and retype it, like keyspace.encoding.to_text: what does not print becomes an escape. */
export function show(text, keepBackslash = false) {
  if (!ODD.test(text)) return text;
  let out = "";
  for (const char of text) {
    const code = char.codePointAt(0);
    if (char === "\\" && keepBackslash) out += char;
    else if (NAMED[char]) out += NAMED[char];
    else if (code >= 0xdc80 && code <= 0xdcff) out += `\\x${hex(code - 0xdc00)}`;
    else if (code < 32 || (code > 126 && code < 160) || code === 0x2028 || code === 0x2029) out += [...encoder.encode(char)].map((byte) => `\\x${hex(byte)}`).join("");
    else out += char;
  }
  return out;
}

/** The way back from `show`: text of the stream. */
export function unshow(shown) {
  const bytes = [];
  for (let at = 0; at < shown.length; ) {
    const escape = /^\\(?:x([0-9a-fA-F]{2})|([nrtab\\"]))/.exec(shown.slice(at, at + 4));
    if (escape) {
      bytes.push(escape[1] ? parseInt(escape[1], 16) : BACK[escape[2]]);
      at += escape[0].length;
    } else {
      const char = String.fromCodePoint(shown.codePointAt(at));
      bytes.push(...encoder.encode(char));
      at += char.length;
    }
  }
  return fromBytes(new Uint8Array(bytes));
}

/** The exact bytes behind text of the stream. */
export function toBytes(text) {
  const parts = [];
  let start = 0, size = 0;
  const add = (part) => { parts.push(part); size += part.length; };
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const before = at ? text.charCodeAt(at - 1) : 0;
    if (code < 0xdc80 || code > 0xdcff || (before >= 0xd800 && before <= 0xdbff)) continue;
    if (start < at) add(encoder.encode(text.slice(start, at)));
    add(new Uint8Array([code - 0xdc00]));
    start = at + 1;
  }
  if (start < text.length) add(encoder.encode(text.slice(start)));
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { bytes.set(part, at); at += part.length; }
  return bytes;
}

/** Text of the stream for these bytes. */
export function fromBytes(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    let out = "";
    for (let at = 0; at < bytes.length; ) {
      const length = [1, 2, 3, 4].find((count) => at + count <= bytes.length && isCharacter(bytes.subarray(at, at + count)));
      out += length ? decoder.decode(bytes.subarray(at, at + length)) : String.fromCharCode(0xdc00 + bytes[at]);
      at += length || 1;
    }
    return out;
  }
}

function isCharacter(bytes) {
  try { return [...decoder.decode(bytes)].length === 1; } catch { return false; }
}

export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Sixteen bytes a line: offset, hex, printable. */
export function hexDump(bytes, limit = 65536) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, limit); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const digits = row.map(hex).join(" ").padEnd(47).replace(/^(.{23}) /, "$1  ");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${digits}  ${row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("")}`);
  }
  if (bytes.length > limit) lines.push(`… ${number(bytes.length - limit)} more bytes`);
  return lines.join("\n");
}

export const number = (value) => String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

export function rate(value) {
  return value >= 100 ? number(Math.round(value)) : value >= 10 ? String(Math.round(value)) : value > 0 ? value.toFixed(1) : "0";
}

export function size(bytes) {
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (bytes >= step) return `${(bytes / step).toFixed(bytes / step < 99.95 ? 1 : 0)} ${unit}`;
  return `${bytes} B`;
}

const two = (value) => String(value).padStart(2, "0");

/** 16:42:07.123, in the reader's zone. */
export function clock(ms) {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

export function span(ms) {
  const s = Math.floor(ms / 1000);
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  return s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} m ${two(s % 60)} s` : `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} m`;
}
