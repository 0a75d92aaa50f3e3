"""What single formats show, keep and tell."""

import base64
import io
import json
import random
import uuid

import cbor2
import fastavro
import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyspace.decoders import EDITED, decode_value, encode_value
from keyspace.decoders.recognition import recognise
from tests.keyspace.decoders.avro_files import AVRO_SCHEMA
from tests.keyspace.decoders.samples import jwt

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.binary(max_size=500))
def test_hex_and_text_come_back_from_any_bytes(data: bytes) -> None:
    for using in ("hex", "text"):
        decoded = decode_value(data, using)
        assert encode_value(decoded.text, using, like=data) == data


def test_hex_is_read_plain_or_as_a_dump_whatever_the_right_column_says() -> None:
    assert encode_value("00 ff\n7c7c", "hex") == b"\x00\xff||"
    dump = decode_value(b"||  |abc" * 5, "hex").text
    assert (
        encode_value(dump.replace("7c 7c", "00 01 02", 1), "hex") == b"\x00\x01\x02  |abc" + b"||  |abc" * 4
    )


@pytest.mark.parametrize("wide", [b"\xd3" + bytes(7) + b"\x07", b"\xcd\x00\x07", b"\xd1\x00\x07"])
def test_an_integer_keeps_the_width_its_program_gave_it(wide: bytes) -> None:
    like = b"\x82\xa1a" + wide + b"\xa1b\xa1x"
    written = encode_value('{"a": 8, "b": "y"}', "msgpack", like=like)
    assert written == b"\x82\xa1a" + wide[:-1] + b"\x08\xa1b\xa1y"


def test_a_value_too_large_for_its_old_width_gets_a_larger_one() -> None:
    assert encode_value('{"a": 300}', "msgpack", like=b"\x81\xa1a\xcc\x07") == b"\x81\xa1a\xcd\x01\x2c"
    assert (
        encode_value('{"a": 40000}', "msgpack", like=b"\x81\xa1a\xd1\x00\x07")
        == b"\x81\xa1a\xd2\x00\x00\x9c\x40"
    )


def test_new_items_are_written_like_their_fellows() -> None:
    like = msgpack.packb([0.5, 1.5], use_single_float=True)
    assert encode_value("[0.5, 1.5, 2.5]", "msgpack", like=like) == msgpack.packb(
        [0.5, 1.5, 2.5], use_single_float=True
    )
    assert encode_value("[0.1]", "msgpack", like=like) == msgpack.packb([0.1])


def test_keys_that_look_like_our_marks_are_told_apart() -> None:
    value = {"$bytes": "text", "a": {"$$": 1}, "b": b"\x01", "c": {"$ext": 1, "x": 2}}
    decoded = decode_value(msgpack.packb(value))
    assert msgpack.unpackb(encode_value(decoded.text, "msgpack")) == value


def test_numbers_of_any_size_stay_exact() -> None:
    data = b'{"n":123456789012345678901234567890.10,"e":1E400,"z":-0.0}'
    assert "123456789012345678901234567890.10" in decode_value(data).text
    assert "1E400" in decode_value(data).text
    assert decode_value(data).roundtrips


def test_doubled_keys_are_kept_and_told() -> None:
    decoded = decode_value(b'{"a":{"x":1,"x":2}}')
    assert "The key 'x' appears more than once" in (decoded.note or "")
    assert decoded.roundtrips


def test_kind_tells_standard_json_from_more() -> None:
    assert decode_value(msgpack.packb({"a": 1})).kind == "json"
    assert decode_value(msgpack.packb({1: "a", 2: "b"})).kind == "tree"
    assert decode_value(msgpack.packb({"a": float("nan")})).kind == "tree"
    assert decode_value(cbor2.dumps({"a": 2**5000})).kind == "tree"


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
def test_avro_rows_are_shown_as_the_library_reads_them(codec: str) -> None:
    leaf = {"id": 1, "to": "x", "state": "PAID", "hash": b"\x00\x01", "tags": {"a": 0.5}, "parts": []}
    rows = [{**leaf, "id": at, "parts": [leaf] * (at % 3)} for at in range(500)]
    out = io.BytesIO()
    fastavro.writer(out, AVRO_SCHEMA, rows, codec=codec, sync_interval=500)
    decoded = decode_value(out.getvalue())
    assert decoded.note == f"Avro record Order, codec {codec}: 500 rows."
    shown = json.loads(decoded.text)
    assert shown == [json.loads(json.dumps(row, default=lambda raw: {"$bytes": raw.hex()})) for row in rows]


