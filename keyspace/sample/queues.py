"""Queues: lists of jobs, and streams with groups of consumers that have not acknowledged everything."""

import json
from collections.abc import Iterator

from keyspace.sample.world import HOUR, Command, World, iso

JOBS = ("emails", "webhooks", "thumbnails", "statements")
STREAMS = {
    "events:orders": ("billing", "mailer"),
    "events:payments": ("ledger", "fraud", "analytics"),
    "events:balances": ("projector",),
    "events:audit": (),
}
CONSUMERS = ("worker-1", "worker-2", "worker-3")
_LENGTH = 1200
_READ, _LEFT_PENDING = 900, 37


def job(world: World, kind: str) -> str:
    return json.dumps({
        "id": world.hex_uuid(), "kind": kind, "to": f"{world.person(world.below(20_000))}@example.com",
        "attempt": world.below(3), "queuedAt": iso(world.now),
    })  # fmt: skip


def event(world: World, stream: str) -> tuple[str | int, ...]:
    """Fields and values of an entry."""
    number = world.below(900_000)
    return (
        "type", f"{stream[7:-1]}.{('created', 'updated', 'settled')[number % 3]}", "id", number,
        "amount", world.money(5_000), "at", iso(world.now), "by", world.person(number % 20_000),
    )  # fmt: skip


def lists(world: World) -> Iterator[Command]:
    for kind in JOBS:
        yield "RPUSH", f"queue:{kind}", *(job(world, kind) for _ in range(60))
        yield "RPUSH", f"queue:{kind}:processing", *(job(world, kind) for _ in range(3))
    yield "RPUSH", "queue:dead", *(job(world, JOBS[n % 4]) for n in range(25))


def streams(world: World) -> Iterator[Command]:
    for stream, groups in STREAMS.items():
        ids = [f"{int((world.now - HOUR + n * 3) * 1000)}-{n % 2}" for n in range(_LENGTH)]
        for identity in ids:
            yield "XADD", stream, identity, *event(world, stream)
        for group in groups:
            yield "XGROUP", "CREATE", stream, group, "0"
            for number, consumer in enumerate(CONSUMERS):
                count = _READ // len(CONSUMERS)
                yield "XREADGROUP", "GROUP", group, consumer, "COUNT", count, "STREAMS", stream, ">"
                read = ids[number * count : (number + 1) * count]
                yield "XACK", stream, group, *read[: -_LEFT_PENDING // len(CONSUMERS)]


def write_queues(world: World) -> Iterator[Command]:
    yield from lists(world)
    yield from streams(world)
