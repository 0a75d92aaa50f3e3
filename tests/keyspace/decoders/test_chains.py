"""Decoders one after another: found, named, cut, failed, offered, written back."""

import base64
import gzip
import json
import re
import zlib
from typing import Any

import brotli
import bson
import cbor2
import msgpack
import phpserialize
import pytest
import zstandard

from keyspace.decoders import Limits, decode_value, encode_value
from keyspace.errors import BadInput

ORDER = b'{"id":1,"to":"Zo\xc3\xab"}'
PRETTY = '{\n  "id": 1,\n  "to": "Zoë"\n}'
ROWS = json.dumps([{"id": at, "name": f"name {at}"} for at in range(8_000)]).encode()


def test_base64_of_gzip_of_json_is_found() -> None:
    decoded = decode_value(base64.b64encode(gzip.compress(ORDER)))
    assert (decoded.chain, decoded.kind, decoded.text) == (("base64", "gzip", "json"), "json", PRETTY)
    assert decoded.using == "base64+gzip+json"
    assert decoded.label == "Base64 › gzip › JSON"
    assert decoded.roundtrips


@pytest.mark.parametrize(
    "using", ["base64+gzip+json", "base64 gzip json", "base64,gzip,json", "base64+gzip", "base64"]
)
def test_a_chain_is_named_and_its_end_is_found(using: str) -> None:
    assert decode_value(base64.b64encode(gzip.compress(ORDER)), using).text == PRETTY


def test_a_named_chain_may_stop_early() -> None:
    assert decode_value(base64.b64encode(gzip.compress(ORDER)), "base64+hex").text.startswith(
        "00000000  1f 8b"
    )
    assert decode_value(gzip.compress(ORDER), "gzip+text").text == ORDER.decode()


def test_brotli_and_raw_snappy_are_read_when_named_and_never_guessed() -> None:
    data = brotli.compress(ORDER)
    assert decode_value(data, "brotli").text == PRETTY
    assert "brotli" not in decode_value(data).chain
    assert ("brotli+json", "Brotli › JSON") in decode_value(data, "brotli").choices


@pytest.mark.parametrize("using", ["nothing", "gzip+nothing", "json+gzip", "hex+json", "gzip+" * 9 + "json"])
def test_a_chain_that_cannot_be_is_bad_input(using: str) -> None:
    with pytest.raises(BadInput):
        decode_value(ORDER, using)


def test_what_fails_says_so_and_shows_bytes() -> None:
    decoded = decode_value(ORDER, "msgpack")
    assert decoded.failed == "MessagePack: After the MessagePack value 19 bytes are left over."
    assert (decoded.kind, decoded.chain) == ("hex", ("hex",))
    assert not decoded.roundtrips


def test_a_failure_inside_shows_the_bytes_that_failed() -> None:
    decoded = decode_value(gzip.compress(b"\x01\x02\x03"), "gzip+json")
    assert decoded.failed == "JSON: Not valid JSON at line 1, column 1: a value was expected."
    assert decoded.chain == ("gzip", "hex")
    assert decoded.text.startswith("00000000  01 02 03")


def test_damaged_gzip_is_told_also_when_nobody_asked() -> None:
    decoded = decode_value(b"\x1f\x8b\x08\x00 this is no gzip")
    assert decoded.kind == "hex"
    assert (decoded.failed or "").startswith("gzip: The gzip data is damaged")


def test_damage_in_the_middle_shows_what_came_before() -> None:
    decoded = decode_value(gzip.compress(ROWS)[:-8] + b"\xff" * 8)
    assert decoded.chain == ("gzip", "json")
    assert '"name": "name 1"' in decoded.text
    assert "is damaged after" in (decoded.note or "")
    assert decoded.truncated and not decoded.roundtrips


