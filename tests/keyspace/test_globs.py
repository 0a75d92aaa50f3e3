"""Our globs mean what the servers' own mean: each pattern is put to a real server's SCAN MATCH as well."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyspace.globs import compile_glob, escape_glob, is_glob
from tests.shared_servers import shared_server

PIECES = st.sampled_from(
    [
        b"*",
        b"?",
        b"[",
        b"]",
        b"^",
        b"-",
        b"\\",
        b"a",
        b"b",
        b"c",
        b"z",
        b"\xff",
        b"\x00",
        b"\n",
        b"ab",
        b"[a-c]",
    ]
    + [b"[^a]", b"[c-a]", b"[]", b"[^]", b"[a", b"[a-", b"\\*", b"[\\]]", b"[a-c-e]", b"**"]
)
PATTERN = st.lists(PIECES, max_size=7).map(b"".join)
NAMES = st.lists(
    st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"*", b"?", b"[", b"]", b"^", b"-", b"\\", b"\xff", b"\x00", b"\n", b""]), max_size=5)
    .map(b"".join), min_size=1, max_size=12, unique=True,
)  # fmt: skip


def matched_by_server(kind, pattern, names):
    with shared_server(kind).client() as client:
        client.mset(dict.fromkeys(names, b"v"))
        cursor, found = 0, set()
        while True:
            cursor, page = client.scan(cursor, match=pattern, count=1000)
            found.update(page)
            if cursor == 0:
                return found


@pytest.mark.parametrize("kind", ["valkey9", "redis7"])
def test_a_glob_matches_what_the_server_matches(kind):
    @settings(max_examples=150, deadline=None)
    @given(PATTERN, NAMES)
    @example(b"[a-", [b"a", b"-", b"b"])
    @example(b"[", [b"[", b"a"])
    @example(b"[^", [b"a", b"^"])
    @example(b"[a-\\z]", [b"a", b"b", b"z", b"\\"])
    @example(b"[\\", [b"\\", b"a"])
    @example(b"a\\", [b"a\\", b"a"])
    @example(b"[]a]", [b"a", b"]a]", b"]", b"a]"])
    @example(b"[a-]]", [b"a", b"b", b"-", b"]", b"-]", b"a]", b"\\"])
    @example(b"*a*b*", [b"ab", b"ba", b"xaxbx", b"a\nb"])
    def check(pattern, names):
        ours = {name for name in names if compile_glob(pattern).fullmatch(name)}
        assert ours == (
            matched_by_server(kind, pattern, names) if pattern else {name for name in names if name == b""}
        )

    check()


@given(st.binary(max_size=20))
def test_an_escaped_name_matches_itself_alone(name):
    pattern = escape_glob(name)
    assert compile_glob(pattern).fullmatch(name)
    for other in (
        name + b"a",
        b"a" + name,
        name[:-1] + b"\x01\x02",
        name.replace(b"*", b"xx").replace(b"?", b"yy"),
    ):
        assert other == name or not compile_glob(pattern).fullmatch(other)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=12))
def test_the_server_agrees_that_an_escaped_name_matches_itself(name):
    assert matched_by_server("valkey9", escape_glob(name), [name, name + b"x", b"x" + name]) == {name}


@pytest.mark.parametrize("value", range(256))
def test_every_byte_in_a_class_and_alone(value):
    byte = bytes([value])
    assert compile_glob(escape_glob(byte)).fullmatch(byte)
    assert compile_glob(b"[\\" + byte + b"]").fullmatch(byte)
    assert compile_glob(b"?").fullmatch(byte) and compile_glob(b"*").fullmatch(byte)


def test_what_is_a_glob():
    assert all(map(is_glob, (b"*", b"a?", b"[a]", b"\\a")))
    assert not any(map(is_glob, (b"", b"a", b"a]", b"^", b"\xff")))


def test_a_pattern_of_many_stars_ends_soon():
    """A pattern is typed by a person: it must not hold the process up."""
    pattern = b"*a" * 40 + b"b"
    assert not compile_glob(pattern).fullmatch(b"a" * 200)
    assert re.compile(compile_glob(pattern).pattern, re.DOTALL)
