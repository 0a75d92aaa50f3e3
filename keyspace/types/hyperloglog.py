"""The estimate of a HyperLogLog, computed here: PFCOUNT may write (it stores the estimate in the key), and readers write nothing.

Format and estimator as in hyperloglog.c: 16 bytes of header (``HYLL``, encoding, 3 unused, cached estimate with the highest
bit set when stale), then 16384 registers of 6 bits, dense or run-length encoded; Ertl's improved estimator.
"""

import math
from collections import Counter
from dataclasses import dataclass

from keyspace.errors import Conflict
from keyspace.types.base import Page
from keyspace.types.reading import Reading, gone

MAGIC = b"HYLL"
REGISTERS = 16384
HEADER = 16
DENSE_BYTES = HEADER + REGISTERS * 6 // 8
_Q = 64 - 14
_ALPHA_INF = 0.721347520444481703680
_DENSE, _SPARSE = 0, 1


@dataclass(frozen=True, kw_only=True)
class HyperLogLogPage(Page):
    """`estimate` is what PFCOUNT would answer; `encoding` dense or sparse; `empty` counts the registers never hit of 16384."""

    estimate: int
    encoding: str
    empty: int
    standard_error: float = 1.04 / math.sqrt(REGISTERS)

    @property
    def used(self) -> int:
        return REGISTERS - self.empty


def read_estimate(reading: Reading) -> HyperLogLogPage:
    total, data, there = reading.ask(
        ("STRLEN", reading.name), ("GETRANGE", reading.name, 0, DENSE_BYTES - 1), ("EXISTS", reading.name)
    )
    if not there:
        raise gone(reading.name)
    histogram = registers_of(data)
    if histogram is None:
        raise Conflict("This string is not a HyperLogLog.", "Read it as bytes.")
    encoding = "sparse" if data[4] == _SPARSE else "dense"
    return HyperLogLogPage(total=total, estimate=estimate(histogram), encoding=encoding, empty=histogram[0])


def registers_of(data: bytes) -> Counter[int] | None:
    """How many registers hold each value; None when `data` is not a whole HyperLogLog."""
    if len(data) < HEADER or data[:4] != MAGIC:
        return None
    if data[4] == _DENSE and len(data) == DENSE_BYTES:
        return _dense(data[HEADER:])
    return _sparse(data[HEADER:]) if data[4] == _SPARSE else None


def _dense(data: bytes) -> Counter[int]:
    """Registers are packed from the lowest bit of the first byte on."""
    packed = int.from_bytes(data, "little")
    counts: Counter[int] = Counter()
    for start in range(0, len(data), 48):
        chunk = (packed >> (start * 8)) & ((1 << 384) - 1)
        counts.update((chunk >> shift) & 63 for shift in range(0, 384, 6))
    return counts


def _sparse(data: bytes) -> Counter[int] | None:
    """Opcodes ZERO (00xxxxxx: run of zeros), XZERO (01xxxxxx yyyyyyyy: a long one), VAL (1vvvvvxx: a value, repeated)."""
    counts: Counter[int] = Counter()
    at = 0
    while at < len(data):
        code = data[at]
        if code & 0x80:
            counts[((code >> 2) & 31) + 1] += (code & 3) + 1
        elif code & 0x40:
            if at + 1 >= len(data):
                return None
            at += 1
            counts[0] += ((code & 63) << 8 | data[at]) + 1
        else:
            counts[0] += (code & 63) + 1
        at += 1
    return counts if counts.total() == REGISTERS else None


def estimate(histogram: Counter[int]) -> int:
    """hllCount(): Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", algorithm 6."""
    z = REGISTERS * _tau((REGISTERS - histogram[_Q + 1]) / REGISTERS)
    for value in range(_Q, 0, -1):
        z = (z + histogram[value]) * 0.5
    z += REGISTERS * _sigma(histogram[0] / REGISTERS)
    # llround: half away from zero
    return math.floor(_ALPHA_INF * REGISTERS * REGISTERS / z + 0.5) if math.isfinite(z) else 0


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z = 1.0, 1 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
        if z == before:
            return z / 3


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z = 1.0, x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z
