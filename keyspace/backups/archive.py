"""Archives: every key as DUMP and absolute expiry, in compressed blocks, each with its checksum, and a trailer that counts them.

File: ``KSARCH1\\n``, then blocks: kind (1 byte), flag (0 raw, 1 zstd), stored and plain length (u32), CRC64 of what is stored (u64), the
bytes. Kinds: ``H`` header (JSON: server, product, version, time), ``K`` keys, ``F`` function libraries (DUMP of FUNCTION), ``A`` ACL users
without secrets (JSON), ``T`` trailer (JSON: keys by db, CRC64 of all blocks before). A block of keys is records: db (u32), length of the
name (u32), expiry in Unix ms (i64, -1 none), length of the payload (u32), name, payload.

Reading never trusts a length: a block is refused before it is read when it claims more than MAX_BLOCK, more than the compression can
have gained, or more than the file holds.
"""

import itertools
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import zstandard

from keyspace.backups.dumps import Dump
from keyspace.backups.rdb import Damaged, crc64
from keyspace.encoding import to_text
from keyspace.errors import TooLarge

MAGIC = b"KSARCH1\n"
BLOCK_BYTES = 1024 * 1024
MAX_BLOCK = 640 * 1024 * 1024  # a string of 512 MB that does not compress, and room
MAX_RECORD = MAX_BLOCK - 32 * 1024 * 1024  # what was read before it lies in the same block
MAX_GAIN = 200
_FREE_GAIN = 4 * 1024 * 1024
_BLOCK = struct.Struct("<cBIIQ")
_RECORD = struct.Struct("<IIqI")
MAX_JSON = 4 * 1024 * 1024


@dataclass
class Counts:
    """Keys by db, and of which expire."""

    keys: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.keys.values())


class ArchiveWriter:
    """Writes an archive piece by piece to `write`; `finish` it. Holds one block."""

    def __init__(self, write: Callable[[bytes], Any], header: dict[str, Any]) -> None:
        self._write = write
        self._zstd = zstandard.ZstdCompressor(level=1)
        self._crc = 0
        self._records: list[bytes] = []
        self._held = 0
        self.counts = Counts()
        write(MAGIC)
        self._put(b"H", json.dumps(header).encode())

    def add(self, db: int, page: list[Dump]) -> None:
        records, pack = self._records, _RECORD.pack
        held = 0
        for name, expires, payload in page:
            records += (pack(db, len(name), -1 if expires is None else expires, len(payload)), name, payload)
            held += len(name) + len(payload) + 20
        if held > MAX_RECORD:
            _refuse_too_large(page)
        self._held += held
        self.counts.keys[db] = self.counts.keys.get(db, 0) + len(page)
        if self._held >= BLOCK_BYTES:
            self._flush()

    def add_functions(self, dump: bytes) -> None:
        self._flush()
        self._put(b"F", dump)

    def add_users(self, users: list[dict[str, Any]]) -> None:
        """In blocks of a size that readers take."""
        self._flush()
        packed = [json.dumps(user) for user in users]
        while packed:
            sizes = itertools.accumulate(map(len, packed))
            fitting = max(1, sum(size <= BLOCK_BYTES for size in sizes))
            self._put(b"A", f"[{', '.join(packed[:fitting])}]".encode())
            packed = packed[fitting:]

    def finish(self) -> None:
        self._flush()
        trailer = {
            "keys": {str(db): count for db, count in self.counts.keys.items()},
            "crc64": f"{self._crc:016x}",
        }
        self._put(b"T", json.dumps(trailer).encode())

    def _flush(self) -> None:
        if self._records:
            self._put(b"K", b"".join(self._records))
            self._records, self._held = [], 0

    def _put(self, kind: bytes, plain: bytes) -> None:
        stored, flag = self._zstd.compress(plain), 1
        if len(stored) >= len(plain) or (len(plain) > _FREE_GAIN and len(plain) > MAX_GAIN * len(stored)):
            stored, flag = plain, 0
        head = _BLOCK.pack(kind, flag, len(stored), len(plain), crc64(stored))
        self._crc = crc64(stored, crc64(head, self._crc))
        self._write(head + stored)


def _refuse_too_large(page: list[Dump]) -> None:
    for dump in page:
        if len(dump.payload) > MAX_RECORD:
            raise TooLarge(
                f"The key {to_text(dump.name)[:80]} takes {len(dump.payload) / 1e6:.0f} MB: too large for an archive.",
                "A pull keeps it as it is; the readable form takes it in pieces.",
            )


@dataclass(frozen=True)
class Block:
    kind: bytes
    data: bytes


