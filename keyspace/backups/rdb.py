"""Checking an RDB while it streams by: magic, version, the EOF opcode, CRC64, and that nothing follows.

The format's frame (all generations): a magic of 9 bytes (``REDIS0011``, ``VALKEY080``), opcodes, ``0xFF``, then a little-endian
CRC64 (Jones) over all before it, zero when the server has checksums off. What the opcodes hold is checked by a server's own
checker and by loading it (see `scratch`): they know every type, also those that come later. Loading also finds the one cut that the frame
cannot: CRC64 moves along with a byte, so one file in 256 that ends in a value's ``0xFF`` is a whole frame again without its last byte.
"""

import re
from dataclasses import dataclass, field

import anycrc  # type: ignore[import-untyped]

_crc64 = anycrc.Model("CRC64-REDIS")
_MAGIC = re.compile(rb"(REDIS)(\d{4})|(VALKEY)(\d{3})")
_AUX, EOF = 0xFA, 0xFF
_HEAD_BYTES = 4096
MISMATCH = "its checksum does not match its contents"
FOOT_BYTES = 9
MIN_BYTES = 9 + FOOT_BYTES


class Damaged(Exception):
    """The file is not a whole RDB; the message is a sentence without its end, `offset` where it was seen."""

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.offset = reason, offset


@dataclass(frozen=True)
class RdbHead:
    """`version` is the format's number (9 to 80); `facts` the AUX fields at the beginning (redis-ver, ctime, used-mem ...)."""

    family: str
    version: int
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def magic(self) -> str:
        return f"REDIS{self.version:04d}" if self.family == "REDIS" else f"VALKEY{self.version:03d}"

    @property
    def used_memory(self) -> int:
        """Bytes that its server needed, as the file says; 0 where it says nothing that makes sense."""
        told = self.facts.get("used-mem", "")
        return int(told) if told.isdecimal() and told.isascii() and len(told) < 19 else 0


def crc64(data: "bytes | bytearray | memoryview", start: int = 0) -> int:
    """CRC64 as Redis counts it; `start` continues an earlier piece."""
    return _crc64.calc(data, start)  # type: ignore[no-any-return]


class RdbChecker:
    """Feed it a stream piece by piece; `finish` tells whether that was a whole RDB. Memory: a few KB."""

    def __init__(self) -> None:
        self.size = 0
        self.head: RdbHead | None = None
        self._first = bytearray()
        self._crc = 0
        self._last = (
            b""  # the last 9 bytes: the first of them is in the CRC, the other 8 may be the sum itself
        )

    def feed(self, data: "bytes | memoryview") -> None:
        """Raises Damaged as soon as the beginning cannot be an RDB's."""
        if not len(data):
            return
        if len(self._first) < _HEAD_BYTES:
            self._begin(data)
        self.size += len(data)
        last = self._last + bytes(data[-FOOT_BYTES:])
        if len(data) >= FOOT_BYTES:
            self._crc = crc64(self._last[-8:], self._crc)
            self._crc = crc64(memoryview(data)[:-8], self._crc)  # not a copy
        else:
            held = self._last[-8:] + bytes(data)
            self._crc = crc64(held[:-8], self._crc)
        self._last = last[-FOOT_BYTES:]

    def _begin(self, data: "bytes | memoryview") -> None:
        self._first += data[: _HEAD_BYTES - len(self._first)]
        if self.head is None and len(self._first) >= 9:
            self.head = read_head(bytes(self._first))

    @property
    def complete(self) -> bool:
        """Whether what was fed so far is a whole RDB."""
        return self._flaw() is None

    @property
    def checksum_off(self) -> bool:
        """The server wrote no checksum (`rdbchecksum no`): damage inside shows only when the file is loaded."""
        return self._last[1:] == bytes(8)

    def _flaw(self) -> str | None:
        if self.head is None or self.size < MIN_BYTES:
            return f"it ends after {self.size} bytes"
        if self._last[0] != EOF:
            return f"it is cut off after {self.size} bytes: the end mark is missing"
        if not self.checksum_off and int.from_bytes(self._last[1:], "little") != self._crc:
            return MISMATCH
        return None

    def finish(self) -> RdbHead:
        """The head of a whole RDB. Raises Damaged."""
        flaw = self._flaw()
        if flaw is not None or self.head is None:
            raise Damaged(flaw or "it is empty", None if flaw == MISMATCH else self.size)
        return read_head(bytes(self._first))


def read_head(first: bytes) -> RdbHead:
    """Magic, version and AUX fields from the first bytes of an RDB. Raises Damaged when they are not one's."""
    found = _MAGIC.match(first)
    if not found:
        raise Damaged("it does not begin as an RDB does", 0)
    family = (found[1] or found[3]).decode()
    return RdbHead(family, int(found[2] or found[4]), _facts(first, found.end()))


def _facts(first: bytes, at: int) -> dict[str, str]:
    """The AUX fields that are whole in `first`; what is hostile or unknown ends the list."""
    facts: dict[str, str] = {}
    try:
        while first[at] == _AUX and len(facts) < 32:
            name, at = _string(first, at + 1)
            value, at = _string(first, at)
            facts[name] = value
    except (IndexError, ValueError):
        pass
    return facts


def _string(data: bytes, at: int) -> tuple[str, int]:
    """A string as RDB writes short ones: a length of 6 or 14 bits and bytes, or an integer of 1, 2 or 4 bytes."""
    kind, low = data[at] >> 6, data[at] & 0x3F
    if kind == 3:
        width = {0: 1, 1: 2, 2: 4}.get(low)
        if width is None or at + 1 + width > len(data):
            raise ValueError("not a short string")
        return str(int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True)), at + 1 + width
    if kind == 2:
        raise ValueError("not a short string")
    length, at = (low, at + 1) if kind == 0 else (low << 8 | data[at + 1], at + 2)
    if at + length > len(data):
        raise ValueError("beyond the first bytes")
    return data[at : at + length].decode("utf-8", "replace"), at + length


def length_bytes(number: int) -> bytes:
    """How RDB writes a length."""
    if number < 1 << 6:
        return bytes([number])
    if number < 1 << 14:
        return bytes([0x40 | number >> 8, number & 0xFF])
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def announced_counts(db: int, keys: int, expires: int) -> bytes:
    """The bytes with which an RDB opens a db that holds so many keys (SELECTDB, RESIZEDB)."""
    return b"\xfe" + length_bytes(db) + b"\xfb" + length_bytes(keys) + length_bytes(expires)
