"""What a filter selects."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyspace.errors import BadInput
from keyspace.pubsub.filters import Filter, Mode, read_filter
from keyspace.pubsub.jsonpath import parse_path


def selects(wanted: Filter, payload: bytes, channel: bytes = b"a") -> bool:
    return bool(wanted.select([[b"message", channel, payload]])[0])


DOCUMENT = {
    "asset": "BRL", "amount": 12.5, "big": 9007199254740993, "ok": True, "none": None, "items": [{"n": 1}, {"n": 2}],
    "odd name": {"a.b": "x"}, "empty": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ('$.asset = "BRL"', True),
        ("$.asset = BRL", True),
        ("$.asset == 'BRL'", True),
        ('$.asset="USD"', False),
        ('$.asset != "USD"', True),
        ("$.asset", True),
        ("$.missing", False),
        ("$.missing != 1", False),
        ("$.amount > 12", True),
        ("$.amount >= 12.5", True),
        ("$.amount < 12", False),
        ("$.amount <= -1", False),
        ("$.amount = 12.5", True),
        ("$.big = 9007199254740993", True),
        ("$.big = 9007199254740992", False),
        ("$.ok = true", True),
        ("$.ok = 1", False),
        ("$.none = null", True),
        ("$.items[0].n = 1", True),
        ("$.items[-1].n = 2", True),
        ("$.items[2].n", False),
        ("$.items[*].n = 2", True),
        ("$.items[*].n > 2", False),
        ('$["odd name"]["a.b"] = "x"', True),
        ("$[*] = 12.5", True),
        ("$.asset > 3", False),
        ("$.empty = []", True),
        ("$", True),
    ],
)
def test_json_paths(path: str, matches: bool) -> None:
    assert parse_path(path).matches(json.dumps(DOCUMENT).encode()) is matches


@pytest.mark.parametrize(
    "path",
    ["", "asset", "$.", "$x", "$.a =", "$.a = 'b' or 1", "$[", "$[x]", "$.a[1", '$["a]', "$" + ".a" * 100],
)
def test_what_is_no_path_is_said(path: str) -> None:
    if path == "$.a = 'b' or 1":
        assert parse_path(path).value == "b' or 1"  # a bare word goes to the end of the line
        return
    with pytest.raises(BadInput):
        parse_path(path)


def test_what_is_not_json_does_not_match() -> None:
    for payload in (b"", b"plain", b"\xff\xfe", b"{", b"[" * 100_000):
        assert not parse_path("$").matches(payload)


def test_an_escaped_value_is_found_although_its_letters_are_not_there() -> None:
    assert parse_path('$.asset = "BRL"').matches(rb'{"asset": "\u0042RL"}')


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_the_quick_look_never_changes_the_answer(value: str, document: dict[str, str]) -> None:
    document["k"] = value
    for ascii_only in (True, False):
        try:
            payload = json.dumps(document, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        assert parse_path(f"$.k = {json.dumps(value)}").matches(payload)


def test_contains_is_exact_bytes_unless_told_otherwise() -> None:
    assert selects(Filter(text="BRL"), b'"BRL"') and not selects(Filter(text="brl"), b'"BRL"')
    assert selects(Filter(text="b.l", ignore_case=True), b"B.L") and not selects(
        Filter(text="b.l", ignore_case=True), b"BRL"
    )
    assert selects(Filter(text="\udcff"), b"a\xff") and selects(Filter(text="é"), "é".encode())


def test_regular_expressions_look_at_bytes_across_lines() -> None:
    assert selects(Filter(Mode.REGEX, "a.*b"), b"a\n\xff\nb") and not selects(Filter(Mode.REGEX, "^b"), b"ab")


def test_the_channel_is_a_glob() -> None:
    assert selects(Filter(channel=b"or?ers.*"), b"", b"orders.1") and not selects(
        Filter(channel=b"orders"), b"", b"orders.1"
    )


def test_a_slow_regular_expression_costs_a_bounded_time() -> None:
    messages = [[b"message", b"a", b"a" * 200 + b"!"] for _ in range(1000)]
    began = time.perf_counter()
    matched, slow = Filter(Mode.REGEX, "(a|aa)+$").select(messages)
    assert time.perf_counter() - began < 5 and (len(matched), slow) == (0, 1000)


@pytest.mark.parametrize("given", [7, [], {"mode": 1}, {"mode": "x"}, {"text": 5}, {"channel": None}, {"mode": "regex", "text": "("},
                                   {"text": "x" * 2000}, {"text": "\ud800"}])  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(given: object) -> None:
    with pytest.raises(BadInput):
        read_filter(given)
