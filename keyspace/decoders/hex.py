"""Bytes one by one: sixteen a line, with offset and what prints, as hexdump -C has it."""

import re

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading, size

WIDTH = 16
_LINE = 79
"""Characters of one line with its end."""
_DUMPED = re.compile(r"[0-9a-f]{8,16}  (?P<bytes>[0-9a-fA-F ]*?)(?:  \|.*)?\Z", re.DOTALL)
_PRINTED = bytes(code if 32 <= code < 127 else ord(".") for code in range(256))


class Hex(Reading):
    name, label = "hex", "Hex"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """What is left when nothing else fits."""
        return 10

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return True

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        part = data[: max(limits.output // _LINE, 1) * WIDTH]
        cut = len(part) < len(data)
        lines = [dump_line(at, part[at : at + WIDTH]) for at in range(0, len(part), WIDTH)]
        note = f"Cut: shown are the first {size(len(part))}." if cut else ""
        return Layer(text="\n".join(lines), kind="hex", note=note, cut=cut or partial)

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """From a dump (offsets and the right column are ignored) or from plain pairs of digits."""
        lines = text.splitlines()
        digits = "".join(_digits(line) for line in lines)
        try:
            return bytes.fromhex(digits)
        except ValueError as error:
            raise DecodeError(
                "Hex is pairs of the digits 0-9 and a-f, with spaces between pairs if you like."
            ) from error


def dump_line(at: int, row: bytes) -> str:
    left, right = row[:8].hex(" "), row[8:].hex(" ")
    return f"{at:08x}  {left:<23}  {right:<23}  |{row.translate(_PRINTED).decode('ascii')}|"


def _digits(line: str) -> str:
    found = _DUMPED.match(line) if "|" in line else None
    return found["bytes"] if found else line
