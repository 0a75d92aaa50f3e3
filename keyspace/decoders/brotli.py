"""Brotli (RFC 7932). It has no magic number, so it is read when asked for and never detected."""

import brotli

from keyspace.decoders.unpacking import Compressed, Stream


class _Stream:
    """brotli's Decompressor as unpacking.Stream has it. Bytes after the end are an error to it, with what came before."""

    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = bytes(self._brotli.process(data, output_buffer_limit=max_length))
        self.eof = bool(self._brotli.is_finished())
        return out


class Brotli(Compressed):
    name, label = "brotli", "Brotli"
    errors = (brotli.error,)

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        return 0

    def begins(self, data: bytes, at: int = 0) -> bool:
        return len(data) > at

    def open(self) -> Stream:
        return _Stream()

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """At a middle quality: the best one takes seconds for a megabyte."""
        return bytes(brotli.compress(content, quality=6))