class ArchiveReader:
    """Reads an archive from `source`; `header` is there at once, `trailer` and `whole` after the blocks were read to their end."""

    def __init__(self, source: IO[bytes], *, size: int | None = None) -> None:
        self._source, self._left, self._crc, self._at = source, size, 0, len(MAGIC)
        self._zstd = zstandard.ZstdDecompressor()
        self.counts = Counts()
        self.trailer: dict[str, Any] | None = None
        if source.read(len(MAGIC)) != MAGIC:
            raise Damaged("it is not an archive of this console", 0)
        first = self._next()
        if first is None or first.kind != b"H":
            raise Damaged("it has no header", self._at)
        self.header: dict[str, Any] = self._json(first.data)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._at

    def _next(self) -> Block | None:
        """The next block, checked. Raises Damaged with where."""
        head = self._source.read(_BLOCK.size)
        if not head:
            return None
        at = self._at
        if len(head) < _BLOCK.size:
            raise Damaged(f"it is cut off after {at + len(head)} bytes", at)
        kind, flag, stored_length, plain_length, crc = _BLOCK.unpack(head)
        self._check_lengths(kind, flag, stored_length, plain_length, at)
        stored = self._source.read(stored_length)
        if len(stored) < stored_length:
            raise Damaged(f"it is cut off after {at + len(head) + len(stored)} bytes", at)
        if crc64(stored) != crc:
            raise Damaged("the checksum of a block does not match", at)
        if kind != b"T":
            self._crc = crc64(stored, crc64(head, self._crc))
        self._at += len(head) + stored_length
        return Block(kind, self._plain(stored, flag, plain_length, at))

    def _check_lengths(self, kind: bytes, flag: int, stored: int, plain: int, at: int) -> None:
        if kind not in (b"H", b"K", b"F", b"A", b"T") or flag not in (0, 1):
            raise Damaged("a block is of no known kind", at)
        limit = MAX_BLOCK if kind in (b"K", b"F") else MAX_JSON
        if (
            max(stored, plain) > limit
            or (plain > _FREE_GAIN and plain > MAX_GAIN * stored)
            or (flag == 0 and stored != plain)
        ):
            raise Damaged("a block claims an impossible length", at)
        if self._left is not None and self._at + _BLOCK.size + stored > self._left:
            raise Damaged(f"it is cut off: a block goes beyond its {self._left} bytes", at)

    def _plain(self, stored: bytes, flag: int, length: int, at: int) -> bytes:
        if flag == 0:
            return stored
        try:
            if zstandard.frame_content_size(stored) != length:
                raise Damaged("a block claims a wrong length", at)
            return self._zstd.decompress(stored, max_output_size=length)
        except zstandard.ZstdError:
            raise Damaged("a block cannot be decompressed", at) from None

    def _json(self, data: bytes) -> Any:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise Damaged("its header or trailer cannot be read", self._at) from None
        if not isinstance(found, dict | list):
            raise Damaged("its header or trailer cannot be read", self._at)
        return found

    def blocks(self) -> Iterator[Block]:
        """All blocks between header and trailer; at the end it is known whether the archive is whole (else Damaged)."""
        while (block := self._next()) is not None:
            if block.kind == b"T":
                self._end(self._json(block.data))
                return
            yield block
        raise Damaged(f"it is cut off after {self._at} bytes: the trailer is missing", self._at)

    def _end(self, trailer: Any) -> None:
        if not isinstance(trailer, dict) or trailer.get("crc64") != f"{self._crc:016x}":
            raise Damaged("a block is missing or was changed", self._at)
        if trailer.get("keys") != {str(db): count for db, count in self.counts.keys.items()}:
            raise Damaged("it holds another number of keys than it says", self._at)
        if self._source.read(1):
            raise Damaged("something follows its end", self._at)
        self.trailer = trailer

    def pages(
        self, on_other: Callable[[Block], None] = lambda block: None
    ) -> Iterator[tuple[int, list[Dump]]]:
        """(db, keys) block by block; `on_other` gets function libraries and ACL users."""
        for block in self.blocks():
            if block.kind == b"K":
                yield from self._records(block.data)
            else:
                on_other(block)

    def _records(self, data: bytes) -> Iterator[tuple[int, list[Dump]]]:
        at, size, unpack = 0, len(data), _RECORD.unpack_from
        page: list[Dump] = []
        current = -1
        while at < size:
            if at + 20 > size:
                raise Damaged("a block of keys ends in the middle of one", self._at)
            db, name_length, expires, length = unpack(data, at)
            begin, end = at + 20 + name_length, at + 20 + name_length + length
            if end > size or length < 11 or expires < -1 or db >= 1_000_000:
                raise Damaged("a key of it claims an impossible length", self._at)
            if db != current and page:
                yield current, self._counted(current, page)
                page = []
            current = db
            page.append(Dump(data[at + 20 : begin], None if expires == -1 else expires, data[begin:end]))
            at = end
        if page:
            yield current, self._counted(current, page)

    def _counted(self, db: int, page: list[Dump]) -> list[Dump]:
        self.counts.keys[db] = self.counts.keys.get(db, 0) + len(page)
        return page
