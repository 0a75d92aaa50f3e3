"""Streams: entries, groups, consumers, pending."""

import time
from typing import Any

import pytest

from keyspace.encoding import key_id
from keyspace.errors import BadInput, NotFound
from keyspace.servers import Connection
from keyspace.types.stream import StreamType

STREAM = StreamType()


def ids(page: Any) -> list[str]:
    return [row.id for row in page.rows]


@pytest.fixture
def filled(any_connection: Connection) -> Connection:
    pipe = any_connection.redis.pipeline(transaction=False)
    for number in range(1, 251):
        pipe.execute_command("XADD", "s", f"{number}-0", "n", number)
    pipe.execute()
    return any_connection


def test_the_newest_entries_come_first_and_pages_go_both_ways(filled: Connection) -> None:
    first = STREAM.read_page(filled, b"s", query={"count": "100"})
    assert ids(first) == [f"{number}-0" for number in range(250, 150, -1)]
    assert first.previous is None
    second = STREAM.read_page(filled, b"s", query=first.next or {})
    assert ids(second) == [f"{number}-0" for number in range(150, 50, -1)]
    third = STREAM.read_page(filled, b"s", query=second.next or {})
    assert ids(third) == [f"{number}-0" for number in range(50, 0, -1)]
    assert third.next is None
    back = STREAM.read_page(filled, b"s", query=third.previous or {})
    assert ids(back) == ids(second)
    assert back.next is not None
    top = STREAM.read_page(filled, b"s", query=back.previous or {})
    assert ids(top) == ids(first)
    assert top.previous is None


def test_the_oldest_come_first_when_asked(filled: Connection) -> None:
    page = STREAM.read_page(filled, b"s", query={"order": "oldest", "count": "3"})
    assert ids(page) == ["1-0", "2-0", "3-0"]
    assert ids(STREAM.read_page(filled, b"s", query=page.next or {})) == ["4-0", "5-0", "6-0"]


def test_a_range_of_ids_bounds_the_pages(filled: Connection) -> None:
    assert ids(STREAM.read_page(filled, b"s", query={"low": "10", "high": "12-0"})) == [
        "12-0",
        "11-0",
        "10-0",
    ]
    page = STREAM.read_page(filled, b"s", query={"low": "10", "high": "112", "count": "100"})
    assert ids(STREAM.read_page(filled, b"s", query=page.next or {})) == ["12-0", "11-0", "10-0"]


def test_a_date_and_time_is_an_end_of_a_range(connection: Connection) -> None:
    connection.redis.execute_command("XADD", "s", "1764000000000-0", "a", "b")
    query = {"low": "2025-11-24T16:00", "high": "2025-11-24T16:00:00+00:00"}
    assert ids(STREAM.read_page(connection, b"s", query=query)) == ["1764000000000-0"]
    assert STREAM.read_page(connection, b"s").rows[0].at == 1764000000000
    assert not STREAM.read_page(connection, b"s", query={"low": "2025-11-24 16:01"}).rows


@pytest.mark.parametrize("garbage", ["x", "1-2-3", "18446744073709551616", "-1", "yesterday"])
def test_an_id_that_is_none_is_bad_input(garbage: str, connection: Connection) -> None:
    connection.redis.xadd("s", {"a": "b"})
    with pytest.raises(BadInput):
        STREAM.read_page(connection, b"s", query={"low": garbage})


def test_repeated_fields_and_odd_bytes_are_all_there(any_connection: Connection) -> None:
    any_connection.redis.execute_command("XADD", "s", "5-1", b"\xff", b"\x00", b"\xff", b"again", "", "")
    row = STREAM.read_page(any_connection, b"s").rows[0]
    assert [(each.field.data, each.value.data) for each in row.fields] == [
        (b"\xff", b"\x00"),
        (b"\xff", b"again"),
        (b"", b""),
    ]
    assert row.at is None
    assert STREAM.read_element(any_connection, b"s", address=row.fields[1].value.address).data == b"again"
    with pytest.raises(NotFound):
        STREAM.read_element(any_connection, b"s", address="5-1.9")


def test_an_entry_with_many_fields_is_cut(connection: Connection) -> None:
    connection.redis.xadd("s", {f"f{number}": "v" for number in range(500)})
    row = STREAM.read_page(connection, b"s").rows[0]
    assert len(row.fields) == 64
    assert row.more == 436


def test_an_empty_stream_is_there_and_tells_its_last_id(connection: Connection) -> None:
    connection.redis.execute_command("XADD", "s", "7-0", "a", "b")
    connection.redis.xdel("s", "7-0")
    page: Any = STREAM.read_page(connection, b"s")
    assert (page.total, page.rows, page.info.last_id, page.info.first_id) == (0, (), "7-0", None)


def test_groups_consumers_and_pending_entries_are_told(any_connection: Connection) -> None:
    redis = any_connection.redis
    for number in range(1, 8):
        redis.execute_command("XADD", "s", f"{number}-0", "a", "b")
    redis.xgroup_create("s", b"g \xff", "0")
    redis.xgroup_create("s", "idle", "$")
    redis.xreadgroup(b"g \xff", b"ana \xfe", {"s": ">"}, count=4)
    redis.xreadgroup(b"g \xff", "bo", {"s": ">"}, count=1)
    time.sleep(0.05)
    groups = {
        row.name.data: row for row in STREAM.read_page(any_connection, b"s", query={"face": "groups"}).rows
    }
    assert (groups[b"g \xff"].consumers, groups[b"g \xff"].pending, groups[b"g \xff"].last_delivered) == (
        2,
        5,
        "5-0",
    )
    assert groups[b"g \xff"].lag == 2
    group = groups[b"g \xff"].address
    consumers = STREAM.read_page(any_connection, b"s", query={"face": "consumers", "group": group}).rows
    assert {(row.name.data, row.pending) for row in consumers} == {(b"ana \xfe", 4), (b"bo", 1)}
    query = {"face": "pending", "group": group, "count": "3"}
    page: Any = STREAM.read_page(any_connection, b"s", query=query)
    assert ids(page) == ["1-0", "2-0", "3-0"]
    assert page.rows[0].idle >= 30
    assert page.rows[0].deliveries == 1
    assert ids(STREAM.read_page(any_connection, b"s", query={"face": "pending"} | (page.next or {}))) == [
        "4-0",
        "5-0",
    ]
    only: Any = STREAM.read_page(any_connection, b"s", query=query | {"consumer": key_id(b"bo")})
    assert ids(only) == ["5-0"]
    assert only.consumer.text == "bo"
    assert not STREAM.read_page(any_connection, b"s", query=query | {"idle": "100000"}).rows


def test_a_stream_without_groups_has_empty_pages_and_a_strange_group_is_not_found(
    connection: Connection,
) -> None:
    connection.redis.xadd("s", {"a": "b"})
    page: Any = STREAM.read_page(connection, b"s", query={"face": "pending"})
    assert (page.rows, page.group, page.groups) == ((), None, ())
    with pytest.raises(NotFound):
        STREAM.read_page(connection, b"s", query={"face": "consumers", "group": key_id(b"nope")})


def test_entries_of_megabytes_stay_bounded(connection: Connection) -> None:
    for _ in range(30):
        connection.redis.xadd("s", {"f": b"x" * 1_000_000})
    sent = connection.redis.info("stats")["total_net_output_bytes"]
    page = STREAM.read_page(connection, b"s")
    assert connection.redis.info("stats")["total_net_output_bytes"] - sent < 9_000_000
    assert 1 <= len(page.rows) <= 5
    assert page.next is not None
