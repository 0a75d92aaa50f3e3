"""What structured formats are read into: nodes that lose nothing, and how they are printed.

Numbers keep their text (`1.0`, `1e5`, integers of any size), maps keep their order, doubled keys and keys of any kind, and `form`
keeps how the source wrote a node, so that it can be written the same way again. What JSON has no word for is a Tag, printed as
an object with one key that begins with ``$``: ``{"$bytes": "00ff"}``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keyspace.decoders.base import Full, size
from keyspace.decoders.utf8 import UNSEEN


class Kind(StrEnum):
    MAP = "map"
    LIST = "list"
    TEXT = "text"
    NUMBER = "number"
    WORD = "word"
    TAG = "tag"


@dataclass(slots=True)
class Node:
    """`value` is a list of [key, value] pairs (MAP), a list of nodes (LIST), a str (TEXT; NUMBER and WORD as printed), or
    (name, Node) (TAG). A map that was cut may end with a key alone, a string that was cut ends with CUT."""

    kind: Kind
    value: Any
    form: Any = None


CUT = "…"
"""Stands at the end of a string that was cut, and for a value that was not reached."""

Put = Callable[[Node], None]
"""Takes a node that was begun; what is inside of it follows, so that a cut leaves what was read."""


def text(value: str, form: Any = None) -> Node:
    return Node(Kind.TEXT, value, form)


def number(value: float | str, form: Any = None) -> Node:
    return Node(Kind.NUMBER, value if isinstance(value, str) else number_text(value), form)


def word(value: bool | None, form: Any = None) -> Node:
    return Node(Kind.WORD, "null" if value is None else "true" if value else "false", form)


def tag(name: str, inside: Node, form: Any = None) -> Node:
    return Node(Kind.TAG, (name, inside), form)


def binary(data: bytes, form: Any = None) -> Node:
    return tag("bytes", text(data.hex()), form)


def number_text(value: float) -> str:
    """The shortest text that gives the same number back; integers of any size exactly."""
    if isinstance(value, int):
        return int_text(value)
    if value != value:
        return "NaN"
    return repr(value).replace("inf", "Infinity")


def int_text(value: int) -> str:
    """An integer in decimal; hexadecimal beyond 4000 bits, where decimal would take quadratic time."""
    return str(value) if value.bit_length() <= 4000 else hex(value)


@dataclass(frozen=True, slots=True)
class Style:
    """How a tree is written as JSON. `indent` None: on one line."""

    indent: str | None = "  "
    comma: str = ","
    colon: str = ": "
    ascii: bool = False
    slash: bool = False
    """Whether ``/`` is written ``\\/``, as PHP does."""
    html: bool = False
    """Whether ``< > &`` are escaped, as Go does."""
    lead: str = ""
    end: str = ""


PRETTY = Style()

_PLAIN = re.compile(r"[ !#-\[\]-~]*\Z")
_ESCAPED = re.compile(f'["\\\\\t\n{UNSEEN}]')
_ASCII_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]|[^\x00-\x7f]')
_NEEDED = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def quoted(value: str, style: Style = PRETTY) -> str:
    """A JSON string. In PRETTY what cannot be seen is escaped as well; elsewhere only what must be, or what the style asks."""
    if not _PLAIN.match(value):
        pattern = _ASCII_ESCAPED if style.ascii else _ESCAPED if style is PRETTY else _NEEDED
        value = pattern.sub(_escape, value)
    if style.slash:
        value = value.replace("/", "\\/")
    if style.html:
        value = value.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        value = value.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f'"{value}"'


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


class Printer:
    """Prints one tree within `limit` characters; `cut` tells whether all of it fitted."""

    def __init__(self, limit: int, style: Style = PRETTY, *, shield: bool = False) -> None:
        self.limit, self.style, self.shield = limit, style, shield
        """`shield` doubles the ``$`` of keys that would read as a tag."""
        self.parts: list[str] = []
        self.length = 0

    def print(self, root: Node) -> tuple[str, bool]:
        """(text, whether it was cut)."""
        try:
            self._put(self.style.lead)
            self._node(root, "\n")
            self._put(self.style.end)
        except Full:
            return "".join(self.parts)[: self.limit], True
        return "".join(self.parts), False

    def _put(self, piece: str) -> None:
        self.parts.append(piece)
        self.length += len(piece)
        if self.length > self.limit:
            raise Full(f"shown as far as {size(self.limit)}.")

    def _node(self, node: Node, line: str, before: str = "") -> None:
        """Print `node` after `before`; `line` is the line break and indentation that it stands at."""
        kind = node.kind
        if kind is Kind.TEXT:
            self._put(before + quoted(node.value, self.style))
        elif kind is Kind.MAP:
            self._items(node.value, line, before, "{}", self._pair)
        elif kind is Kind.LIST:
            self._items(node.value, line, before, "[]", self._node)
        elif kind is Kind.TAG:
            self._node(node.value[1], line, f'{before}{{"${node.value[0]}": ')
            self._put("}")
        else:
            self._put(before + node.value)

    def _items(
        self, items: list[Any], line: str, before: str, brackets: str, each: Callable[[Any, str, str], None]
    ) -> None:
        if not items:
            return self._put(before + brackets)
        inner = line + self.style.indent if self.style.indent is not None else ""
        self._put(before + brackets[0])
        lead, further = inner, self.style.comma + inner
        for item in items:
            each(item, inner, lead)
            lead = further
        self._put((line if inner else "") + brackets[1])

    def _pair(self, pair: list[Node], line: str, before: str) -> None:
        key = pair[0]
        if key.kind is Kind.TEXT:
            shown = "$" + key.value if self.shield and key.value.startswith("$") else key.value
            before += quoted(shown, self.style)
        else:
            self._node(key, line, before)
            before = ""
        if len(pair) > 1:
            self._node(pair[1], line, before + self.style.colon)
        else:
            self._put(before + self.style.colon + CUT)


def doubled_key(root: Node) -> str | None:
    """A text key that one map has twice, or None."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.kind is Kind.TAG:
            waiting.append(node.value[1])
        elif node.kind is Kind.LIST:
            waiting += node.value
        elif node.kind is Kind.MAP:
            seen: set[Any] = set()
            for key, *value in node.value:
                waiting += value
                name = (key.kind, key.value) if isinstance(key.value, str) else None
                if name in seen:
                    return str(key.value)
                if name:
                    seen.add(name)
    return None


def is_plain(root: Node) -> bool:
    """Whether the printed tree is JSON as the standard has it: text keys, no NaN or Infinity, no hexadecimal."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.kind is Kind.NUMBER and node.value.lstrip("-")[:2] in ("Na", "In", "0x"):
            return False
        if node.kind is Kind.TAG:
            waiting.append(node.value[1])
        elif node.kind is Kind.LIST:
            waiting += node.value
        elif node.kind is Kind.MAP:
            for pair in node.value:
                if pair[0].kind is not Kind.TEXT or len(pair) < 2:
                    return False
                waiting.append(pair[1])
    return True
