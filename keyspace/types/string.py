"""Strings: by range, and as a bitmap or a HyperLogLog where that is what the bytes are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from keyspace.errors import BadInput, NotFound
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bitmap import BitmapForm, read_bits
from keyspace.types.bounds import WHOLE
from keyspace.types.elements import Element
from keyspace.types.hyperloglog import MAGIC, read_estimate
from keyspace.types.reading import PageForm, Reading, gone
from keyspace.types.string_edits import STRING_EDITS
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection

RANGE = 64 * 1024
"""Bytes of one page."""
MAX_RANGE = 1024 * 1024


class RangeForm(PageForm):
    """`length` bytes from `offset` on."""

    offset = forms.IntegerField(min_value=0, max_value=2**40, required=False)
    length = forms.IntegerField(min_value=1, max_value=MAX_RANGE, required=False)

    defaults: ClassVar[dict[str, Any]] = {"offset": 0, "length": RANGE}


@dataclass(frozen=True, kw_only=True)
class StringPage(Page):
    """`value` holds the bytes from `offset` up to `end`; its length is that of the whole string, as `total` is."""

    value: Element
    offset: int

    @property
    def end(self) -> int:
        return self.offset + len(self.value.data)


def read_range(reading: Reading) -> StringPage:
    offset, length = reading.asked["offset"], reading.asked["length"]
    total, head, data = read_bytes(reading, offset, length)
    end = offset + len(data)
    return StringPage(
        value=Element(data, total, address="0"),
        offset=offset,
        total=total,
        next=reading.with_(offset=end) if data and end < total else None,
        previous=reading.with_(offset=max(0, offset - length) or None) if offset else None,
        offered=("range", "bitmap", "hyperloglog") if head == MAGIC else ("range", "bitmap"),
    )


def read_bytes(reading: Reading, offset: int, length: int) -> tuple[int, bytes, bytes]:
    """(length of the whole, its first four bytes, bytes from `offset` on). Raises NotFound when the key is gone."""
    name = reading.name
    total, head, data, there = reading.ask(
        ("STRLEN", name),
        ("GETRANGE", name, 0, 3),
        ("GETRANGE", name, offset, offset + length - 1),
        ("EXISTS", name),
    )
    if not there:
        raise gone(name)
    return total, head, data


class StringType(KeyType):
    name, slug, label, noun = "string", "string", "string", "bytes"
    faces = (
        Face("range", "Bytes", RangeForm, read_range),
        Face("bitmap", "Bitmap", BitmapForm, read_bits, reveals=True),
        Face("hyperloglog", "HyperLogLog", PageForm, read_estimate, reveals=True),
    )
    edits = STRING_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("STRLEN", name)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        """The whole string, up to WHOLE bytes from `address` (an offset) on."""
        if not address.isdecimal() or len(address) > 12:
            raise BadInput("This is not an offset in a string.", "Open the key anew.")
        total, _, data = read_bytes(Reading(connection, name, {}), int(address), WHOLE)
        if int(address) and int(address) >= total:
            raise NotFound("The string is not that long any more.", "Open the key anew.")
        return Element(data, total, address)
