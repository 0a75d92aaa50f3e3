"""One side of a comparison on disk: of each key digests of its name and value, in files by the digest, so that one part fits memory."""

import struct
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import IO

from keyspace.backups.dumps import Dump

PARTS = 64
_ROW = struct.Struct("<16s8sqII")  # digest of the name, of the value, expiry, length of the name, db
Row = tuple[bytes, int, int, bytes]


class Parted:
    """Its keys' rows in PARTS files of a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._files: list[IO[bytes]] = [
            (directory / f"{name}{number}").open("w+b", buffering=64 * 1024) for number in range(PARTS)
        ]
        self.keys = 0

    def add(self, db: int, page: list[Dump]) -> None:
        salt, pack, files = db.to_bytes(4, "little"), _ROW.pack, self._files
        for dump in page:
            name = dump.name
            digest = blake2b(name, digest_size=16, salt=salt).digest()
            value = blake2b(dump.payload[:-10], digest_size=8).digest()
            head = pack(digest, value, -1 if dump.expires is None else dump.expires, len(name), db)
            files[digest[0] % PARTS].write(head + name)
        self.keys += len(page)

    def part(self, number: int) -> Iterable[tuple[bytes, Row]]:
        """(digest, (value, expiry, db, name)) of one file."""
        file = self._files[number]
        file.seek(0)
        while head := file.read(_ROW.size):
            digest, value, expires, length, db = _ROW.unpack(head)
            yield digest, (value, expires, db, file.read(length))

    def close(self) -> None:
        for file in self._files:
            file.close()
