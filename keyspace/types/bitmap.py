"""The bits of a string: which are set, and how many. Bit 0 is the highest bit of the first byte, as in SETBIT."""

from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms

from keyspace.types.base import Page
from keyspace.types.hyperloglog import MAGIC
from keyspace.types.reading import PageForm, Reading, gone

WINDOW = 64 * 1024
"""Bytes of which one page tells the set bits."""
COUNTED = 8 * 1024 * 1024
"""Bytes that BITCOUNT and BITPOS may go over in one command: about a millisecond."""


class BitmapForm(PageForm):
    """`bit` is the first bit looked at."""

    bit = forms.IntegerField(min_value=0, max_value=2**43, required=False)

    defaults: ClassVar[dict[str, Any]] = {"bit": 0}


@dataclass(frozen=True)
class Run:
    """Bits `first` to `last`, all of them set."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, kw_only=True)
class BitmapPage(Page):
    """`rows` are Runs of set bits between the bits `start` and `end` (excluded). `total` is the string's length in bytes.

    `set_bits` counts those of the whole string; None where the string is too long to count unasked. `set_here` counts the rows'.
    """

    start: int
    end: int
    set_bits: int | None

    @property
    def bits(self) -> int:
        return self.total * 8

    @property
    def set_here(self) -> int:
        return sum(run.length for run in self.rows)


def read_bits(reading: Reading) -> BitmapPage:
    start, name = reading.asked["bit"], reading.name
    low = start // 8
    total, head, data, there = reading.ask(
        ("STRLEN", name),
        ("GETRANGE", name, 0, 3),
        ("GETRANGE", name, low, low + WINDOW - 1),
        ("EXISTS", name),
    )
    if not there:
        raise gone(name)
    runs, end = find_runs(data, skip=start - low * 8, most=reading.asked["count"])
    end += low * 8
    following = _next_bit(reading, end, total)
    return BitmapPage(
        rows=tuple(Run(low * 8 + first, low * 8 + last) for first, last in runs),
        total=total,
        start=start,
        end=end,
        set_bits=reading.ask(("BITCOUNT", name))[0] if total <= COUNTED else None,
        offered=("range", "bitmap", "hyperloglog") if head == MAGIC else ("range", "bitmap"),
        next=None if following is None else reading.with_(bit=following),
        previous=reading.with_(bit=None) if start else None,
    )


def find_runs(data: bytes, *, skip: int, most: int) -> tuple[list[tuple[int, int]], int]:
    """(at most `most` runs of set bits, the bit after what was looked at), counted from the beginning of `data`.

    A run that goes on beyond `data` ends with it.
    """
    bits = bin(int.from_bytes(b"\x01" + data, "big"))[3:]
    runs: list[tuple[int, int]] = []
    at = bits.find("1", skip)
    while at >= 0 and len(runs) < most:
        end = bits.find("0", at)
        end = len(bits) if end < 0 else end
        runs.append((at, end - 1))
        at = bits.find("1", end)
    return runs, len(bits) if at < 0 else at


def _next_bit(reading: Reading, end: int, total: int) -> int | None:
    """Where the next page begins: at the next set bit within COUNTED bytes, else as far as BITPOS looked; None at the end."""
    low = end // 8
    if low >= total:
        return None
    found: int = reading.ask(("BITPOS", reading.name, 1, low, low + COUNTED - 1))[0]
    if found >= 0:
        return max(found, end)
    return (low + COUNTED) * 8 if low + COUNTED < total else None
