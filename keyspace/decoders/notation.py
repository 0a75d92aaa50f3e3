"""JSON text into a tree, token by token: numbers keep their text, doubled keys stay, and what is cut gives what there is.

With `tags` it also reads what the printer writes for formats that are richer than JSON: keys of any kind, ``{"$bytes": ...}``,
hexadecimal integers. ``NaN`` and ``Infinity`` are read always, as Python and JavaScript libraries write them.
"""

import json
import re

from keyspace.decoders.base import DecodeError, Full, Limits
from keyspace.decoders.structured import Ended
from keyspace.decoders.tree import CUT, Kind, Node, Put, text

_SPACE = re.compile(r"[ \t\r\n]*+")
_SPACES = " \t\r\n"
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"')
_KEY = re.compile(rf"[ \t\r\n]*+({_STRING.pattern})[ \t\r\n]*+:")
_BEGUN = re.compile(
    r'("[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+)(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z'
)
_NUMBER = re.compile(
    r"-?(?:0x[0-9a-f]++|(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?+|Infinity)|NaN"
)
_WORD = re.compile(r"true|false|null")
_BEGUN_TOKEN = re.compile(r"[-+.0-9a-zA-Z]{1,400}\Z")


class Notation:
    """One text being read. After `read` raised Ended or Full, `root` holds what was read before."""

    def __init__(self, source: str, limits: Limits, *, tags: bool = False) -> None:
        self.source, self.limits, self.tags = source, limits, tags
        self.root: Node | None = None
        self.at = self.items = 0

    def read(self) -> Node:
        """The one value of the text. Raises DecodeError with line and column, Ended when the text stops too early, Full."""
        self._value(self._plant, 1)
        if self._next(or_end=True):
            raise self._wrong("nothing may follow the value")
        assert self.root is not None
        return self.root

    def _plant(self, node: Node) -> None:
        self.root = node

    def _next(self, *, or_end: bool = False) -> str:
        """The next sign that is no space, not yet passed over."""
        char = self.source[self.at : self.at + 1]
        if char in _SPACES:
            found = _SPACE.match(self.source, self.at)
            self.at = found.end() if found else self.at
            char = self.source[self.at : self.at + 1]
        if char or or_end:
            return char
        raise Ended("The JSON text ends before its value does.")

    def _value(self, put: Put, depth: int) -> None:
        self._count(depth)
        char = self._next()
        if char == '"':
            self._string(put)
        elif char in "{[":
            self.at += 1
            node = Node(Kind.MAP if char == "{" else Kind.LIST, [])
            put(node)
            self._map(node, depth) if char == "{" else self._list(node, depth)
        else:
            self._atom(put)

    def _count(self, depth: int) -> None:
        self.items += 1
        if self.items > self.limits.items:
            raise Full(f"shown are the first {self.limits.items} values.")
        if depth > self.limits.depth:
            raise DecodeError(f"The JSON text is nested deeper than {self.limits.depth} levels.")
        if self.items % 1024 == 0:
            self.limits.check_time()

    def _string(self, put: Put) -> None:
        found = _STRING.match(self.source, self.at)
        if found is None:
            begun = _BEGUN.match(self.source, self.at)
            if begun is None:
                raise self._wrong(
                    "this string has a character or an escape that is not allowed, or does not end"
                )
            put(text(_unquoted(begun.group(1) + '"') + CUT))
            raise Ended("The JSON text ends within a string.")
        self.at = found.end()
        token = found.group()
        put(Node(Kind.TEXT, _unquoted(token) if "\\" in token else token[1:-1]))

    def _atom(self, put: Put) -> None:
        if found := _NUMBER.match(self.source, self.at):
            kind = Kind.NUMBER
        elif found := _WORD.match(self.source, self.at):
            kind = Kind.WORD
        elif _BEGUN_TOKEN.match(self.source, self.at):
            raise Ended("The JSON text ends within a value.")
        else:
            raise self._wrong("a value was expected")
        if not self.tags and "0x" in found.group()[:3]:
            raise self._wrong("a number was expected")
        self.at = found.end()
        put(Node(kind, found.group()))

    def _list(self, node: Node, depth: int) -> None:
        if self._next() == "]":
            self.at += 1
            return
        while True:
            self._value(node.value.append, depth + 1)
            if self._more("]"):
                return

    def _more(self, end: str) -> bool:
        """Pass over a comma or the `end`; whether it was the end."""
        char = self._next()
        if char not in ("," + end):
            raise self._wrong(f"',' or '{end}' was expected")
        self.at += 1
        return char == end

    def _map(self, node: Node, depth: int) -> None:
        if self._next() == "}":
            self.at += 1
            return
        while True:
            self._pair(node, depth)
            if self._more("}"):
                break
        if self.tags:
            _untag(node)

    def _pair(self, node: Node, depth: int) -> None:
        if found := _KEY.match(self.source, self.at):
            pair = [text(_unquoted(found.group(1)))]
            self.at = found.end()
            self._count(depth)
            node.value.append(pair)
        else:
            pair = self._odd_key(node, depth)
        self._value(pair.append, depth + 1)

    def _odd_key(self, node: Node, depth: int) -> list[Node]:
        """A key that is no text, or not followed by a colon as it should be."""
        if self._next() != '"' and not self.tags:
            raise self._wrong("a key in double quotes was expected")
        pair: list[Node] = []
        self._value(pair.append, depth + 1)
        node.value.append(pair)
        if self._next() != ":":
            raise self._wrong("':' was expected")
        self.at += 1
        return pair

    def _wrong(self, what: str) -> DecodeError:
        line = self.source.count("\n", 0, self.at) + 1
        column = self.at - self.source.rfind("\n", 0, self.at)
        return DecodeError(f"Not valid JSON at line {line}, column {column}: {what}.")


def _unquoted(token: str) -> str:
    return str(json.loads(token)) if "\\" in token else token[1:-1]


def _untag(node: Node) -> None:
    """Read ``{"$name": x}`` as a Tag, and ``$$`` at the beginning of a key as ``$``."""
    first = node.value[0][0]
    if len(node.value) == 1 and first.kind is Kind.TEXT and re.match(r"\$[a-zA-Z]", first.value):
        node.kind, node.value = Kind.TAG, (first.value[1:], node.value[0][1])
        return
    for key, _ in node.value:
        if key.kind is Kind.TEXT and key.value.startswith("$$"):
            key.value = key.value[1:]


def parse(source: str, limits: Limits, *, tags: bool = False) -> Node:
    """The tree of a complete text. Raises DecodeError, also when it is too large."""
    try:
        return Notation(source, limits, tags=tags).read()
    except Full as full:
        raise DecodeError(f"This is too large to be edited in this form: {full}") from full


def read_number(shown: str) -> int | float:
    """The value of a number as printed. Raises DecodeError for what no integer or 64-bit float holds."""
    digits = shown.lstrip("-")
    if digits.startswith("0x"):
        return int(shown, 16)
    if digits.isdigit():
        if len(digits) > 4000:
            raise DecodeError("An integer of more than 4000 digits is written in hexadecimal: 0x….")
        return int(shown)
    value = float(shown.replace("Infinity", "inf"))
    if value in (float("inf"), float("-inf")) and "Infinity" not in shown:
        raise DecodeError(f"The number {shown[:40]} is too large for a float of 64 bits.")
    return value
