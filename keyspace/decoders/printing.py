"""Trees as JSON text: pretty for people, or in the style in which a value was written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keyspace.decoders.base import Full
from keyspace.decoders.tree import CUT, Kind, Node
from keyspace.decoders.utf8 import UNSEEN


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
_HALF_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-f]{0,3})?\Z")
_WORTH = 40
"""Characters of a cut string that are worth showing."""
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
        self.marked = False
        """Whether CUT stands where it was cut."""

    def print(self, root: Node) -> tuple[str, bool]:
        """(text, whether it was cut). What was opened is closed, also where it was cut."""
        cut = False
        try:
            self._put(self.style.lead)
            self._node(root, "\n")
            self._put(self.style.end)
        except Full:
            cut = True
        return "".join(self.parts), cut

    def _put(self, piece: str) -> None:
        if self.length + len(piece) > self.limit:
            raise Full("it is longer than what is shown.")
        self.parts.append(piece)
        self.length += len(piece)

    def _node(self, node: Node, line: str, before: str = "") -> None:
        """Print `node` after `before`; `line` is the line break and indentation that it stands at."""
        kind = node.kind
        if kind is Kind.TEXT:
            self._text(before, quoted(node.value, self.style))
        elif kind is Kind.MAP:
            self._items(node.value, line, before, "{}", self._pair)
        elif kind is Kind.LIST:
            self._items(node.value, line, before, "[]", self._node)
        elif kind is Kind.TAG:
            self._tag(node, line, before)
        else:
            self._put(before + node.value)

    def _text(self, before: str, shown: str) -> None:
        """A string that does not fit shows its beginning."""
        room = self.limit - self.length - len(before)
        if len(shown) <= room or room < _WORTH:
            return self._put(before + shown)
        beginning = _HALF_ESCAPE.sub(r"\1", shown[: room - 2])
        self._put(f'{before}{beginning}{CUT}"')
        self.marked = True
        raise Full("it is longer than what is shown.")

    def _tag(self, node: Node, line: str, before: str) -> None:
        began = self.length
        self.limit -= 1
        try:
            self._node(node.value[1], line, f'{before}{{"${node.value[0]}": ')
        except Full:
            if self.length > began:
                self.parts.append("}")
            raise
        self.limit += 1
        self._put("}")

    def _items(
        self, items: list[Any], line: str, before: str, brackets: str, each: Callable[[Any, str, str], None]
    ) -> None:
        if not items:
            return self._put(before + brackets)
        inner = line + self.style.indent if self.style.indent is not None else ""
        closing = (line if inner else "") + brackets[1]
        reserve = len(inner) + len(CUT) + len(closing)
        self.limit -= reserve
        self._put(before + brackets[0])
        try:
            self._each(items, inner, each)
        except Full:
            self.parts.append(closing if self.marked else inner + CUT + closing)
            self.marked = True
            raise
        self.limit += reserve
        self._put(closing)

    def _each(self, items: list[Any], inner: str, each: Callable[[Any, str, str], None]) -> None:
        lead, further = inner, self.style.comma + inner
        for item in items:
            each(item, inner, lead)
            lead = further

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