def test_php_objects_show_class_and_visibility() -> None:
    text = decode_value(b'O:1:"A":2:{s:4:"\0*\0p";i:1;s:4:"\0A\0q";a:2:{i:0;N;i:1;d:0.5;}}').text
    assert '"p (protected)": 1' in text
    assert '"q (private to A)": [' in text


def test_a_token_tells_its_times_and_that_nobody_checked_it() -> None:
    note = decode_value(jwt({"iat": 1600000000, "exp": 1700000000})).note or ""
    assert note.startswith("Not verified: the signature was not checked.")
    assert "issued 2020-09-13 12:26:40 UTC" in note
    assert "expired 2023-11-14 22:13:20 UTC" in note
    assert "expires 2286" in (decode_value(jwt({"exp": 9999999999})).note or "")
    assert "encrypted" in (decode_value(b"eyJhbGciOiJkaXIifQ....", "jwt").failed or "")


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"1700000000", "As Unix time in seconds: 2023-11-14 22:13:20 UTC."),
        (b"1700000000123", "As Unix time in milliseconds: 2023-11-14 22:13:20.123 UTC."),
        (b"1700000000123456789", "As Unix time in nanoseconds: 2023-11-14 22:13:20.123456789 UTC."),
        (b"1700000000.25", "As Unix time in seconds: 2023-11-14 22:13:20.25 UTC."),
        (b"42", None),
        (b"-5", None),
    ],
)
def test_numbers_tell_what_they_are_as_a_time(data: bytes, note: str | None) -> None:
    assert decode_value(data).note == note


def test_bytes_as_numbers_are_listed_in_both_orders() -> None:
    text = decode_value((1700000000).to_bytes(4, "big"), "number").text
    assert "uint32 big-endian     1700000000    As Unix time in seconds: 2023-11-14 22:13:20 UTC." in text


def test_uuids_tell_version_and_time() -> None:
    assert decode_value(str(uuid.UUID(int=0)).encode()).note == "The UUID of all zeros."
    assert (
        decode_value(b"018bcfe5-6800-7000-8000-000000000000").note == "Version 7, made 2023-11-14T22:13:20Z."
    )
    assert (
        decode_value(b"c232ab00-9414-11ec-b3c8-9f6bdeced846").note == "Version 1, made 2022-02-22T19:22:22Z."
    )
    assert (
        decode_value(b"1ec9414c-232a-6b00-b3c8-9f6bdeced846").note == "Version 6, made 2022-02-22T19:22:22Z."
    )


def test_a_bitmap_shows_bits_as_setbit_counts_them_and_folds_zeros() -> None:
    decoded = decode_value(b"\x80" + bytes(100) + b"\x01", "bitmap")
    assert decoded.note == "2 of 816 bits are set."
    assert decoded.text.splitlines()[0].split() == ["0", "10000000", *["00000000"] * 7]
    assert decoded.text.splitlines()[1] == "*"
    assert decoded.text.splitlines()[-1].split()[0] == "768"


@pytest.mark.parametrize("length", [1, 2, 4, 7, 8, 12, 16, 20, 32, 64, 200])
def test_random_bytes_and_ids_are_taken_for_nothing(length: int) -> None:
    """Fewer than one in a thousand; a lone digit is a number all the same."""
    chance = random.Random(length)
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ids = ["".join(chance.choices(alphabet, k=length)).encode() for _ in range(2000)]
    ids += [base64.b64encode(chance.randbytes(length)) for _ in range(500)] if length > 6 else []
    taken = [data for data in ids if recognise(data)[0].name != "text"]
    raw = [chance.randbytes(length) for _ in range(2000)]
    taken += [data for data in raw if recognise(data)[0].name not in ("text", "hex", "number", "json")]
    assert len(taken) <= 4, taken[:10]


def test_words_that_could_be_base64_stay_words() -> None:
    for word in (
        b"username",
        b"password",
        b"transactionApproved",
        b"deadbeefdeadbeefdeadbeefdeadbeef",
        b"x^2+y",
        b"abcd",
        b"OK",
    ):
        assert decode_value(word).chain == ("text",)


def test_large_values_within_the_edit_limits_come_back() -> None:
    rows = json.dumps([{"id": at, "name": "x" * 20} for at in range(18_000)]).encode()
    assert decode_value(rows).truncated
    whole = decode_value(rows, "json", limits=EDITED)
    assert not whole.truncated
    assert encode_value(whole.text, "json", like=rows) == rows
