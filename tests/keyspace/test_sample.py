"""The sample data: every type, the names of the ledger, odd ones, in time; and the traffic over them."""

import json
import threading
from collections.abc import Callable, Iterator

import msgpack
import pytest

from keyspace.sample import fill, top_up, traffic
from keyspace.sample.filling import KINDS, counts_of
from keyspace.sample.world import World
from tests.topologies import wait_until

KEYS = 3000


def names_by_type(redis) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for kind in ("string", "list", "hash", "set", "zset", "stream"):
        found[kind] = list(redis.scan_iter(count=1000, _type=kind))
    return found


def first(redis, pattern: str) -> bytes:
    return next(redis.scan_iter(match=pattern, count=1000))


def test_every_generation_takes_every_type(any_redis):
    assert fill(any_redis, KEYS) == KEYS
    assert all(names_by_type(any_redis).values())
    assert any_redis.info("keyspace")["db1"]["keys"] > 200


def test_half_of_the_keys_have_a_ttl_and_few_end_soon(redis):
    fill(redis, 20_000)
    pipe = redis.pipeline(transaction=False)
    for name in redis.scan_iter(count=1000):
        pipe.pttl(name)
    ttls = [ttl for ttl in pipe.execute() if ttl >= 0]
    assert 0.35 < len(ttls) / redis.dbsize() < 0.65
    assert sum(ttl < 60_000 for ttl in ttls) < 400
    assert max(ttls) > 20 * 86_400_000


def test_the_ledgers_keys_are_named_and_shaped_as_the_ledger_does(redis):
    fill(redis, KEYS)
    balance = first(redis, "balance:{transactions}:*:*:@*#*")
    assert {"Available", "OnHold", "Version", "AccountID"} <= json.loads(redis.get(balance)).keys()
    assert redis.zscore(
        "schedule:{transactions}:balance-sync-v2",
        redis.zrange("schedule:{transactions}:balance-sync-v2", 0, 0)[0],
    )
    assert json.loads(redis.hvals("backup_queue:{transactions}")[0])["status"]
    assert msgpack.unpackb(redis.get(first(redis, "wb_transaction:{*:*:*}")))["operations"]
    assert msgpack.unpackb(redis.get(first(redis, "accounting_routes:{*:*:*}")))["source"]
    for pattern in (
        "transaction:{transactions}:*:*:*", "pending_transaction:{transaction}:*:*:*", "idempotency:{*:*:*}",
        "idempotency_reverse:{*:*}:*", "ledger_settings:{*:*}", "lock:{transactions}:balance-sync:balance:*",
        "lock:{transactions}:backup-consumer-cycle",
    ):  # fmt: skip
        assert redis.pttl(first(redis, pattern)) > 0, pattern


def test_names_are_odd_in_every_way(redis):
    fill(redis, KEYS)
    names = set(redis.scan_iter(count=1000))
    assert b"" in names and b"::" in names and b"a::b" in names
    assert any(b"\xff" in name for name in names)
    assert max(map(len, names)) > 3000


def test_streams_have_groups_with_pending_entries_and_a_lag(redis):
    fill(redis, KEYS)
    groups = redis.xinfo_groups("events:payments")
    assert len(groups) == 3
    assert all(10 < group["pending"] < 100 and group["lag"] > 0 for group in groups)


def test_fields_have_ttls_where_the_server_has_them(redis):
    fill(redis, KEYS)
    assert redis.execute_command("HPTTL", "device:1:signals", "FIELDS", 2, "battery", "model")[1] == -1
    assert redis.execute_command("HPTTL", "device:1:signals", "FIELDS", 1, "battery")[0] > 0


def test_giants_are_there_and_smaller_where_few_keys_are_asked_for(redis):
    fill(redis, 50_000)
    assert 49_900 < redis.dbsize() <= 50_000  # where filling takes a while, some have ended already
    assert redis.hlen("index:accounts-by-document") == redis.llen("log:requests") == 200_000
    assert redis.zcard("leaderboard:all-time") == 100_000
    assert redis.strlen("export:transactions.csv") == 20 * 1024 * 1024


