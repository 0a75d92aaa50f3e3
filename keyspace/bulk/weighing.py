"""How large keys are, before they are read whole: a DUMP is one stall of the server, and one piece of our own memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from keyspace.servers import Connection
from keyspace.types import type_of
from keyspace.wire import Wire

BATCH_BYTES = 16 * 1024 * 1024
"""Memory of keys that are dumped at once."""

UNASKED = -1


@dataclass(frozen=True)
class Weighed:
    """`type` as TYPE answers; `memory` in bytes, None where the server does not tell, or would walk through the value for it."""

    name: bytes
    type: str
    memory: int | None


def weigh(connection: Connection, wire: Wire, names: list[bytes]) -> list[Weighed]:
    """Those that are still there, in two round trips; one more for each value of a module that may be walked through, being small."""
    kinds = wire.call_many([("TYPE", name) for name in names])
    for kind in kinds:
        if isinstance(kind, Exception):
            raise kind
    typed = [
        (name, kind.decode(errors="replace"))
        for name, kind in zip(names, kinds, strict=True)
        if kind != b"none"
    ]
    measured = [
        name
        for name, kind in typed
        if not type_of(kind).memory_walks or type_of(kind).may_measure(connection, name)
    ]
    sizes = dict(zip(measured, wire.call_many([("MEMORY", "USAGE", name) for name in measured]), strict=True))
    found = []
    for name, kind in typed:
        size = sizes.get(name, UNASKED)
        if size is not None:  # else it is gone since
            found.append(Weighed(name, kind, size if isinstance(size, int) and size >= 0 else None))
    return found


def by_weight(weighed: list[Weighed]) -> Iterator[list[Weighed]]:
    """Batches of no more than BATCH_BYTES, or of one key."""
    batch: list[Weighed] = []
    held = 0
    for each in weighed:
        if batch and held + (each.memory or 0) > BATCH_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(each)
        held += each.memory or 0
    if batch:
        yield batch
