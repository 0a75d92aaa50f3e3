"""Avro containers, true and false."""

import io
import json

import fastavro
import zstandard

AVRO_SCHEMA = {
    "type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "id", "type": "long"}, {"name": "to", "type": ["null", "string"]},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
        {"name": "tags", "type": {"type": "map", "values": "double"}},
        {"name": "parts", "type": {"type": "array", "items": "Order"}},
    ],
}  # fmt: skip


def zigzag(value: int) -> bytes:
    out, rest = bytearray(), value << 1
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


def avro_container(
    block: bytes, count: int, *, codec: bytes, schema: bytes = json.dumps(AVRO_SCHEMA).encode()
) -> bytes:
    """A container of one block, whatever is in it: for codecs that the library lacks, and for lies."""
    meta = b"".join(
        zigzag(len(part)) + part
        for pair in ((b"avro.schema", schema), (b"avro.codec", codec))
        for part in pair
    )
    mark = bytes(range(16))
    return b"Obj\x01" + zigzag(2) + meta + b"\0" + mark + zigzag(count) + zigzag(len(block)) + block + mark


def avro(codec: str = "null", rows: int = 2) -> bytes:
    if codec == "zstandard":
        plain = avro(rows=rows)
        at = plain.index(plain[-16:]) + 16
        block = plain[at + 2 if plain[at + 1] < 128 else at + 3 : -16]
        return avro_container(zstandard.compress(block), rows, codec=b"zstandard")
    leaf = {"id": 2**53 + 1, "to": None, "state": "NEW", "hash": b"\x00\xff", "tags": {}, "parts": []}
    out = io.BytesIO()
    fastavro.writer(
        out, AVRO_SCHEMA, [{**leaf, "to": "Zoë", "tags": {"x": 0.5}, "parts": [leaf]}] * rows, codec=codec
    )
    return out.getvalue()
