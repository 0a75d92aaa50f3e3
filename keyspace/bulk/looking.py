"""The dry run: how many keys are chosen, how much they hold, what they look like, and which of them will be slow."""

import heapq
import random
import time
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from keyspace.access import Permission
from keyspace.bulk.away import begin_again
from keyspace.bulk.choice import Choice, choice_of, read_pages
from keyspace.bulk.copying import Comparer, check_copy, target_of
from keyspace.bulk.pace import Pace
from keyspace.encoding import key_id, to_text
from keyspace.jobs import Run, job
from keyspace.servers import Connection
from keyspace.types import type_of
from keyspace.wire import Wire, open_wire

EXAMPLES, LARGEST = 20, 5
DUMP_BYTES_A_MS = 300_000
"""What DUMP gets through in a millisecond in which the server does nothing else; measured on collections of small elements."""


@dataclass(frozen=True)
class Seen:
    """A chosen key: `memory` in bytes and `ttl` in ms, None where it has none or the server does not tell."""

    name: bytes
    type: str
    ttl: int | None
    memory: int | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": key_id(self.name),
            "name": to_text(self.name)[:300],
            "type": self.type,
            "ttl": self.ttl,
            "memory": self.memory,
        }


@dataclass
class Look:
    """`count` keys are chosen, of `of` in the db (None where the person may not know). `memory` in bytes of `measured` of them.

    `examples` is an even choice among all. `too_large` do not fit the trash. `foreign` match, but the person's role does not
    cover them.
    """

    count: int = 0
    of: int | None = None
    memory: int = 0
    measured: int = 0
    without_ttl: int = 0
    too_large: int = 0
    foreign: int = 0
    types: dict[str, int] = field(default_factory=dict)
    examples: list[Seen] = field(default_factory=list)
    largest: list[tuple[int, int, Seen]] = field(default_factory=list)

    def add(self, seen: list[Seen]) -> None:
        for each in seen:
            self.count += 1
            self.types[each.type] = self.types.get(each.type, 0) + 1
            self.without_ttl += each.ttl is None
            self._keep_example(each)
            if each.memory is None:
                continue
            self.measured += 1
            self.memory += each.memory
            self.too_large += each.memory > settings.TRASH_KEY_BYTES
            entry = (each.memory, self.count, each)
            (heapq.heappush if len(self.largest) < LARGEST else heapq.heappushpop)(self.largest, entry)

    def _keep_example(self, each: Seen) -> None:
        if len(self.examples) < EXAMPLES:
            self.examples.append(each)
        elif (place := int(random.random() * self.count)) < EXAMPLES:
            self.examples[place] = each

    def as_dict(self) -> dict[str, Any]:
        largest = [
            each.as_dict() for _, _, each in sorted(self.largest, reverse=True, key=lambda entry: entry[:2])
        ]
        for each in largest:
            each["stall_ms"] = round((each["memory"] or 0) / DUMP_BYTES_A_MS, 1)
        return {
            "count": self.count, "of": self.of, "memory": self.memory, "measured": self.measured, "foreign": self.foreign,
            "without_ttl": self.without_ttl, "too_large": self.too_large, "types": self.types,
            "examples": [each.as_dict() for each in self.examples], "largest": largest,
        }  # fmt: skip


@job("look_bulk", permission=Permission.BULK, resumable=True)
def look_bulk(run: Run) -> dict[str, Any]:
    """Reads only, so a restart begins anew, and so does a server that went away."""
    return begin_again(run, lambda: _look(run))


def _look(run: Run) -> dict[str, Any]:
    connection, choice = run.connection, choice_of(run.params)
    began, comparer = time.monotonic(), _comparer(run, connection)
    permission = Permission.REVEAL_VALUES if comparer else Permission.BULK
    look = Look(of=None if connection.access.patterns else connection.redis.dbsize())
    run.report(done=0, total=_total(connection, choice), phase="looking", now=True)
    others = (comparer.target_client,) if comparer else ()
    pace, looked = Pace(run, connection.redis, *others), 0
    with open_wire(connection.redis) as wire:
        for page in read_pages(connection, choice, wire, permission=permission):
            if comparer:
                comparer.look(wire, page.names)
            look.add(_see(wire, page.names))
            look.foreign += len(page.foreign)
            looked += page.looked
            if pace.time_to_tell():
                done = min(looked, run.job.total or looked)
                run.report(done=done, phase=f"looking: {look.count} keys chosen so far")
            pace.after(len(page.names))
    run.job.done = run.job.total or looked
    compared = {"copy": comparer.as_dict()} if comparer else {}
    return look.as_dict() | compared | {"seconds": round(time.monotonic() - began, 2)}


def _comparer(run: Run, connection: Connection) -> Comparer | None:
    """For a copy: what looks at the other side as well."""
    if not run.params.get("copy"):
        return None
    target = target_of(run)
    check_copy(connection, target)
    return Comparer(run, connection, connection.redis, target)


def _total(connection: Connection, choice: Choice) -> int | None:
    if choice.names is not None and choice.by_name:
        return len(choice.names)
    return None if connection.access.patterns else int(connection.redis.dbsize())


def _see(wire: Wire, names: list[bytes]) -> list[Seen]:
    """Two round trips: type and TTL, then the memory of those that the server measures without walking through all of them."""
    replies = wire.call_many([command for name in names for command in (("TYPE", name), ("PTTL", name))])
    facts = [fact for fact in zip(names, replies[::2], replies[1::2], strict=True) if fact[1] != b"none"]
    for _, kind, ttl in facts:
        for reply in (kind, ttl):
            if isinstance(reply, Exception):
                raise reply
    kinds = [kind.decode(errors="replace") for _, kind, _ in facts]
    asked = [at for at, kind in enumerate(kinds) if not type_of(kind).memory_walks]
    sizes: list[Any] = [None] * len(facts)
    for at, reply in zip(
        asked, wire.call_many([("MEMORY", "USAGE", facts[at][0]) for at in asked]), strict=True
    ):
        sizes[at] = (
            reply if isinstance(reply, int) else None
        )  # refused by an ACL: the rest is told all the same
    return [
        Seen(name, kind, ttl if ttl >= 0 else None, size)
        for (name, _, ttl), kind, size in zip(facts, kinds, sizes, strict=True)
    ]
