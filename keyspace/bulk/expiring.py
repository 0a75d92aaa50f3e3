"""TTLs of a batch: set to a moment, taken away, or moved later; with a jitter, so that not all keys end at once."""

import time
import zlib
from collections.abc import Callable
from typing import Any

from keyspace.bulk.away import check_answered
from keyspace.bulk.plan import Planned
from keyspace.bulk.tally import Tally
from keyspace.bulk.watched import execute, in_halves
from keyspace.changes import is_cluster
from keyspace.servers import Connection
from keyspace.wire import Command, Wire, pack

NOT_MET = "the condition does not hold, or it is gone"
NO_TTL = "it has no TTL, or is gone"
PASSED = "its new time has passed already: it would have been deleted"
CHANGED = "its TTL was changed meanwhile"
BUSY = "it changes all the time"
LEAST_AHEAD_MS = 1000


def jitter_of(name: bytes, most: int, seed: int) -> int:
    """0 to `most` ms, the same for a key however often the job comes by."""
    return zlib.crc32(name, seed) % (most + 1) if most else 0


class Expire:
    """PEXPIREAT: the moment is fixed when the job begins, so doing it again does no harm. `condition` of NX XX GT LT, or ""."""

    def __init__(self, *, at: int, jitter: int, seed: int, condition: str) -> None:
        self._at, self._jitter, self._seed = at, jitter, seed
        self._rest: tuple[str, ...] = (condition,) if condition else ()

    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None:
        if self._at <= time.time() * 1000 + LEAST_AHEAD_MS:
            tally.skip(names, PASSED)
            return
        rest, at, jitter, seed = self._rest, self._at, self._jitter, self._seed
        commands: list[Command] = [
            ("PEXPIREAT", name, at + jitter_of(name, jitter, seed), *rest) for name in names
        ]
        _count(names, wire.exchange(b"".join(map(pack, commands)), len(commands)), tally, NOT_MET)


class Persist:
    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None:
        _count(names, wire.call_many([("PERSIST", name) for name in names]), tally, NO_TTL)


def _count(names: list[bytes], replies: list[Any], tally: Tally, zero: str) -> None:
    """Replies of 1 are done, of 0 skipped for `zero`. Raises what says that the server is away."""
    check_answered(replies)
    done = replies.count(1)
    tally.done += done
    if done == len(replies):
        return
    tally.skip([name for name, reply in zip(names, replies, strict=True) if reply == 0], zero)
    for name, reply in zip(names, replies, strict=True):
        if isinstance(reply, Exception):
            tally.fail([name], str(reply)[:200])


class Extend:
    """PEXPIREAT to the planned end plus `extend`, for keys whose TTL is still the planned one: never twice, and never over a TTL
    that somebody else set meanwhile."""

    def __init__(self, connection: Connection, *, extend: int, jitter: int, seed: int) -> None:
        self._extend, self._jitter, self._seed = extend, jitter, seed
        self._ends = reader_of_ends(connection)
        self._tolerance = 0 if connection.supports("PEXPIRETIME") else 100
        self._alone = is_cluster(connection)

    def apply(self, wire: Wire, planned: list[Planned], tally: Tally) -> None:
        parts = [[each] for each in planned] if self._alone else [planned]
        for part in parts:
            in_halves(
                part, lambda some: self._try(wire, some, tally), lambda one: tally.skip([one.name], BUSY)
            )

    def _target(self, each: Planned) -> int:
        return each.expires_at + self._extend + jitter_of(each.name, self._jitter, self._seed)

    def _try(self, wire: Wire, planned: list[Planned], tally: Tally) -> bool:
        names = [each.name for each in planned]
        wire.call("WATCH", *names)
        here = Tally()
        commands = self._decide(planned, self._ends(wire, names), here)
        if commands:
            if execute(wire, commands) is None:
                return False
            here.done += len(commands)
        else:
            wire.call("UNWATCH")
        tally.add(here)
        return True

    def _decide(self, planned: list[Planned], ends: list[int], tally: Tally) -> list[Command]:
        commands: list[Command] = []
        soonest = time.time() * 1000 + LEAST_AHEAD_MS
        for each, end in zip(planned, ends, strict=True):
            target = self._target(each)
            if abs(end - target) <= self._tolerance:
                tally.done += 1  # by this job, before it was interrupted
            elif end < 0:
                tally.skip([each.name], NO_TTL)
            elif abs(end - each.expires_at) > self._tolerance:
                tally.skip([each.name], CHANGED)
            elif target <= soonest:
                tally.skip([each.name], PASSED)
            else:
                commands.append(("PEXPIREAT", each.name, target))
        return commands


def reader_of_ends(connection: Connection) -> Callable[[Wire, list[bytes]], list[int]]:
    """Reads when keys end, in Unix ms: -1 for no TTL, -2 for no key. Before Redis 7 the server's clock plus the TTL."""
    if connection.supports("PEXPIRETIME"):
        return lambda wire, names: _checked(wire.call_many([("PEXPIRETIME", name) for name in names]))

    def by_clock(wire: Wire, names: list[bytes]) -> list[int]:
        clock, *ttls = wire.call_many([("TIME",), *(("PTTL", name) for name in names)])
        now = int(clock[0]) * 1000 + int(clock[1]) // 1000
        return [now + ttl if ttl >= 0 else ttl for ttl in _checked(ttls)]

    return by_clock


def _checked(replies: list[Any]) -> list[int]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
