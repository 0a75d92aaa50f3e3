"""Values made to exhaust, mislead or break their reader."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import resource
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import brotli
import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyspace.decoders import DECODERS, LIMITS, DecodeError, Limits, decode_value
from tests.keyspace.decoders.samples import SAMPLES, avro_container, zigzag

MIB = 1024 * 1024
BOMB = b"\0" * (64 * MIB)
NAMES = [decoder.name for decoder in DECODERS]


MORE = 160 * MIB
"""Address space that one reading may add: zstd's largest window is 128 MiB, of which it touches what it needs."""


@pytest.fixture
def _within_bounds() -> Iterator[None]:
    """Less than 3 s of this thread (for two readings of at most 1 s each), and no more memory than MORE: beyond that
    allocations fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    began = time.thread_time()
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert time.thread_time() - began < 3


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


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.usefixtures("_within_bounds")
def test_a_bomb_is_unpacked_only_as_far_as_the_limit(name: str) -> None:
    decoder = decode_value(BOMBS[name], name.split()[0])
    assert decoder.truncated
    assert len(decoder.text) <= MIB
    assert "Cut" in (decoder.note or "")


@pytest.mark.usefixtures("_within_bounds")
def test_bombs_in_bombs_end() -> None:
    data = BOMB
    for _ in range(20):
        data = gzip.compress(data)
    assert len(decode_value(data).chain) <= 8


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


@pytest.mark.parametrize(
    ("name", "at"), [(name, at) for name, values in HOSTILE.items() for at in range(len(values))]
)
@pytest.mark.usefixtures("_within_bounds")
def test_a_hostile_value_is_read_within_bounds(name: str, at: int) -> None:
    data = HOSTILE[name][at]
    for using, partial in ((name, False), (None, True)):
        decoded = decode_value(data, using, partial=partial)
        assert len(decoded.text) <= LIMITS.output
        assert "this decoder failed" not in (decoded.failed or "")


def test_every_format_has_been_attacked() -> None:
    assert set(HOSTILE) == set(NAMES)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('a pickle was run')",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_listed_and_never_run(protocol: int) -> None:
    decoded = decode_value(pickle.dumps(Evil(), protocol), "pickle")
    assert decoded.kind == "listing"
    assert "a pickle was run" in decoded.text
    assert "it was not run" in (decoded.note or "")
    assert "exec" in (decoded.note or "")


def test_a_pickle_bomb_of_shared_lists_stays_a_listing() -> None:
    data = b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (at + 1, at, at) for at in range(60)) + b"."
    assert len(decode_value(data, "pickle").text) < 20_000


def test_php_objects_are_shown_and_not_made() -> None:
    decoded = decode_value(b'O:8:"PharData":1:{s:4:"file";s:11:"/etc/passwd";}')
    assert '"$object"' in decoded.text
    assert decoded.chain == ("php",)


def test_markup_stays_text() -> None:
    assert "<script>" in decode_value(b'{"a":"<script>alert(1)</script>"}').text


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_shown_whatever_they_are_read_as(data: bytes, partial: bool) -> None:
    for using in (None, *NAMES):
        decoded = decode_value(data, using, partial=partial, limits=Limits(output=5000, items=500))
        assert len(decoded.text) <= 5000
        assert decoded.truncated or not partial


magics = st.sampled_from(sorted({sample.data[:12] for samples in SAMPLES.values() for sample in samples}))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(magics, st.binary(max_size=200))
def test_decoders_raise_nothing_but_decode_errors(magic: bytes, rest: bytes) -> None:
    """Around the net that `decode_value` has for faults of ours."""
    for decoder in DECODERS:
        for partial in (False, True):
            assert 0 <= decoder.detect(magic + rest, partial=partial) <= 100
            try:
                decoder.decode(magic + rest, LIMITS.begin(), partial=partial)
            except DecodeError as error:
                assert str(error).endswith((".", "…", ")"))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_shown_as_it_is_or_with_escapes_and_comes_back(text: str) -> None:
    decoded = decode_value(text.encode("utf-8", "surrogatepass"), "text")
    assert decoded.roundtrips
    assert not set(decoded.text) & {chr(code) for code in (*range(9), *range(11, 32), 0x202E, 0x200B)}


def test_a_fault_of_ours_does_not_blank_the_page(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = next(decoder for decoder in DECODERS if decoder.name == "json")
    monkeypatch.setattr(type(decoder), "decode", lambda *args, **kwargs: 1 / 0)
    decoded = decode_value(b"{}", "json")
    assert decoded.failed == "JSON: this decoder failed on these bytes."
    assert decoded.kind == "hex"
    assert "decoder json failed" in caplog.text


def test_the_listing_never_holds_what_it_does_not_show() -> None:
    listed = decode_value(pickle.dumps({"x": io.BytesIO(b"y" * 5 * MIB).getvalue()}), "pickle")
    assert len(listed.text) < 2000
    assert "5 MiB" in listed.text
