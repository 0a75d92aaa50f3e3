"""Bytes to text and back, and keys in addresses: nothing is lost, whatever the bytes."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyspace.encoding import from_key_id, from_text, key_id, to_text
from keyspace.errors import BadInput

EVERY_BYTE = [bytes([value]) for value in range(256)]
ADDRESS = set(string.ascii_letters + string.digits + "-_~")


@given(st.binary())
def test_text_leads_back_to_the_bytes(data):
    assert from_text(to_text(data)) == data


@given(st.text(alphabet=st.characters(exclude_characters="\\", exclude_categories=["Cs"])))
def test_what_is_typed_is_utf8_where_it_holds_no_escape(text):
    assert from_text(text) == text.encode()


@given(st.binary())
def test_text_is_printable(data):
    assert to_text(data).isprintable()


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=50))
def test_readable_text_stays_as_it_is(text):
    shown = to_text(text.encode())
    assert shown.replace("\\\\", "\\") == text


@pytest.mark.parametrize("data", EVERY_BYTE, ids=lambda data: data.hex())
def test_every_byte_alone_and_between(data):
    for name in (data, b"a" + data + b"z", data * 3, b"\\" + data, data + b"\\", "é".encode() + data):
        assert from_text(to_text(name)) == name
        assert from_key_id(key_id(name)) == name
        assert set(key_id(name)) <= ADDRESS


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"session:1", "session:1"), ("ação".encode(), "ação"), (b"\xff", r"\xff"), (b"a\nb\tc\r", r"a\nb\tc\r"), (b"\x00", r"\x00"),
     (b"a\\b", r"a\\b"), (b"\\xff", r"\\xff"), (b"", ""), ("\u200b".encode(), r"\xe2\x80\x8b"), ("😀".encode(), "😀"),
     (b"\xc3", r"\xc3"), (b'"quoted"', '"quoted"'), ("\u202e".encode(), r"\xe2\x80\xae")],
)  # fmt: skip
def test_how_names_are_shown(data, text):
    assert to_text(data) == text and from_text(text) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"\q", rb"\q"),
        (r"\x1", rb"\x1"),
        ("\\", b"\\"),
        (r"\xFF", b"\xff"),
        (r"\a\b", b"\a\b"),
        (r"\*", rb"\*"),
    ],
)
def test_what_else_may_be_typed(text, data):
    assert from_text(text) == data


@given(st.binary())
def test_every_name_has_an_address(name):
    address = key_id(name)
    assert address and set(address) <= ADDRESS and from_key_id(address) == name


@given(st.binary(), st.binary())
def test_two_names_never_share_an_address(one, other):
    assert (key_id(one) == key_id(other)) == (one == other)


@given(st.text())
def test_an_address_is_ours_or_refused(address):
    try:
        name = from_key_id(address)
    except BadInput:
        return
    assert key_id(name) == address


@pytest.mark.parametrize(
    "address", ["", "=", "a", "YQ==", "YQ=", "YR", "a b", "é", "../..", "%00", "~~", "Y\nQ", "Y+/Q"]
)
def test_garbage_is_refused_in_words(address):
    with pytest.raises(BadInput, match="not the address of a key"):
        from_key_id(address)
