"""zlib (RFC 1950): two bytes of header are weak evidence, so it is detected only when it unpacks."""

import zlib

from keyspace.decoders.unpacking import Compressed, Stream


class Zlib(Compressed):
    name, label = "zlib", "zlib"
    errors = (zlib.error,)

    def begins(self, data: bytes, at: int = 0) -> bool:
        """Method 8, a window of at most 32 KiB, no dictionary, and the check bits."""
        if len(data) < at + 2:
            return False
        method, flags = data[at], data[at + 1]
        return method & 15 == 8 and method >> 4 <= 7 and not flags & 0x20 and (method << 8 | flags) % 31 == 0

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        return 70 if self.begins(data) and self.opens(data, partial=partial) else 0

    def open(self) -> Stream:
        return zlib.decompressobj()

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """At the level that the header of `like` tells: fastest, fast, default or best."""
        level = (1, 5, 6, 9)[like[1] >> 6] if self.begins(like) else 6
        return zlib.compress(content, level)
