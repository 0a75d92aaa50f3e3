"""Bytes as a page shows them: cut to what is shown, told with their whole length, and hidden where values are masked."""

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from keyspace.encoding import to_text
from keyspace.types.bounds import SHOWN


@dataclass(frozen=True)
class Element:
    """Bytes as read: the first of them in `data`, all of them counted in `length`.

    `address` names the element within its key for `KeyType.read_element`. What is not `secret` (the name of a field) stays
    readable when the values of a key are masked.
    """

    data: bytes
    length: int
    address: str = ""
    secret: bool = True
    hidden: bool = False

    @property
    def cut(self) -> bool:
        """Whether there is more than `data`."""
        return not self.hidden and len(self.data) < self.length

    @property
    def text(self) -> str:
        return to_text(self.data)


def element(data: bytes, *, address: str = "", secret: bool = True) -> Element:
    """An Element of a page: at most SHOWN bytes of `data`."""
    return Element(data[:SHOWN], len(data), address, secret)


def label(data: bytes) -> Element:
    """An Element that is a name rather than a value: masks leave it readable."""
    return element(data, secret=False)


def hide_values(value: Any) -> Any:
    """A copy of a page, or a part of one, without the bytes of its secret elements."""
    if isinstance(value, Element):
        return replace(value, data=b"", hidden=True, address="") if value.secret else value
    if isinstance(value, tuple):
        return tuple(hide_values(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: hide_values(getattr(value, each.name)) for each in fields(value)})
    return value


def figures(count: int) -> str:
    """A number in a sentence, as the pages write it: 1 003 241, with narrow no-break spaces."""
    return f"{count:,}".replace(",", "\u202f")
