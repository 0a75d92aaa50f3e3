"""Sorted sets: ranks, scores, names, positions."""

import math
from typing import Any

import pytest

from keyspace.errors import BadInput, Denied
from keyspace.servers import Connection
from keyspace.types.zset import ZsetType, score_text
from tests.keyspace.types.conftest import commands_used

ZSET = ZsetType()


def texts(page: Any) -> list[str]:
    return [row.member.text for row in page.rows]


@pytest.fixture
def thousand(any_connection: Connection) -> Connection:
    any_connection.redis.zadd("z", {f"m{number:04}": number / 4 for number in range(1000)})
    return any_connection


def test_ranks_are_read_both_ways(thousand: Connection) -> None:
    low = ZSET.read_page(thousand, b"z", query={"count": "2"})
    assert [(row.rank, row.member.text, row.score.text) for row in low.rows] == [
        (0, "m0000", "0"),
        (1, "m0001", "0.25"),
    ]
    high = ZSET.read_page(thousand, b"z", query={"count": "2", "order": "high", "start": "1"})
    assert [(row.rank, row.member.text) for row in high.rows] == [(998, "m0998"), (997, "m0997")]
    assert high.previous == {"count": "2", "order": "high"}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("-inf", "+inf", 1000),
        ("(0", "inf", 999),
        ("10", "20", 41),
        ("(10", "(20", 39),
        ("5", "(5", 0),
        ("1e2", "+Inf", 600),
        ("(249.75", "", 0),
    ],
)
def test_a_range_of_scores_gives_what_redis_gives(
    low: str, high: str, expected: int, thousand: Connection
) -> None:
    theirs = [member.decode() for member in thousand.redis.zrangebyscore("z", low, high or "+inf")]
    assert len(theirs) == expected
    for order, wanted in (("low", theirs), ("high", theirs[::-1])):
        found: list[str] = []
        query: dict[str, str] | None = {
            "face": "score",
            "min": low,
            "max": high,
            "order": order,
            "count": "150",
        }
        while query is not None:
            page = ZSET.read_page(thousand, b"z", query={"face": "score"} | query)
            found, query = found + texts(page), page.next
        assert found == wanted


@pytest.mark.parametrize(
    ("low", "high"),
    [("-", "+"), ("m0010", "m0012"), ("[m0010", "(m0012"), ("(m0010", "+"), ("+", "-"), (r"[\xff", "+")],
)
def test_a_range_of_names_gives_what_redis_gives(low: str, high: str, any_connection: Connection) -> None:
    any_connection.redis.zadd("z", {f"m{number:04}".encode(): 0 for number in range(20)} | {b"\xff": 0})
    as_redis = [end if end in "-+" or end[0] in "[(" else f"[{end}" for end in (low, high)]
    theirs = any_connection.redis.zrangebylex(
        "z", *[end.replace(r"\xff", "\udcff").encode("utf-8", "surrogateescape") for end in as_redis]
    )
    page = ZSET.read_page(any_connection, b"z", query={"face": "lex", "min": low, "max": high})
    assert [row.member.data for row in page.rows] == theirs


def test_infinite_ends_are_left_out_when_asked(connection: Connection) -> None:
    connection.redis.zadd("z", {"low": -math.inf, "zero": 0, "high": math.inf})
    assert texts(
        ZSET.read_page(connection, b"z", query={"face": "score", "min": "(-inf", "max": "(inf"})
    ) == ["zero"]


def test_names_in_order_mean_nothing_where_scores_differ(connection: Connection) -> None:
    connection.redis.zadd("z", {"a": 1, "b": 2})
    assert "scores differ" in ZSET.read_page(connection, b"z", query={"face": "lex"}).note


@pytest.mark.parametrize(
    "score",
    [
        0.1,
        1 / 3,
        0.1 + 0.2,
        2.0**53,
        1e17,
        1e300,
        5e-324,
        -1.5,
        math.inf,
        -math.inf,
        1700000000.123456,
        3.0,
        -0.0,
    ],
)
def test_a_score_is_shown_exactly(score: float, any_connection: Connection) -> None:
    any_connection.redis.zadd("z", {b"\xff": score})
    shown = ZSET.read_page(any_connection, b"z").rows[0].score.text
    assert float(shown) == score
    assert shown == score_text(any_connection.redis.zscore("z", b"\xff"))


def test_scores_are_written_as_redis_writes_them() -> None:
    exact = {
        3.0: "3",
        0.1: "0.1",
        math.inf: "inf",
        -math.inf: "-inf",
        b"2.5": "2.5",
        2.0**53: "9007199254740992",
    }
    assert {score: score_text(score) for score in exact} == exact


def test_a_search_gives_ranks_and_scores(thousand: Connection) -> None:
    page = ZSET.read_page(thousand, b"z", query={"face": "search", "find": "*77*", "count": "200"})
    assert {(row.member.text, row.rank) for row in page.rows} >= {("m0077", 77), ("m0770", 770)}
    exact = ZSET.read_page(thousand, b"z", query={"face": "search", "find": "m0500"})
    assert [(row.rank, row.score.text) for row in exact.rows] == [(500, "125")]


@pytest.mark.parametrize("garbage", ["abc", "nan", "((5", "5)", "0x10", "1_000"])
def test_a_score_that_is_none_is_bad_input(garbage: str, connection: Connection) -> None:
    connection.redis.zadd("z", {"a": 1})
    with pytest.raises(BadInput):
        ZSET.read_page(connection, b"z", query={"face": "score", "min": garbage})


def test_positions_are_offered_and_read_where_scores_are_geohashes(any_connection: Connection) -> None:
    any_connection.redis.geoadd("geo", (2.3522, 48.8566, b"paris \xff"))
    any_connection.redis.zadd("due", {"job": 1_700_000_000_000})
    assert "geo" in {face.slug for face in ZSET.read_page(any_connection, b"geo").faces}
    assert "geo" not in {face.slug for face in ZSET.read_page(any_connection, b"due").faces}
    position = ZSET.read_page(any_connection, b"geo", query={"face": "geo"}).rows[0].position
    assert position == pytest.approx((2.3522, 48.8566), abs=1e-5)


def test_masked_members_and_scores_are_hidden_and_not_searched(connection: Connection) -> None:
    connection.redis.zadd("z", {"secret": 42})
    page = ZSET.read_page(connection, b"z", masked=True)
    assert page.rows[0].member.hidden
    assert page.rows[0].score.hidden
    assert [face.slug for face in page.faces] == ["rank"]
    for face in ("score", "lex", "search", "geo"):
        with pytest.raises(Denied):
            ZSET.read_page(connection, b"z", query={"face": face}, masked=True)


def test_a_page_at_rank_900_000_costs_what_the_first_does(connection: Connection) -> None:
    fill = "local t={} for j=1,1000 do t[#t+1]=ARGV[1]*1000+j t[#t+1]='m'..(ARGV[1]*1000+j) end redis.call('ZADD',KEYS[1],unpack(t))"
    for thousand in range(1000):
        connection.redis.eval(fill, 1, "z", thousand)
    with commands_used(connection) as used:
        page = ZSET.read_page(connection, b"z", query={"start": "900000"})
        ZSET.read_page(connection, b"z", query={"face": "score", "min": "500000", "start": "400000"})
    assert len(page.rows) == 40
    assert sum(usec for _, usec in used.values()) < 3000
