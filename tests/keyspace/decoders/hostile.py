"""Values made to exhaust, mislead or break their reader, by decoder."""

import bz2
import gzip
import json
import lzma
import zlib

import brotli
import cramjam
import lz4.frame
import zstandard

from tests.keyspace.decoders.avro_files import avro_container, zigzag

BOMB = b"\0" * (64 * 1024 * 1024)


def bombs() -> dict[str, bytes]:
    snappy = bytes(cramjam.snappy.compress_raw(BOMB))
    schema = b'"bytes"'
    row = zigzag(len(BOMB)) + BOMB
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return {
        "gzip": gzip.compress(BOMB),
        "zlib": zlib.compress(BOMB),
        "zstd": zstandard.ZstdCompressor(level=19).compress(BOMB),
        "lz4": lz4.frame.compress(BOMB, block_size=lz4.frame.BLOCKSIZE_MAX4MB),
        "brotli": brotli.compress(BOMB, quality=5),
        "snappy": bytes(cramjam.snappy.compress(BOMB)),
        "snappy raw": snappy,
        "avro deflate": avro_container(
            packer.compress(row) + packer.flush(), 1, codec=b"deflate", schema=schema
        ),
        "avro bzip2": avro_container(bz2.compress(row), 1, codec=b"bzip2", schema=schema),
        "avro xz": avro_container(lzma.compress(row), 1, codec=b"xz", schema=schema),
        "avro zstd": avro_container(zstandard.compress(row), 1, codec=b"zstandard", schema=schema),
        "avro snappy": avro_container(
            bytes(cramjam.snappy.compress_raw(row)) + b"crc?", 1, codec=b"snappy", schema=schema
        ),
    }


BOMBS = bombs()


