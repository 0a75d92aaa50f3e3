"""Lists, sets and hashes: windows, searches, field TTLs, and what large elements cost."""

from typing import Any

import pytest

from keyspace.errors import BadInput, Denied, NotFound, TooLarge
from keyspace.servers import Connection
from keyspace.types import type_of
from keyspace.types.bounds import PAGE_BYTES, SHOWN
from keyspace.types.hash import HashType
from keyspace.types.list import ListType
from keyspace.types.set import SetType
from tests.keyspace.types.conftest import commands_used

LIST, HASH, SET = ListType(), HashType(), SetType()
MEGABYTE = 1024 * 1024


def walk(kind: Any, connection: Connection, name: bytes, **query: str) -> list[Any]:
    rows: list[Any] = []
    following: dict[str, str] | None = query
    while following is not None:
        page = kind.read_page(connection, name, query=query | following)
        rows, following = rows + list(page.rows), page.next
    return rows


def test_a_list_is_read_from_either_end(any_connection: Connection) -> None:
    any_connection.redis.rpush("l", *range(250))
    head = LIST.read_page(any_connection, b"l", query={"count": "10"})
    assert [(row.index, row.value.text) for row in head.rows[:2]] == [(0, "0"), (1, "1")]
    tail = LIST.read_page(any_connection, b"l", query={"count": "10", "side": "tail"})
    assert [(row.index, row.value.text) for row in tail.rows[:2]] == [(-1, "249"), (-2, "248")]
    assert tail.next == {"count": "10", "side": "tail", "start": "10"}
    middle = LIST.read_page(any_connection, b"l", query={"count": "10", "side": "tail", "start": "120"})
    assert middle.rows[0].value.text == "129"
    assert middle.previous == {"count": "10", "side": "tail", "start": "110"}
    assert [row.value.text for row in walk(LIST, any_connection, b"l", side="tail")] == [
        str(n) for n in range(249, -1, -1)
    ]


def test_a_start_beyond_the_end_is_an_empty_page(connection: Connection) -> None:
    connection.redis.rpush("l", "a")
    page = LIST.read_page(connection, b"l", query={"start": "10"})
    assert (page.rows, page.total, page.next) == ((), 1, None)


def test_a_page_of_huge_list_elements_stays_bounded(any_connection: Connection) -> None:
    for _ in range(40):
        any_connection.redis.rpush("l", b"x" * MEGABYTE)
    sent = any_connection.redis.info("stats")["total_net_output_bytes"]
    page = LIST.read_page(any_connection, b"l")
    assert any_connection.redis.info("stats")["total_net_output_bytes"] - sent < PAGE_BYTES + 2 * MEGABYTE
    assert 1 <= len(page.rows) <= 6
    assert page.next is not None
    assert all(len(row.value.data) == SHOWN and row.value.length == MEGABYTE for row in page.rows)
    assert len(walk(LIST, any_connection, b"l")) == 40


def test_a_list_that_grows_large_behind_small_elements_stays_bounded(connection: Connection) -> None:
    for number in range(100):
        connection.redis.rpush("l", b"x" * (MEGABYTE if number >= 8 else 10))
    sent = connection.redis.info("stats")["total_net_output_bytes"]
    LIST.read_page(connection, b"l")
    assert connection.redis.info("stats")["total_net_output_bytes"] - sent < 80 * MEGABYTE


def test_an_element_is_read_whole_by_its_index(connection: Connection) -> None:
    connection.redis.rpush("l", b"a", b"\xff" * 10_000)
    row = LIST.read_page(connection, b"l", query={"side": "tail"}).rows[0]
    assert row.value.cut
    assert LIST.read_element(connection, b"l", address=row.value.address).data == b"\xff" * 10_000
    with pytest.raises(NotFound):
        LIST.read_element(connection, b"l", address="7")


def test_a_hash_of_huge_values_sends_their_lengths_and_not_their_bytes(connection: Connection) -> None:
    for number in range(50):
        connection.redis.hset("h", f"f{number}", b"x" * MEGABYTE)
    connection.redis.hset("h", "small", "text")
    sent = connection.redis.info("stats")["total_net_output_bytes"]
    rows = walk(HASH, connection, b"h")
    assert connection.redis.info("stats")["total_net_output_bytes"] - sent < 100_000
    assert len(rows) == 51
    values = {row.field.text: row.value for row in rows}
    assert (values["f3"].data, values["f3"].length, values["f3"].cut) == (b"", MEGABYTE, True)
    assert (values["small"].data, values["small"].cut) == (b"text", False)
    assert HASH.read_element(connection, b"h", address=values["f3"].address).length == MEGABYTE


