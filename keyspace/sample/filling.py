"""Fill a server with sample data, fast and in little memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import hiredis
import redis as redis_py

from keyspace.sample import figures, ledger, oddities, queues, web
from keyspace.sample.world import Command, Kind, World

KINDS: dict[str, Kind] = ledger.KINDS | web.KINDS | figures.KINDS
OTHER_DB = 1
_COMMANDS_AT_ONCE = 500
_BYTES_AT_ONCE = 1024 * 1024
Client = redis_py.Redis


def fill(
    redis: Client,
    keys: int = 50_000,
    seed: int = 1,
    *,
    on_progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write about `keys` keys of every type to the client's db, and a few to db 1; gives DBSIZE then.

    The db should be empty. `on_progress` gets the number of keys written, a few times a second.
    """
    world = World(seed, keys=keys)
    fixed = chain(
        ledger.one_of_each(world), queues.write_queues(world), oddities.odd_names(world), oddities.odd_values(world),
        oddities.field_ttls(world), oddities.giants(world, keys),
    )  # fmt: skip
    _write(redis, fixed)
    _write_elsewhere(redis, oddities.other_db(world))
    _write(
        redis, _all_kinds(world, KINDS, max(0, keys - int(redis.dbsize())), first=0, on_progress=on_progress)
    )
    return int(redis.dbsize())


def top_up(redis: Client, keys: int = 50_000, seed: int = 1) -> int:
    """Bring a db that has been filled back to `keys` keys: sessions and the like that expired meanwhile, or more of all.

    Gives DBSIZE. What is missing by less than one in fifty stays so.
    """
    there = int(redis.dbsize())
    expiring = int(redis.info("keyspace").get(f"db{_db_of(redis)}", {}).get("expires", 0))
    world = World(seed, keys=keys)
    world.random.seed(f"{seed} {there} {world.now}")
    first = max(keys, there) + world.below(1000) * 1000
    wanted = counts_of(KINDS, keys)
    for have, expires in ((expiring, True), (there - expiring, False)):
        kinds = {name: kind for name, kind in KINDS.items() if bool(kind.life) is expires}
        missing = sum(wanted[name] for name in kinds) - have
        if missing > keys // 50:
            _write(redis, _all_kinds(world, kinds, missing, first=first))
    return int(redis.dbsize())


def _db_of(redis: Client) -> int:
    return int(redis.connection_pool.connection_kwargs.get("db") or 0)


def counts_of(kinds: Mapping[str, Kind], keys: int) -> dict[str, int]:
    """How many of each kind make up `keys`: by share, with what the briefly living may not have given to the rest."""
    counts: dict[str, int] = {}
    rest = dict(kinds)
    while rest:
        total, left = sum(kind.share for kind in rest.values()), keys - sum(counts.values())
        full = {name: kind.at_most for name, kind in rest.items() if kind.share / total * left > kind.at_most}
        if not full:
            break
        counts |= full
        rest = {name: kind for name, kind in rest.items() if name not in full}
    total, left = sum(kind.share for kind in rest.values()), keys - sum(counts.values())
    counts |= {name: int(kind.share / total * left) for name, kind in rest.items()}
    largest = max(counts, key=lambda name: counts[name])
    counts[largest] += keys - sum(counts.values())
    return counts


def _all_kinds(
    world: World,
    kinds: Mapping[str, Kind],
    keys: int,
    *,
    first: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Command]:
    done = 0
    for name, count in counts_of(kinds, keys).items():
        kind = kinds[name]
        for number in range(first, first + count):
            yield from kind.write(world, number)
            done += 1
            if done % 5000 == 0:
                on_progress(done)


def _write(redis: Client, commands: Iterable[Command]) -> None:
    """Send the commands in pipelines bounded in number and bytes. Raises what redis-py raises."""
    unknown = {name for name in ("HEXPIRE",) if not any(redis.execute_command("COMMAND INFO", name) or [])}
    batch: list[Command] = []
    size = 0
    for command in commands:
        if command[0] in unknown:
            continue
        batch.append(command)
        size += sum(len(word) if isinstance(word, bytes | str) else 8 for word in command)
        if len(batch) >= _COMMANDS_AT_ONCE or size >= _BYTES_AT_ONCE:
            _write_all(redis, batch)
            batch, size = [], 0
    _write_all(redis, batch)


def _write_all(redis: Client, commands: Sequence[Command]) -> None:
    for reply in send_all(redis, commands):
        if isinstance(reply, Exception):
            raise reply


def send_all(redis: Client, commands: Sequence[Command]) -> list[Any]:
    """The replies to all commands, sent in one write, refusals in their places: a third of a pipeline's time."""
    pool = redis.connection_pool
    connection = pool.get_connection()
    replies: list[Any] = []
    try:
        connection.send_packed_command([b"".join(map(_pack, commands))])
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except redis_py.ResponseError as error:
                replies.append(error)
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return replies


_pack = cast(Callable[[Command], bytes], hiredis.pack_command)


def _write_elsewhere(redis: Client, commands: Iterable[Command]) -> None:
    """Write to the other db, when the server has one and the client is not there already."""
    options: dict[str, Any] = redis.connection_pool.connection_kwargs
    pool = redis_py.ConnectionPool(redis.connection_pool.connection_class, **(options | {"db": OTHER_DB}))
    with redis_py.Redis(connection_pool=pool) as other:
        try:
            other.ping()
        except redis_py.ResponseError:
            return
        if not other.dbsize():
            _write(other, commands)
    pool.disconnect()
