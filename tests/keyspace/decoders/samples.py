"""Samples of every format, written by the libraries that programs use. A decoder without samples fails the contract test."""

import base64
import gzip
import json
import pickle
import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import brotli
import bson
import cbor2
import cramjam
import lz4.frame
import msgpack
import phpserialize
import zstandard

from tests.keyspace.decoders.avro_files import avro

ORDER = {
    "id": 9007199254740993,
    "to": "Zoë",
    "lines": [{"sku": "A-1", "price": 0.1, "gift": None}],
    "paid": True,
}
ORDER_JSON = json.dumps(ORDER, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Sample:
    """`data` of a format; `shows` is in the text; `found`: detection finds it; `returns`: it is written back the same."""

    data: bytes
    shows: str
    found: bool = True
    returns: bool = True


def packed(data: bytes, **kwargs: Any) -> Sample:
    return Sample(data, '"id": 9007199254740993', **kwargs)


def jwt(claims: dict[str, Any]) -> bytes:
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in [*parts, b"signature"])


DOCUMENT = {
    "_id": bson.ObjectId("65a000000000000000000001"), "n": 2**53 + 1, "small": 7, "f": 0.1, "when": datetime(2024, 1, 31, 12, tzinfo=UTC),
    "raw": b"\xff", "price": bson.Decimal128("12.30"), "list": [1, {"x": None}], "re": bson.Regex("^a", "i"), "t": bson.Timestamp(5, 6),
    "code": bson.Code("f()", {"a": 1}), "min": bson.MinKey(), "max": bson.MaxKey(), "yes": True,
}  # fmt: skip

PHP_OBJECT = (
    b'O:8:"App\\User":3:{s:4:"name";s:4:"Zo\xc3\xab";s:6:"\0*\0age";i:41;s:14:"\0App\\User\0flag";b:1;}'
)

