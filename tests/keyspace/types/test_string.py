"""Strings: ranges, bits, HyperLogLogs."""

import random
from typing import Any

import pytest

from keyspace.errors import Conflict, Denied, NotFound
from keyspace.servers import Connection
from keyspace.types.string import RANGE, StringType
from tests.keyspace.types.conftest import commands_used

STRING = StringType()


def test_a_page_is_a_range_and_the_next_follows(any_connection: Connection) -> None:
    data = random.Random(1).randbytes(RANGE * 2 + 10)
    any_connection.redis.set("s", data)
    first = STRING.read_page(any_connection, b"s")
    assert (first.value.data, first.total, first.offset, first.end) == (data[:RANGE], len(data), 0, RANGE)
    assert first.value.cut
    last = STRING.read_page(any_connection, b"s", query={"offset": str(RANGE * 2)})
    assert last.value.data == data[-10:]
    assert last.next is None
    assert last.previous == {"offset": str(RANGE)}
    assert (
        STRING.read_page(any_connection, b"s", query=first.next or {}).value.data == data[RANGE : RANGE * 2]
    )


def test_an_empty_string_is_there_and_empty(connection: Connection) -> None:
    connection.redis.set("s", b"")
    page = STRING.read_page(connection, b"s")
    assert (page.total, page.value.data, page.value.cut) == (0, b"", False)


def test_the_last_bytes_of_512_mb_cost_what_a_range_costs(connection: Connection) -> None:
    connection.redis.setrange("s", 512 * 1024 * 1024 - 1, b"\xff")
    with commands_used(connection) as used:
        page = STRING.read_page(connection, b"s", query={"offset": str(512 * 1024 * 1024 - 10)})
    assert page.value.data == b"\0" * 9 + b"\xff"
    assert sum(usec for _, usec in used.values()) < 2000


def test_bits_of_512_mb_are_found_without_counting_them_all(connection: Connection) -> None:
    connection.redis.setrange("s", 512 * 1024 * 1024 - 1, b"\x01")
    with commands_used(connection) as used:
        page = STRING.read_page(connection, b"s", query={"face": "bitmap"})
    assert page.set_bits is None
    assert page.rows == ()
    assert page.next is not None
    assert "BITCOUNT" not in used
    assert sum(usec for _, usec in used.values()) < 20_000
    steps = 0
    while not page.rows:
        page, steps = (
            STRING.read_page(connection, b"s", query={"face": "bitmap"} | (page.next or {})),
            steps + 1,
        )
    assert page.rows[0].first == 512 * 1024 * 1024 * 8 - 1
    assert steps <= 65


@pytest.mark.parametrize(
    "bits", [[], [0], [7, 8], [3, 4, 5, 100, 70_000], [524_287, 524_288, 600_000, 1_000_000]]
)
def test_the_runs_of_a_bitmap_are_its_set_bits(bits: list[int], connection: Connection) -> None:
    connection.redis.set("s", b"\0")
    for bit in bits:
        connection.redis.setbit("s", bit, 1)
    found: list[int] = []
    query: dict[str, str] | None = {}
    while query is not None:
        page: Any = STRING.read_page(connection, b"s", query={"face": "bitmap", "count": "2"} | query)
        assert page.set_bits == len(bits)
        assert len(page.rows) <= 2
        found += [bit for run in page.rows for bit in range(run.first, run.last + 1)]
        query = page.next
    assert found == bits


@pytest.mark.parametrize("size", [0, 1, 5, 300, 5_000, 200_000])
def test_the_estimate_is_what_pfcount_says_and_nothing_is_written(
    size: int, any_connection: Connection
) -> None:
    redis = any_connection.redis
    for start in range(0, size, 10_000):
        redis.pfadd("hll", *(f"visitor {number}" for number in range(start, min(size, start + 10_000))))
    if not size:
        redis.pfadd("hll")
    before = redis.get("hll")
    page: Any = STRING.read_page(any_connection, b"hll", query={"face": "hyperloglog"})
    assert redis.get("hll") == before
    assert page.estimate == redis.pfcount("hll")
    assert page.encoding == ("sparse" if size <= 300 else "dense")


def test_hyperloglog_is_offered_only_where_it_is_one(connection: Connection) -> None:
    connection.redis.pfadd("hll", "a")
    connection.redis.set("s", b"HYLX")
    assert "hyperloglog" in {face.slug for face in STRING.read_page(connection, b"hll").faces}
    assert "hyperloglog" not in {face.slug for face in STRING.read_page(connection, b"s").faces}
    connection.redis.set("s", b"HYLL, or so it says")
    with pytest.raises(Conflict):
        STRING.read_page(connection, b"s", query={"face": "hyperloglog"})


def test_a_masked_string_shows_its_length_and_no_bits(connection: Connection) -> None:
    connection.redis.set("s", b"secret")
    page = STRING.read_page(connection, b"s", masked=True)
    assert (page.value.data, page.value.length, page.value.hidden) == (b"", 6, True)
    assert [face.slug for face in page.faces] == ["range"]
    with pytest.raises(Denied):
        STRING.read_page(connection, b"s", query={"face": "bitmap"}, masked=True)


def test_the_whole_string_is_read_for_decoders_up_to_a_bound(connection: Connection) -> None:
    connection.redis.set("s", b"x" * (5 * 1024 * 1024))
    whole = STRING.read_element(connection, b"s", address="0")
    assert len(whole.data) == 4 * 1024 * 1024
    assert whole.length == 5 * 1024 * 1024
    assert whole.cut
    with pytest.raises(NotFound):
        STRING.read_element(connection, b"s", address="99999999")