@pytest.mark.parametrize(
    "pack", [gzip.compress, zlib.compress, zstandard.compress], ids=["gzip", "zlib", "zstd"]
)
def test_the_beginning_of_a_compressed_value_shows_what_there_is(pack: Any) -> None:
    packed = pack(ROWS)
    decoded = decode_value(packed[: len(packed) * 9 // 10], partial=True)
    assert decoded.chain[-1] == "json"
    assert decoded.text.startswith('[\n  {\n    "id": 0,\n    "name": "name 0"')
    assert len(decoded.text) > 10_000
    assert "Only the beginning" in (decoded.note or "")
    assert decoded.truncated


def test_the_beginning_of_json_closes_what_it_opened() -> None:
    decoded = decode_value(b'{"rows":[{"a":1},{"a"', partial=True)
    assert (decoded.kind, decoded.chain) == ("json", ("json",))
    assert decoded.text == '{\n  "rows": [\n    {\n      "a": 1\n    },\n    {\n      "a": …\n    }\n  ]\n}'


LONG = {"html": "<p>" + "é" * 500}


@pytest.mark.parametrize(
    ("data", "using"),
    [
        (json.dumps(LONG, ensure_ascii=False).encode(), "json"),
        (json.dumps(LONG).encode(), "json"),
        (msgpack.packb(LONG), "msgpack"),
        (cbor2.dumps(LONG), "cbor"),
        (bson.encode(LONG), "bson"),
        (phpserialize.dumps(LONG), "php"),
        (base64.b64encode(json.dumps(LONG).encode()), "base64+json"),
    ],
)
def test_a_long_string_that_is_cut_shows_its_beginning(data: bytes, using: str) -> None:
    for end in (101, 102, 103, 104, 105):
        decoded = decode_value(data[:end], partial=True)
        assert decoded.using == using
        assert '"html": "<p>ééé' in decoded.text
        assert decoded.text.endswith('é…"\n}')


def test_a_compressed_value_that_ends_early_says_so() -> None:
    packed = gzip.compress(ROWS)
    decoded = decode_value(packed[: len(packed) // 2])
    assert "ends early" in (decoded.note or "")
    assert decoded.chain == ("gzip", "json")


def test_bytes_after_the_end_are_told_and_not_lost_by_an_edit() -> None:
    decoded = decode_value(gzip.compress(ORDER) + b"tail")
    assert decoded.text == PRETTY
    assert "4 B after the end" in (decoded.note or "")
    assert not decoded.roundtrips


def test_output_beyond_the_limit_is_cut_and_told() -> None:
    decoded = decode_value(gzip.compress(b"a" * 5_000_000))
    assert len(decoded.text) == 1024 * 1024
    assert "Cut: unpacked as far as 1 MiB." in (decoded.note or "")


@pytest.mark.parametrize("room", [150, 200, 300, 400])
def test_a_tree_that_is_cut_closes_what_it_opened_and_marks_the_place(room: int) -> None:
    rows = [{"id": at, "n": 'x\\"\u200b' * 9, "raw": b"\xff" * 40} for at in range(50)]
    decoded = decode_value(msgpack.packb(rows), limits=Limits(output=room))
    assert decoded.text.count("…") == 1
    assert decoded.truncated
    json.loads(re.sub(r"\s*…(?=\s*[}\]])", "", decoded.text).replace(",\n  ]", "\n  ]"))


def test_choices_begin_with_what_is_shown_and_go_through_the_same_packings() -> None:
    choices = decode_value(base64.b64encode(gzip.compress(ORDER))).choices
    assert choices[0] == ("base64+gzip+json", "Base64 › gzip › JSON")
    assert {"base64+gzip+text", "base64+gzip+hex", "text", "hex", "base64"} <= dict(choices).keys()


def test_an_edit_goes_back_through_the_chain() -> None:
    old = base64.b64encode(zlib.compress(msgpack.packb({"n": 1, "f": 0.5}, use_single_float=True), 9))
    decoded = decode_value(old)
    assert decoded.using == "base64+zlib+msgpack"
    new = encode_value(decoded.text.replace("1", "2"), decoded.using, like=old)
    inside = zlib.decompress(base64.b64decode(new))
    assert inside == msgpack.packb({"n": 2, "f": 0.5}, use_single_float=True)


def test_a_new_value_is_written_without_an_old_one() -> None:
    assert gzip.decompress(encode_value(PRETTY, "gzip+json")) == PRETTY.encode()
    assert msgpack.unpackb(encode_value('{"a": {"$bytes": "ff"}, "b": [1, 2.0]}', "msgpack")) == {
        "a": b"\xff",
        "b": [1, 2.0],
    }


@pytest.mark.parametrize(
    ("text", "using", "says"),
    [
        ('{"a": 1', "json", "ends before its value"),
        ('{"a": 1,}', "json", "line 1, column 9: a key in double quotes"),
        ("[1 2]", "json", "column 4: ',' or ']'"),
        ("[01]", "json", "column 3"),
        ("xyz", "hex", "pairs of the digits"),
        ("12 apples", "number", "in digits"),
        ("x", "uuid", "8-4-4-4-12"),
        (str(2**64), "msgpack", "64 bits"),
        ("1e999", "msgpack", "too large for a float"),
        ('{"$bytes": "0g"}', "cbor", "hex digits"),
        ('{"$magic": 1}', "msgpack", "has nothing for"),
        ('{"$timestamp": "yesterday"}', "msgpack", "A time is written like"),
        ('"\\ud800"', "msgpack", "surrogate"),
        ("[" * 200 + "]" * 200, "json", "nested deeper"),
        ("\ud800", "text", "surrogate"),
        ("x", "gzip", "does not end in a form"),
        ("x", "", "does not end in a form"),
    ],
)
def test_text_that_is_not_valid_is_refused_in_words(text: str, using: str, says: str) -> None:
    with pytest.raises(BadInput, match=says.replace("[", r"\[")):
        encode_value(text, using)


def test_an_old_value_that_no_longer_fits_the_chain_is_refused() -> None:
    with pytest.raises(BadInput, match="do not begin as gzip"):
        encode_value("{}", "gzip+json", like=b"meanwhile it is text")


def test_time_is_bounded_for_the_chain_as_a_whole() -> None:
    decoded = decode_value(ROWS * 3, "json", limits=Limits(items=10**9, output=10**9, seconds=0.02))
    assert decoded.truncated
    assert "0.02 s" in (decoded.note or "")