HOSTILE = {
    "msgpack": [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff\x00",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 100_000,
        b"\x81\xa1a" * 50_000,
        b"\xdd\xff\xff\xff\xff" * 10_000,
        b"\xc1",
        b"\xdc\xff\xff" + b"\xc0" * 65535,
    ],
    "cbor": [
        b"\x9b" + b"\xff" * 8,
        b"\xbb" + b"\xff" * 8,
        b"\x5b" + b"\xff" * 8,
        b"\x81" * 100_000,
        b"\x9f" * 100_000,
        b"\xc2" * 100_000,
        b"\xc2\x5a\x00\x03\xff\xff" + b"\xff" * 0x3FFFF,
        b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01",
        b"\xc5\x82\x1b\x7f" + b"\xff" * 7 + b"\x01",
        b"\x5f" + b"\x40" * 200_000,
        b"\xff",
        b"\xd8\x1d\x00",
        b"\xd8\x23\x6d(a+)+$aaaaaaa!",
    ],
    "bson": [
        b"\xff\xff\xff\x7f\x00",
        b"\xff\xff\xff\xff\x00",
        b"\x0c\x00\x00\x00\x02a\x00\xff\xff\xff\x7f\x00",
        b"\x0c\x00\x00\x00\x05a\x00\xf0\xff\xff\xff\x00",
        b"\x08\x00\x00\x00\x03a\x00" * 20_000,
        b"\x10\x00\x00\x00\x0fa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ],
    "php": [
        b"a:999999999999:{",
        b"a:1:{i:0;" * 50_000,
        b's:99999999999:"x";',
        b"a:-1:{}",
        b'O:1:"A":1:{i:0;' * 20_000,
        b"i:" + b"9" * 100_000 + b";",
        b"d:" + b"9" * 100_000 + b";",
        b'C:1:"A":99999999:{',
        b"a:100000000:{" + b"i:0;N;" * 100,
    ],
    "json": [
        b"[" * 500_000,
        b'{"a":' * 200_000,
        b"[" + b"0," * 500_000 + b"0]",
        b'"' + b"\\u0000" * 200_000 + b'"',
        b"9" * 1_000_000,
        b'"' + b"a" * 1_000_000,
        b"1e" + b"9" * 100_000,
        b'"\\' * 300_000,
        b" " * 2_000_000,
    ],
    "pickle": [
        b"\x80\x02" + b"(" * 500_000 + b".",
        b"\x80\x04\x8a\xff" + b"\xff" * 255 + b".",
        b"\x80\x04\x8b\xff\xff\xff\x7f.",
        b"\x80\x04B\xff\xff\xff\xff.",
        b"I" + b"9" * 1_000_000 + b"\n.",
        b"L" + b"9" * 1_000_000 + b"L\n.",
        b"\x80\x04\x8b\x40\x42\x0f\x00" + b"\xff" * 1_000_000 + b".",
        b"\x80\x04" + b"K\x01" * 400_000 + b".",
        b"S'" + b"\\x00" * 300_000 + b"'\n.",
    ],
    "avro": [
        avro_container(b"", 2**62, codec=b"null", schema=b'"null"'),
        avro_container(zigzag(2**62), 1, codec=b"null", schema=b'{"type":"array","items":"null"}'),
        avro_container(
            b"", 5, codec=b"null", schema=b'{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}'
        ),
        avro_container(b"", 2**61, codec=b"null", schema=b'{"type":"record","name":"A","fields":[]}'),
        avro_container(b"", 2**61, codec=b"null", schema=b'{"type":"fixed","name":"A","size":0}'),
        avro_container(b"\x00", 1, codec=b"null", schema=b"[" * 300 + b'"null"' + b"]" * 300),
        avro_container(b"\x00", 1, codec=b"null", schema=json.dumps(["null"] * 100_000).encode()),
        avro_container(b"\x00", 1, codec=b"null", schema=b'{"type":"fixed","name":"A","size":1e400}'),
        b"Obj\x01" + zigzag(2**62),
        b"Obj\x01" + zigzag(1) + zigzag(2**62),
        b"Obj\x01" + b"\xff" * 100,
    ],
    "snappy": [
        b"\xff\xff\xff\xff\x0f" + b"\x00a" + b"\xfe\x01\x00" * 300_000,
        b"\xff\xff\xff\xff\xff",
        b"\x0a\x01\x00",
        b"\x80\x80\x40\xfc\xff\xff\xff\xff",
        b"\xff\x06\x00\x00sNaPpY" + b"\xfe\x00\x00\x00" * 200_000,
    ],
    "gzip": [gzip.compress(b"") * 30_000, b"\x1f\x8b\x08\x1f" + b"\xff" * 100_000],
    "zstd": [
        zstandard.compress(b"") * 30_000,
        b"\x28\xb5\x2f\xfd\xa0\xff\xff\xff\x7f\x01\x00\x00",
        b"\x28\xb5\x2f\xfd\x00\xa8\x03\x00\x00",
        b"\x28\xb5\x2f\xfd\x00\xf8" + b"\x02\x00\x10a" * 200_000,
        b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x02\x00\x10a" * 100_000,
    ],
    "lz4": [lz4.frame.compress(b"") * 30_000, b"\x04\x22\x4d\x18\x40\x70\xdf\xff\xff\xff\x7f"],
    "brotli": [b"\x21\xff\xff\xff\xff" * 10_000, b"\x0b" * 100_000],
    "base64": [b"A" * 4_000_001, b"\n" * 1_000_000 + b"AAAA", b"=" * 100_000, b"QUFB" * 500_000 + b"!"],
    "jwt": [
        b"." * 100_000,
        b"e30." * 50_000,
        b"e30." + b"W1tb" * 200_000 + b".x",
        b"A" * 1_000_000 + b".AA.A",
    ],
    "text": [b"\xff" * 1_000_000, b"\xe2\x80\x8b" * 300_000],
    "hex": [b"\xff" * 3_000_000],
    "bitmap": [b"\x00" * 3_000_000, b"\xff" * 3_000_000],
    "number": [b"1" * 1_000_000, b"0." + b"1" * 1_000_000, b"\x00\x00\x00\x00\x00\x00\xf0\x7f"],
    "uuid": [b"-" * 36, b"\x00" * 16, b"\xff" * 16],
    "zlib": [b"\x78\x9c" + b"\xff" * 100_000, b"\x78\x01" + b"\x00\x00\x00\xff\xff" * 200_000],
}