def test_the_same_seed_gives_the_same_balances(redis):
    fill(redis, KEYS, seed=7)
    before = set(redis.scan_iter(match="balance:*", count=1000))
    redis.flushall()
    fill(redis, KEYS, seed=7)
    assert set(redis.scan_iter(match="balance:*", count=1000)) == before


def test_ledgers_are_the_same_however_many_keys_there_are():
    assert (
        World(1, keys=10_000).ledgers == World(1, keys=100_000).ledgers[: len(World(1, keys=10_000).ledgers)]
    )


@pytest.mark.parametrize("keys", [0, 10, 1000, 1_000_000])
def test_shares_add_up_and_the_briefly_living_stay_few(keys):
    counts = counts_of(KINDS, keys)
    assert sum(counts.values()) == keys
    assert all(count <= KINDS[name].at_most for name, count in counts.items())


def test_top_up_replaces_what_expired_and_nothing_else(redis):
    fill(redis, KEYS)
    lasting = {name for name in redis.scan_iter(count=1000) if redis.pttl(name) < 0}
    redis.unlink(*(name for name in redis.scan_iter(count=1000) if name not in lasting))
    assert top_up(redis, KEYS) == pytest.approx(KEYS, abs=100)
    new = [name for name in redis.scan_iter(count=1000) if name not in lasting]
    assert sum(redis.pttl(name) < 0 for name in new) == 0


def test_top_up_leaves_a_full_db_alone(redis):
    fill(redis, KEYS)
    before = redis.info("stats")["total_writes_processed"]
    assert top_up(redis, KEYS) == KEYS
    assert redis.info("stats")["total_writes_processed"] - before < 5


def test_top_up_can_make_it_larger(redis):
    fill(redis, 1000)
    assert top_up(redis, 10_000) == pytest.approx(10_000, abs=100)


@pytest.fixture
def moving(server) -> Iterator[Callable[[], None]]:
    """Starts traffic over filled data; stops it after the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def start() -> None:
        fill(server.client(), KEYS)
        thread = threading.Thread(target=traffic, args=(server.client(), stop), kwargs={"keys": KEYS})
        threads.append(thread)
        thread.start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_traffic_moves_everything_and_is_refused_nothing(redis, moving):
    listener = redis.pubsub()
    listener.psubscribe("*")
    moving()
    redis.config_resetstat()
    wanted = (
        "set",
        "evalsha",
        "incr",
        "xadd",
        "xreadgroup",
        "xack",
        "lmove",
        "zadd",
        "zrem",
        "pfadd",
        "publish",
    )
    wait_until(
        lambda: {f"cmdstat_{name}" for name in wanted} <= redis.info("commandstats").keys(), "all of them"
    )
    stats = redis.info("commandstats")
    assert not [name for name, stat in stats.items() if stat["failed_calls"] + stat["rejected_calls"]]
    wait_until(lambda: redis.info("stats")["instantaneous_ops_per_sec"] < 250, "no more than a calm pace")
    channels = set()

    def all_are_heard():
        while message := listener.get_message(timeout=0.05):
            channels.add(message["channel"])
        told = {b"ledger.transactions.created", b"ledger.balances.updated", b"cache.invalidate"}
        return told <= channels and any(channel.startswith(b"notify:user:") for channel in channels)

    wait_until(all_are_heard, "a message of each sort")
    assert abs(redis.dbsize() - KEYS) < 200


def test_traffic_survives_a_restart_and_a_flush_of_scripts(server, redis, moving):
    moving()
    server.restart()
    wait_until(lambda: server.client().dbsize() > 3, "traffic to come back")
    server.client().flushall()
    server.client().script_flush()
    wait_until(lambda: server.client().dbsize() > 3, "traffic to go on")
