"""Facts of a key, each with its own refusal; types nobody knows; what opening a giant costs."""

from collections.abc import Callable
from typing import Any

import pytest

from keyspace.errors import NotFound
from keyspace.models import Server
from keyspace.servers import Connection
from keyspace.types import type_of
from keyspace.types.facts import key_slot, read_facts
from keyspace.types.unsupported import UnsupportedType
from tests.keyspace.types.conftest import commands_used
from tests.keyspace.types.samples import NAME as SAMPLE
from tests.keyspace.types.samples import SAMPLES
from tests.servers import RunningServer
from tests.topologies import wait_until

NAME = b"k:\xff\x00"


def test_everything_is_told_of_a_key(any_connection: Connection) -> None:
    any_connection.redis.hset(NAME, "a", "b")
    any_connection.redis.pexpire(NAME, 90_000)
    facts = read_facts(any_connection, NAME)
    assert (facts.name, facts.type, facts.key_type.slug) == (NAME, "hash", "hash")
    assert 80_000 < (facts.ttl.value or 0) <= 90_000
    assert facts.encoding.value == "listpack"
    assert (facts.memory.value or 0) > 20
    assert facts.length.value == 1
    assert facts.idle.value in (0, 1)  # in whole seconds, of which one may have ended meanwhile
    assert (facts.frequency.value, facts.slot, facts.problems) == (None, None, {})


def test_a_key_without_a_ttl_has_none(connection: Connection) -> None:
    connection.redis.set(NAME, "x")
    facts = read_facts(connection, NAME)
    assert (facts.ttl.value, facts.ttl.problem, facts.length.value) == (None, None, 1)


def test_a_key_that_is_gone_is_not_found(connection: Connection) -> None:
    with pytest.raises(NotFound):
        read_facts(connection, NAME)


def test_the_frequency_takes_the_place_of_the_idle_time_under_lfu(any_connection: Connection) -> None:
    any_connection.redis.config_set("maxmemory-policy", "allkeys-lfu")
    any_connection.redis.set(NAME, "x")
    facts = read_facts(any_connection, NAME)
    assert facts.frequency.value is not None
    assert (facts.idle.value, facts.problems) == (None, {})


@pytest.fixture
def limited(
    connection_as: Callable[..., Connection],
    make_server: Callable[..., Server],
    server: RunningServer,
    redis: Any,
) -> Callable[[str], Connection]:
    """A connection as an ACL user with a few rules."""

    def connect(rules: str) -> Connection:
        redis.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", *rules.split())
        return connection_as(
            "viewer", server=make_server(server, "limited", username="limited", password="secret")
        )

    return connect


def test_a_refused_command_is_a_problem_of_its_own_fact(
    limited: Callable[[str], Connection], redis: Any
) -> None:
    redis.hset(NAME, "a", "b")
    facts = read_facts(limited("+@all -memory -object|encoding -config -info"), NAME)
    assert facts.problems.keys() == {"memory", "encoding"}
    assert "+memory" in facts.problems["memory"].sentence
    assert (facts.type, facts.length.value) == ("hash", 1)
    assert facts.idle.value in (0, 1)


@pytest.mark.parametrize("kind", sorted(set(SAMPLES) - {"ReJSON-RL"}))
def test_a_value_is_read_though_memory_object_and_more_are_denied(
    kind: str, limited: Callable[[str], Connection], redis: Any
) -> None:
    length = SAMPLES[kind](redis)
    page = type_of(kind).read_page(limited("+@all -memory -object -hpttl -xinfo"), SAMPLE)
    assert page.total == length


def test_a_slot_is_told_on_a_cluster(
    new_server: Callable[..., RunningServer],
    make_server: Callable[..., Server],
    connection_as: Callable[..., Connection],
) -> None:
    server = new_server("valkey9", cluster_enabled="yes")
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        connection = connection_as("viewer", server=make_server(server, "cluster"))
        for name in (b"user:1", b"{tag}:x", b"a{}b", b"{a}{b}", b"}{", NAME, b"{\xff\x00}"):
            assert key_slot(name) == client.execute_command("CLUSTER", "KEYSLOT", name)
        wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok", "the cluster")
        client.set(NAME, "x")
        assert read_facts(connection, NAME).slot == key_slot(NAME)


def test_an_unknown_type_tells_what_the_server_tells(connection: Connection) -> None:
    connection.redis.hset(NAME, "a", "b")
    page: Any = UnsupportedType().read_page(connection, NAME)
    assert (page.type, page.encoding) == ("hash", "listpack")
    assert page.dump_bytes == len(connection.redis.dump(NAME))
    assert not page.may_dump


def test_a_large_unknown_value_is_dumped_only_when_asked(connection: Connection) -> None:
    connection.redis.set(NAME, b"x" * 3_000_000)
    page: Any = UnsupportedType().read_page(connection, NAME)
    assert (page.dump_bytes, page.may_dump) == (None, True)
    page = UnsupportedType().read_page(connection, NAME, query={"dump": "on"})
    assert page.dump_bytes is not None
    connection.redis.setrange(NAME, 70_000_000, "x")
    page = UnsupportedType().read_page(connection, NAME, query={"dump": "on"})
    assert (page.dump_bytes, page.may_dump) == (None, False)
    assert "not measured" in page.note


FILL = {
    "hash": "t[#t+1]='f'..n t[#t+1]='value '..n",
    "list": "t[#t+1]='element '..n",
    "set": "t[#t+1]='member '..n",
    "zset": "t[#t+1]=n t[#t+1]='member '..n",
    "stream": "t={n..'-1','f','value '..n}",
    "string": "",
}
PUSH = {"hash": "HSET", "list": "RPUSH", "set": "SADD", "zset": "ZADD", "stream": "XADD", "string": ""}
FILL_SCRIPT = "for n=ARGV[1]+1,ARGV[1]+1000 do local t={{}} {each} redis.call('{push}',KEYS[1],unpack(t)) end"


def fill(redis: Any, kind: str, name: str, thousands: int) -> None:
    """A thousand elements a script, so that none of them runs into a timeout on a busy machine."""
    if kind == "string":
        redis.setrange(name, thousands * 64_000, b"end")
        return
    script = FILL_SCRIPT.format(each=FILL[kind], push=PUSH[kind])
    pipe = redis.pipeline(transaction=False)
    for thousand in range(thousands):
        pipe.eval(script, 1, name, thousand * 1000)
        if thousand % 50 == 49:
            pipe.execute()
    pipe.execute()


@pytest.mark.parametrize("kind", FILL)
def test_opening_a_million_elements_costs_what_a_small_key_costs(kind: str, connection: Connection) -> None:
    """By the server's own clock, facts and two pages; the best of five, for other work on this machine disturbs it.

    What a giant may cost more is the memory that is not in the processor's cache: microseconds an element shown
    (HGETALL of it takes 280 ms).
    """
    fill(connection.redis, kind, "small", 1)
    fill(connection.redis, kind, "giant", 1000)
    costs = {}
    for name in (b"small", b"giant"):
        runs = []
        for _ in range(5):
            with commands_used(connection) as used:
                read_facts(connection, name)
                page = type_of(kind).read_page(connection, name)
                if page.next:
                    type_of(kind).read_page(connection, name, query=page.next)
            runs.append(sum(usec for _, usec in used.values()))
        costs[name] = min(runs)
    assert costs[b"giant"] < costs[b"small"] * 3 + 2500, costs
