"""Numbers: as text (with what they are as a time), or, when asked for, the integers and floats that 1, 2, 4 or 8 bytes make."""

import re
import struct

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading
from keyspace.decoders.times import told
from keyspace.decoders.tree import number_text

_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?\Z")
_ID = re.compile(rb"[0-9]+[eE][0-9]+\Z")
"""What is more often an id in hexadecimal than a number: programs write 1e+37."""
_LAYOUTS = {1: ("b", "B"), 2: ("h", "H", "e"), 4: ("i", "I", "f"), 8: ("q", "Q", "d")}
_NAMES = {"b": "int8", "B": "uint8", "h": "int16", "H": "uint16", "e": "float16", "i": "int32", "I": "uint32",
          "f": "float32", "q": "int64", "Q": "uint64", "d": "float64"}  # fmt: skip


class Number(Reading):
    name, label = "number", "Number, time"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Digits as Redis and JSON write them. Bytes that could be an integer could be anything."""
        return 80 if not partial and _NUMBER.match(data) and not _ID.match(data) else 0

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        if partial:
            raise DecodeError("A number is told only from the whole of a value.")
        if _NUMBER.match(data):
            return Layer(text=data.decode(), note=told(_value(data)) or "")
        if len(data) not in _LAYOUTS:
            raise DecodeError("This is neither a number in digits nor 1, 2, 4 or 8 bytes.")
        return Layer(text="\n".join(_meanings(data)), kind="listing", exact=False)

    def encode(self, text: str, like: bytes = b"") -> bytes:
        data = text.strip().encode("utf-8", "replace")
        if not _NUMBER.match(data):
            raise DecodeError("A number is written in digits, such as -12, 0.5 or 1e9.")
        return data


def _value(data: bytes) -> int | float:
    """A float of 64 bits cannot tell nanoseconds apart."""
    return int(data) if data.lstrip(b"-").isdigit() else float(data)


def _meanings(data: bytes) -> list[str]:
    """A line for each type and byte order, with the time it may be."""
    lines = []
    for order, word in (("<", "little"), (">", "big")):
        for code in _LAYOUTS[len(data)]:
            value = struct.unpack(order + code, data)[0]
            name = _NAMES[code] if len(data) == 1 else f"{_NAMES[code]} {word}-endian"
            time = told(value) if value == value and abs(value) != float("inf") else None
            lines.append(f"{name:<22}{number_text(value)}" + (f"    {time}" if time else ""))
    return list(dict.fromkeys(lines))
