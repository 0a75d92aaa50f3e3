"""What is shown and written, against the libraries that programs use, on values of any kind."""

import json
import math
import struct
from typing import Any

import bson
import cbor2
import cramjam
import msgpack
import phpserialize
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyspace.decoders import LIMITS, decode_value, encode_value

quick = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.integers(0, 300), inner, max_size=5)
    ),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)

php_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(min_size=1), inner, max_size=5),
)


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, and takes NaN for itself."""
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return type(one) is type(other) and one == other


@quick
@given(values)
def test_msgpack_is_shown_exactly_and_comes_back(value: Any) -> None:
    data = msgpack.packb(value)
    decoded = decode_value(data, "msgpack")
    assert decoded.failed is None
    assert decoded.roundtrips or "NaN" in decoded.text
    again = encode_value(decoded.text, "msgpack")
    assert same(msgpack.unpackb(again, strict_map_key=False), msgpack.unpackb(data, strict_map_key=False))


@quick
@given(values)
def test_cbor_is_shown_exactly_and_comes_back(value: Any) -> None:
    data = cbor2.dumps(value)
    decoded = decode_value(data, "cbor")
    assert decoded.failed is None
    assert decoded.roundtrips or "NaN" in decoded.text
    assert same(cbor2.loads(encode_value(decoded.text, "cbor")), cbor2.loads(data))


@quick
@given(plain, st.sampled_from([None, 2, 4, "\t"]), st.booleans())
def test_json_of_python_is_shown_exactly_and_comes_back(
    value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    decoded = decode_value(data, "json")
    assert same(json.loads(decoded.text), json.loads(data))
    assert decoded.roundtrips


@quick
@given(plain, plain)
def test_an_edit_of_json_keeps_the_layout_of_the_old_value(old: Any, new: Any) -> None:
    for layout in ({"separators": (",", ":")}, {}, {"indent": 2}):
        like = json.dumps([old, "x", {"a": 1}], ensure_ascii=False, **layout).encode()
        written = encode_value(json.dumps([new, "y", {"b": 2}]), "json", like=like)
        assert written == json.dumps([new, "y", {"b": 2}], ensure_ascii=False, **layout).encode()


@quick
@given(st.dictionaries(st.sampled_from("abcde"), php_values, max_size=4))
def test_bson_shows_what_was_written(value: dict[str, Any]) -> None:
    try:
        data = bson.encode(value)
    except bson.errors.InvalidDocument:
        return  # NUL in a key
    assert same(json.loads(decode_value(data, "bson").text), json.loads(json.dumps(value)))


@quick
@given(st.dictionaries(st.text(min_size=1).filter(lambda key: not key.isdigit()), php_values, max_size=4))
def test_php_shows_what_was_written(value: dict[str, Any]) -> None:
    """PHP has one type for lists and maps, and an empty one is shown as a map."""
    data = phpserialize.dumps(value)
    shown = json.loads(decode_value(data, "php").text)
    back = phpserialize.loads(data, decode_strings=True)
    assert json.dumps(_counted(shown), sort_keys=True) == json.dumps(
        _counted(back), sort_keys=True
    ) or "\\u0000" in json.dumps(shown)


def _counted(value: Any) -> Any:
    """Lists as maps from their indices."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    return {str(key): _counted(inner) for key, inner in value.items()} if isinstance(value, dict) else value


@quick
@given(st.binary(max_size=3000))
def test_raw_snappy_unpacks_what_the_library_packs(data: bytes) -> None:
    data += data[::2] * 3
    packed = bytes(cramjam.snappy.compress_raw(data))
    decoder = next(step.decoder for step in decode_value(packed, "snappy").steps[:1])
    assert not data or decoder.decode(packed, LIMITS).data == data


@quick
@given(
    st.binary(max_size=2000), st.sampled_from(["gzip", "zlib", "zstd", "lz4", "brotli", "snappy", "base64"])
)
def test_what_is_packed_unpacks_the_same(content: bytes, name: str) -> None:
    packed = encode_value(content.hex(), f"{name}+hex")
    inside = decode_value(packed, f"{name}+hex")
    assert (
        bytes.fromhex(content.hex()) == encode_value(inside.text if not inside.failed else "", "hex")
        or not content
    )
