"""The diff of two values of a key: by field or member where the type has them, by lines of the decoded text or elements else.

A diff is JSON: {"types": [before, after], "lines": [[sign, text]], "more": lines left out, "same": parts that are alike, "note": why it is
not whole}. Signs: "-" before, "+" after, " " alike.
"""

import difflib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from keyspace.backups.dumps import type_of
from keyspace.backups.typed import NotTyped, Piece, TypedPiece, read_typed, unpack
from keyspace.decoders import decode_value
from keyspace.encoding import to_text
from keyspace.servers import Client

MOST_PARTS, MOST_BYTES = 20_000, 8 * 1024 * 1024
MOST_LINES, LONGEST_LINE = 500, 500
HARD_LINES = 1500
CONTEXT = 3
Lines = list[tuple[str, str]]


def diff_key(old: Client, new: Client, db: int, name: bytes) -> dict[str, Any]:
    """Between two servers; an empty type says that a side has no such key."""
    types = [kind if (kind := type_of(client, name)) != "none" else "" for client in (old, new)]
    sides = [_Value(client, db, name, kind) for client, kind in zip((old, new), types, strict=True)]
    note = next((side.note for side in sides if side.note), "")
    if types[0] == types[1] and types[0] in ("hash", "set", "zset"):
        lines, same = _by_part(*sides) if not note else ([], 0)
    else:
        lines, same = _by_line(sides[0].lines(), sides[1].lines())
    shown = [[sign, text[:LONGEST_LINE]] for sign, text in lines[:MOST_LINES]]
    return {"types": types, "lines": shown, "more": len(lines) - len(shown), "same": same, "note": note}


class _Value:
    """A value in its typed form, as much of it as is compared."""

    def __init__(self, client: Client, db: int, name: bytes, kind: str) -> None:
        self.kind, self.note = kind, ""
        self.parts: list[Any] = []
        self.text = b""
        self.groups: list[Piece] = []
        try:
            for piece in read_typed(client, db, name, kind, None) if kind else ():
                if self._is_full(piece):
                    break
        except NotTyped as problem:
            self.note = problem.sentence

    def _is_full(self, piece: TypedPiece) -> bool:
        value = piece.piece["value"]
        if piece.type in ("string", "ReJSON-RL"):
            self.text += unpack(value)
        else:
            self.parts += value
        self.groups += piece.piece.get("groups", [])
        full = len(self.text) > MOST_BYTES or len(self.parts) > MOST_PARTS
        if full and not piece.last:
            self.note = (
                f"Only the first {len(self.text):,} bytes"
                if self.text
                else f"Only the first {len(self.parts):,} parts"
            )
            self.note = self.note.replace(",", " ") + " are compared here: it is too long."
        return full

    def by_name(self) -> dict[str, str]:
        """Field or member -> its value, score, or nothing."""
        pairs = (
            (part, "") if not isinstance(part, list) else (part[0], _words(part[1:])) for part in self.parts
        )
        return {_text(name): words for name, words in pairs}

    def lines(self) -> list[str]:
        if self.kind in ("string", "ReJSON-RL"):
            return decode_value(self.text[:MOST_BYTES]).text.splitlines()
        lines = [_words(part if isinstance(part, list) else [part]) for part in self.parts]
        return lines + [_group_line(group) for group in self.groups]


def _text(value: Any) -> str:
    return to_text(unpack(value))


def _words(values: list[Any]) -> str:
    """The rest of a part on one line: a value, a score, a stream entry's words, when a field expires."""
    out = []
    for value in values:
        if isinstance(value, list):
            out += [_text(word) for word in value]
        else:
            out.append(f"(expires {value})" if isinstance(value, int) else _text(value))
    return "  ".join(out)


def _group_line(group: Piece) -> str:
    consumers = ", ".join(_text(name) for name in group["consumers"])
    return f"group {_text(group['name'])}: at {_text(group['last_id'])}, {len(group['pending'])} pending, consumers {consumers or 'none'}"


def _by_part(old: _Value, new: _Value) -> tuple[Lines, int]:
    """By field or member, in the order of their names; whatever order the server has them in does not count."""
    before, after = old.by_name(), new.by_name()
    lines: Lines = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            lines += [
                (sign, _pair(name, side[name]))
                for sign, side in (("-", before), ("+", after))
                if name in side
            ]
    same = sum(1 for name, words in before.items() if after.get(name) == words)
    return lines, same


def _pair(name: str, words: str) -> str:
    return f"{name}: {words}" if words else name


def _by_line(old: list[str], new: list[str]) -> tuple[Lines, int]:
    """A diff by lines, with some that are alike around what differs. What is alike at both ends is cut off first, and a middle that is
    too long to be matched line by line is shown as gone and come."""
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    middle = old[head : len(old) - tail], new[head : len(new) - tail]
    around = old[max(0, head - CONTEXT) : head], old[len(old) - tail :][:CONTEXT]
    lines: Lines = [(" ", line) for line in around[0]]
    if max(map(len, middle)) > HARD_LINES:
        lines += [("-", line) for line in middle[0]] + [("+", line) for line in middle[1]]
    else:
        lines += list(_matched(*middle))
    return lines + [(" ", line) for line in around[1]], head + tail


def _alike(old: list[str], new: list[str]) -> int:
    """How many lines at the beginning are alike."""
    return next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
        min(len(old), len(new)),
    )


def _matched(old: list[str], new: list[str]) -> Iterator[tuple[str, str]]:
    found = islice(difflib.unified_diff(old, new, n=CONTEXT, lineterm=""), 3, None)  # after its head
    for line in found:
        yield ("…", "") if line.startswith("@@") else (line[0], line[1:])
