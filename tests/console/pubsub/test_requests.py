"""Whatever a browser sends, the answer is a request, a reason to close, or a sentence; never anything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.pubsub.requests import BURST, Allowance, BadFrame, read_request
from keyspace.errors import BadInput
from keyspace.pubsub.filters import read_filter
from keyspace.pubsub.subscriptions import read_subscriptions

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(max_size=200) | JSON.map(json.dumps))
def test_any_text_is_read_or_closes(text: str) -> None:
    try:
        assert isinstance(read_request(text, None)["op"], str)
    except BadFrame as error:
        assert error.code in (1007, 1009) and error.reason


@given(st.binary(max_size=50))
def test_binary_frames_close(data: bytes) -> None:
    with pytest.raises(BadFrame) as caught:
        read_request(None, data)
    assert caught.value.code == 1003


@given(
    JSON
    | st.lists(
        st.tuples(st.sampled_from(["channel", "pattern", "shard", "x"]), st.text(max_size=5)).map(list),
        max_size=5,
    )
)
def test_any_subscriptions_are_read_or_told(pairs: Any) -> None:
    try:
        assert all(one.name is not None for one in read_subscriptions(pairs, limit=3))
    except BadInput as problem:
        assert problem.sentence


@given(
    JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["contains", "regex", "json"]),
            "text": st.text(max_size=20),
            "channel": st.text(max_size=9),
        },
    ),
    st.binary(max_size=30),
)
def test_any_filter_is_read_or_told_and_then_works_on_any_payload(given: Any, payload: bytes) -> None:
    try:
        wanted = read_filter(given)
    except BadInput as problem:
        assert problem.sentence
        return
    wanted.select([[b"message", b"channel", payload]])


def test_an_allowance_is_spent_and_comes_back(monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr("console.pubsub.requests.time.monotonic", lambda: now[0])
    allowance = Allowance()
    for _ in range(BURST):
        allowance.spend()
    with pytest.raises(BadFrame):
        allowance.spend()
    now[0] += 1
    allowance.spend()
