"""LZ4 in its frame format. (The raw block format has no marks and no length: it cannot be told, nor read within bounds.)"""

import lz4.frame

from keyspace.decoders.unpacking import Compressed, Stream


class Lz4(Compressed):
    name, label = "lz4", "LZ4"
    magic = b"\x04\x22\x4d\x18"
    repeats = True
    errors = (RuntimeError, ValueError)

    def open(self) -> Stream:
        stream: Stream = lz4.frame.LZ4FrameDecompressor()
        return stream

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        return bytes(lz4.frame.compress(content))
