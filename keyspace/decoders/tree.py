"""What structured formats are read into: nodes that lose nothing.

Numbers keep their text (`1.0`, `1e5`, integers of any size), maps keep their order, doubled keys and keys of any kind, and `form`
keeps how the source wrote a node, so that it can be written the same way again. What JSON has no word for is a Tag, printed as
an object with one key that begins with ``$``: ``{"$bytes": "00ff"}``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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
