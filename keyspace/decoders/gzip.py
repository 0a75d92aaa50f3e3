"""gzip (RFC 1952), several members as one."""

import gzip
import zlib

from keyspace.decoders.unpacking import Compressed, Stream


class Gzip(Compressed):
    name, label = "gzip", "gzip"
    magic = b"\x1f\x8b\x08"
    repeats = True
    errors = (zlib.error,)

    def begins(self, data: bytes, at: int = 0) -> bool:
        """The three upper flags are reserved and must be zero."""
        return data.startswith(self.magic, at) and len(data) > at + 3 and data[at + 3] < 0x20

    def open(self) -> Stream:
        return zlib.decompressobj(zlib.MAX_WBITS | 16)

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """Without a time, so that the same content gives the same bytes."""
        return gzip.compress(content, mtime=0)