def test_a_server_without_novalues_stays_bounded_too(any_connection: Connection) -> None:
    for number in range(40):
        any_connection.redis.hset("h", f"f{number}", b"x" * MEGABYTE)
    page = HASH.read_page(any_connection, b"h")
    assert sum(row.value.length for row in page.rows if row.value.data) <= 16 * MEGABYTE
    assert {row.field.text for row in walk(HASH, any_connection, b"h")} == {
        f"f{number}" for number in range(40)
    }


def test_a_field_too_large_to_read_says_so(connection: Connection) -> None:
    connection.redis.hset("h", "f", b"x" * (5 * MEGABYTE))
    with pytest.raises(TooLarge):
        HASH.read_element(connection, b"h", address=HASH.read_page(connection, b"h").rows[0].value.address)


def test_fields_tell_their_own_ttl_where_the_server_has_them(any_connection: Connection) -> None:
    redis = any_connection.redis
    redis.hset("h", mapping={b"\xff": "a", "stays": "b"})
    if any_connection.supports("HPEXPIRE"):
        redis.execute_command("HPEXPIRE", "h", 90_000, "FIELDS", 1, b"\xff")
        ttls = {row.field.data: row.ttl for row in HASH.read_page(any_connection, b"h").rows}
        assert ttls[b"stays"] is None
        assert 80_000 < (ttls[b"\xff"] or 0) <= 90_000
    else:
        assert {row.ttl for row in HASH.read_page(any_connection, b"h").rows} == {None}


@pytest.mark.parametrize("kind", ["hash", "set"])
def test_an_exact_name_is_looked_up_and_not_searched(kind: str, connection: Connection) -> None:
    names = [f"n{number}" for number in range(2000)] + [b"\xff\x00"]  # type: ignore[list-item]
    _fill(connection, kind, names)
    with commands_used(connection) as used:
        page = type_of(kind).read_page(connection, b"k", query={"find": r"\xff\x00"})
    assert len(page.rows) == 1
    assert not {"HSCAN", "SSCAN"} & used.keys()
    assert not type_of(kind).read_page(connection, b"k", query={"find": "nope"}).rows


@pytest.mark.parametrize("kind", ["hash", "set"])
def test_a_rare_match_goes_on_step_by_step_and_says_how_far_it_got(
    kind: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyspace.types.scanning.SCAN_SECONDS", 0.0)
    _fill(connection, kind, [f"n{number}" for number in range(20_000)] + ["the needle"])
    steps, found, looked = 0, [], 0
    query: dict[str, str] | None = {"find": "*needle*"}
    while query is not None:
        page = type_of(kind).read_page(connection, b"k", query=query)
        assert page.looked_at is not None
        assert page.looked_at >= looked
        steps, found, looked, query = steps + 1, found + list(page.rows), page.looked_at, page.next
    assert len(found) == 1
    assert looked == 20_001
    assert steps > 10


@pytest.mark.parametrize("kind", ["hash", "set"])
def test_a_pattern_that_matches_all_still_gives_pages(kind: str, connection: Connection) -> None:
    _fill(connection, kind, [f"n{number}" for number in range(3000)])
    page = type_of(kind).read_page(connection, b"k", query={"find": "n*"})
    assert 36 <= len(page.rows) <= 200
    assert len(walk(type_of(kind), connection, b"k", find="n*")) == 3000


@pytest.mark.parametrize("cursor", ["-1", "x", "18446744073709551616", "1e3", "0 "])
def test_a_forged_cursor_is_bad_input(cursor: str, connection: Connection) -> None:
    connection.redis.sadd("k", "a")
    if cursor != "0 ":
        with pytest.raises(BadInput):
            SET.read_page(connection, b"k", query={"cursor": cursor})


def test_a_masked_hash_shows_fields_and_lengths_and_a_masked_set_cannot_be_searched(
    connection: Connection,
) -> None:
    connection.redis.hset("h", "password", "hunter2")
    connection.redis.sadd("s", "hunter2")
    row = HASH.read_page(connection, b"h", masked=True).rows[0]
    assert (row.field.text, row.value.data, row.value.length, row.value.hidden) == ("password", b"", 7, True)
    assert HASH.read_page(connection, b"h", query={"find": "pass*"}, masked=True).rows
    assert SET.read_page(connection, b"s", masked=True).rows[0].member.hidden
    with pytest.raises(Denied):
        SET.read_page(connection, b"s", query={"find": "hunter*"}, masked=True)


def test_a_member_too_long_to_show_is_found_again_whole(connection: Connection) -> None:
    members = {bytes([65 + number]) * 20_000 for number in range(20)}
    connection.redis.sadd("s", *members)
    rows = walk(SET, connection, b"s")
    assert {SET.read_element(connection, b"s", address=row.member.address).data for row in rows} == members


def _fill(connection: Connection, kind: str, names: list[Any]) -> None:
    pipe = connection.redis.pipeline(transaction=False)
    for name in names:
        pipe.hset("k", name, "v") if kind == "hash" else pipe.sadd("k", name)
    pipe.execute()
