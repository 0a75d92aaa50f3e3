"""Avro object container files (Avro 1.11 specification): read by the schema that they carry, block after block."""

import bz2
import json
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from keyspace.decoders.avro_schema import Schema, SchemaReader, long
from keyspace.decoders.base import DecodeError, Full, Layer, Limits, Reading, size
from keyspace.decoders.snappy import Snappy, unpack_block
from keyspace.decoders.structured import Ended, Source, print_tree
from keyspace.decoders.tree import Kind, Node
from keyspace.decoders.unpacking import Unpacked
from keyspace.decoders.zstd import Zstd

MAGIC = b"Obj\x01"
_SYNC = 16


class Avro(Reading):
    name, label = "avro", "Avro"

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        return 95 if data.startswith(MAGIC) and b"avro.schema" in data[:4096] else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return data.startswith(MAGIC)

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        if not data.startswith(MAGIC):
            raise DecodeError("These bytes do not begin as an Avro container does.")
        source = Source(data, limits, partial=partial)
        source.take(len(MAGIC))
        try:
            schema, codec, mark = _header(source)
        except Ended as error:
            raise DecodeError("The header of the Avro container does not fit in what was read.") from error
        rows, why, short = Node(Kind.LIST, []), "", False
        try:
            while source.left:
                _block(source, schema, codec, mark, rows)
        except Full as full:
            why = str(full)
        except Ended:
            if not partial:
                raise
            short = True
        note = f"Avro {schema.label}, codec {codec}: {'at least ' if why or short else ''}{len(rows.value)} rows."
        return print_tree(rows, limits, why=why, cut=partial or short, note=note)


def _header(source: Source) -> tuple[Schema, str, bytes]:
    """(schema, codec, synchronisation mark)."""
    meta: dict[bytes, bytes] = {}
    while count := long(source):
        if count < 0:
            count = -count
            long(source)
        for _ in range(count):
            source.enter(1)
            key = source.take(long(source))
            meta[key] = source.take(long(source))
    try:
        described = json.loads(meta[b"avro.schema"])
    except (KeyError, ValueError, RecursionError) as error:
        raise DecodeError("The Avro container has no schema that can be read.") from error
    codec = meta.get(b"avro.codec", b"null").decode("utf-8", "replace")[:40]
    if codec not in _CODECS:
        raise DecodeError(f"The Avro container is packed with {codec!r}, which is not known here.")
    return SchemaReader().read(described), codec, source.take(_SYNC)


def _block(source: Source, schema: Schema, codec: str, mark: bytes, rows: Node) -> None:
    """Append the rows of one block to `rows`."""
    source.enter(1)
    count, length = long(source), long(source)
    if count < 0:
        raise DecodeError("A block of the Avro container has a negative length.")
    packed = source.run(length) if codec == "null" else source.take(length)
    inner = Source(_CODECS[codec](packed, source.limits), source.limits, partial=source.partial)
    inner.items = source.items
    for _ in range(count):
        schema.read(inner, rows.value.append, 1)
    source.items = inner.items
    if inner.left:
        raise DecodeError("A block of the Avro container is longer than its rows.")
    if source.take(_SYNC) != mark:
        raise DecodeError("A block of the Avro container does not end with its mark.")


def _plain(data: bytes, limits: Limits) -> bytes:
    return data


def _with(opened: Callable[[], Any], *errors: type[Exception]) -> Callable[[bytes, Limits], bytes]:
    def unpack(data: bytes, limits: Limits) -> bytes:
        stream = opened()
        try:
            out = bytes(stream.decompress(data, limits.output + 1))
        except errors as error:
            raise DecodeError(f"A block of the Avro container is damaged ({error}).") from error
        return _bounded(out, limits)

    return unpack


def _bounded(out: bytes, limits: Limits) -> bytes:
    if len(out) > limits.output:
        raise Full(f"a block unpacks to more than {size(limits.output)}.")
    return out


def _snappy(data: bytes, limits: Limits) -> bytes:
    """A raw block, and a CRC32 of what it holds."""
    state = Unpacked()
    try:
        unpack_block(data[:-4], limits, state)
    except Snappy.errors as error:
        raise DecodeError(f"A block of the Avro container is damaged ({error}).") from error
    if not state.ended or zlib.crc32(state.out) != int.from_bytes(data[-4:], "big"):
        raise DecodeError("A block of the Avro container is damaged.")
    return bytes(state.out)


def _zstd(data: bytes, limits: Limits) -> bytes:
    layer = Zstd().decode(data, limits)
    if layer.cut and not layer.note.startswith("Cut"):
        raise DecodeError("A block of the Avro container is damaged.")
    return _bounded((layer.data or b"") + (b"\0" if layer.cut else b""), limits)


_CODECS: dict[str, Callable[[bytes, Limits], bytes]] = {
    "null": _plain,
    "deflate": _with(lambda: zlib.decompressobj(-zlib.MAX_WBITS), zlib.error),
    "snappy": _snappy,
    "zstandard": _zstd,
    "bzip2": _with(bz2.BZ2Decompressor, OSError, ValueError),
    "xz": _with(lambda: lzma.LZMADecompressor(memlimit=1 << 26), lzma.LZMAError),
}