SAMPLES: dict[str, list[Sample]] = {
    "text": [
        Sample(b"hello, Zo\xc3\xab \xf0\x9f\x99\x82\n\tsecond line", "Zoë 🙂\n\tsecond"),
        Sample(b"caf\xe9 au lait, s'il vous pla\xeet", r"caf\xe9"),
        Sample(b"GET / HTTP/1.1\r\nHost: x\r\n", "HTTP/1.1\\r\n"),
        Sample(b"back\\slash and nul \0", r"back\\slash and nul \x00"),
        Sample(b"", ""),
        Sample(b"[info] started", "[info] started"),
    ],
    "json": [
        packed(ORDER_JSON),
        packed(json.dumps(ORDER).encode()),
        packed(json.dumps(ORDER, indent=2).encode() + b"\n"),
        packed(json.dumps(ORDER, indent=4, ensure_ascii=False).encode()),
        packed(json.dumps(ORDER, indent="\t").encode()),
        Sample(b'{"html":"\\u003cb\\u003e \\u0026","path":"a/b"}', '"html": "<b> &"'),
        Sample(b'{"url":"http:\\/\\/x","n":"\\u00e9"}', '"url": "http://x"'),
        Sample(
            b'[1.0,1e5,0.10,-0,12345678901234567890123,"\\ud800"]',
            "1e5,\n  0.10,\n  -0,\n  12345678901234567890123",
        ),
        Sample(b'{"a":1,"a":2}', '"a": 1,\n  "a": 2'),
        Sample(b'{"a":NaN,"b":-Infinity}', '"a": NaN'),
        Sample(b'\xef\xbb\xbf{"bom":1}\r\n', '"bom": 1'),
        Sample(b'{ "a":1 , "b":[ ] }', '"a": 1', returns=False),
        Sample(b"17", "17", found=False),
    ],
    "hex": [
        Sample(bytes(range(256)), "00000010  10 11"),
        Sample(b"\x00\x01\x02\xff" * 3, "00 01 02 ff"),
        Sample(b"x", "78", found=False),
    ],
    "base64": [
        packed(base64.b64encode(ORDER_JSON)),
        packed(base64.urlsafe_b64encode(ORDER_JSON + b"  ").rstrip(b"=")),
        packed(base64.encodebytes(ORDER_JSON)),
        packed(base64.b64encode(gzip.compress(ORDER_JSON))),
        Sample(base64.b64encode(b"hello world"), "hello world"),
        Sample(base64.b64encode(b"\xff\xfe\xfd\xfc\xfb\xfa"), "ff fe fd", found=False),
    ],
    "number": [
        Sample(b"0", "0"),
        Sample(b"-12", "-12"),
        Sample(b"3.14", "3.14"),
        Sample(b"1.5e+25", "1.5e+25"),
        Sample(b"4E37", "4E37", found=False),
        Sample(b"1700000000", "1700000000"),
        Sample(b"12345678901234567890123", "12345678901234567890123"),
        Sample(b"\x00\x00\x00\x00\x00\x00\xf0\x3f", "float64 little-endian 1.0", found=False, returns=False),
    ],
    "uuid": [
        Sample(b"123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        Sample(b"018F4D2B-7C3A-7000-8000-000000000000", "018F4D2B"),
        Sample(uuid.UUID("123e4567-e89b-42d3-a456-426614174000").bytes, "123e4567-e89b-42d3", found=False),
    ],
    "jwt": [
        Sample(jwt({"sub": "42", "exp": 1700000000}), '"sub": "42"', returns=False),
        Sample(b"Bearer " + jwt({"n": 9007199254740993}), "9007199254740993", found=True, returns=False),
    ],
    "msgpack": [
        packed(msgpack.packb(ORDER)),
        packed(msgpack.packb([ORDER, b"\xff"])),
        packed(b"\x81\xa2id\xcf\x00\x20\x00\x00\x00\x00\x00\x01"),
        # As Go writes integers: each in the width of its type.
        Sample(b"\x82\xa1a\xd3\x00\x00\x00\x00\x00\x00\x00\x07\xa1b\xcc\x05", '"a": 7,\n  "b": 5'),
        Sample(msgpack.packb({"f": 0.5}, use_single_float=True), '"f": 0.5'),
        Sample(msgpack.packb({"f": float("nan"), "i": float("-inf")}), "NaN"),
        Sample(
            msgpack.packb({"t": msgpack.Timestamp(1700000000, 5)}),
            '{"$timestamp": "2023-11-14T22:13:20.000000005Z"}',
        ),
        Sample(msgpack.packb({"x": msgpack.ExtType(5, b"abc")}), '{"$ext": [\n    5,\n    "616263"\n  ]}'),
        Sample(msgpack.packb({"$bytes": "no tag"}), '{\n  "$$bytes": "no tag"\n}'),
        Sample(b"\x81\xa1k\xa2\xff\xfe", '{"$bytes": "fffe"}'),
        Sample(msgpack.packb({1: "one", 2: "two"}, strict_types=True), '1: "one"'),
        Sample(msgpack.packb(7), "7", found=False),
    ],
    "cbor": [
        packed(cbor2.dumps(ORDER)),
        packed(cbor2.dumps(ORDER, canonical=True)),
        Sample(b"\xd9\xd9\xf7\x83\x01\x02\x03", "1,\n  2,\n  3"),
        Sample(cbor2.dumps({"big": 2**70, "neg": -(2**80)}), str(2**70)),
        Sample(
            cbor2.dumps({"raw": b"\xff", "u": cbor2.undefined, "s": cbor2.CBORSimpleValue(99)}),
            '{"$undefined": true}',
        ),
        Sample(cbor2.dumps({"t": cbor2.CBORTag(4000, "x")}), '{"$tag": [\n    4000,\n    "x"\n  ]}'),
        Sample(b"\xbf\x61a\x9f\x01\x02\xff\xff", '"a": [\n    1,\n    2'),
        Sample(b"\xa1\x61f\xf9\x3c\x00", '"f": 1.0'),
        Sample(b"\xa1\x61a\x1b\x00\x00\x00\x00\x00\x00\x00\x01", '"a": 1'),
        Sample(b"\xa1\x61s\x7f\x61a\x61b\xff", '"s": "ab"', returns=False),
        Sample(cbor2.dumps([1, 2]), "1,\n  2", found=False),
    ],
    "bson": [
        Sample(bson.encode(DOCUMENT), '"n": 9007199254740993', returns=False),
        Sample(bson.encode(DOCUMENT), '"when": {"$date": "2024-01-31T12:00:00Z"}', returns=False),
        Sample(
            bson.encode({"price": bson.Decimal128("12.30")}), '{"$numberDecimal": "12.30"}', returns=False
        ),
    ],
    "avro": [
        *(
            Sample(avro(codec), '"id": 9007199254740993', returns=False)
            for codec in ("null", "deflate", "bzip2", "xz", "zstandard", "snappy")
        ),
        Sample(avro(), '"hash": {"$bytes": "00ff"}', returns=False),
    ],
    "php": [
        Sample(
            phpserialize.dumps({"id": 9007199254740993, "l": ["a", None, 0.5, True]}),
            '"l": [\n    "a",\n    null,\n    0.5',
            returns=False,
        ),
        Sample(
            PHP_OBJECT, '"age (protected)": 41,\n    "flag (private to App\\\\User)": true', returns=False
        ),
        Sample(b'a:2:{i:0;E:11:"Suit:Hearts";i:1;R:2;}', '{"$reference": 2}', returns=False),
        Sample(b'C:3:"Bag":5:{a\0b;c}', '"Bag",\n  "a\\u0000b;c"', returns=False),
        Sample(
            b'user|a:1:{s:2:"id";i:7;}seen|i:1700000000;',
            '"user": {\n    "id": 7\n  },\n  "seen": 1700000000',
            returns=False,
        ),
        Sample(b"d:1.0E+25;", "1.0E+25", returns=False),
    ],
    "pickle": [
        *(
            Sample(pickle.dumps({"a": 1, "d": Decimal("1.5")}, protocol), "REDUCE", returns=False)
            for protocol in (2, 3, 4, 5)
        ),
        Sample(pickle.dumps({"a": 1}, 0), "STOP", found=False, returns=False),
    ],
    "gzip": [
        packed(gzip.compress(ORDER_JSON)),
        packed(gzip.compress(ORDER_JSON[:9]) + gzip.compress(ORDER_JSON[9:])),
    ],
    "zlib": [packed(zlib.compress(ORDER_JSON, level)) for level in (0, 1, 6, 9)],
    "zstd": [
        packed(zstandard.ZstdCompressor(write_checksum=True).compress(ORDER_JSON)),
        packed(zstandard.ZstdCompressor(write_content_size=False).compress(ORDER_JSON)),
        packed(zstandard.compress(ORDER_JSON[:9]) + zstandard.compress(ORDER_JSON[9:])),
    ],
    "lz4": [
        packed(lz4.frame.compress(ORDER_JSON)),
        packed(lz4.frame.compress(ORDER_JSON, content_checksum=True, store_size=False)),
    ],
    "brotli": [packed(brotli.compress(ORDER_JSON), found=False)],
    "snappy": [
        packed(bytes(cramjam.snappy.compress(ORDER_JSON))),
        packed(bytes(cramjam.snappy.compress_raw(ORDER_JSON)), found=False),
    ],
    "bitmap": [Sample(b"\x80\x01", "10000000 00000001", found=False, returns=False)],
}
