"""A string as the bits that SETBIT and GETBIT count: bit 0 is the highest of the first byte."""

from keyspace.decoders.base import Layer, Limits, Reading, size

ROW = 8
"""Bytes a line: 64 bits."""
_LINE = 92
"""Characters of one line at most, its end included."""


class Bitmap(Reading):
    name, label = "bitmap", "Bitmap"

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return bool(data)

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        lines, shown = _rows(data, max(limits.output // _LINE, 1))
        cut = shown < len(data)
        ones = int.from_bytes(data, "big").bit_count()
        note = f"{ones} of {len(data) * 8} bits are set{' in the part that was read' if partial else ''}."
        note += f" Cut: shown are the bits of the first {size(shown)}." if cut else ""
        return Layer(text="\n".join(lines), kind="listing", note=note, cut=cut or partial)


def _rows(data: bytes, most: int) -> tuple[list[str], int]:
    """(lines, bytes told by them): lines of zeros in a row become one ``*``, as hexdump has it."""
    lines: list[str] = []
    for at in range(0, len(data), ROW):
        if len(lines) >= most:
            return lines, at
        row = data[at : at + ROW]
        if not any(row) and 0 < at < len(data) - ROW:
            if lines[-1] != "*":
                lines.append("*")
            continue
        lines.append(f"{at * 8:>10}  {' '.join(f'{byte:08b}' for byte in row)}")
    return lines, len(data)
