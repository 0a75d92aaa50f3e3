"""Whether two payloads that differ hold the same value after all, and what the difference is: both sides are asked for the typed form."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from hashlib import blake2b
from typing import Any

import redis

from keyspace.backups.diffing import diff_key
from keyspace.backups.dumps import Dump, type_of
from keyspace.backups.scratch import NotReadable, start_scratch
from keyspace.backups.typed import NotTyped, Piece, read_typed, to_line
from keyspace.servers import Client

MOST_ROWS = 2_000_000
MOST_BYTES = 64 * 1024 * 1024
Clients = Callable[[int], Client]


class Judge:
    """Two sides that can be asked by db."""

    def __init__(self, old: Clients, new: Clients) -> None:
        self._old, self._new = old, new

    def alike(self, db: int, name: bytes) -> bool:
        one = typed_digest(self._old(db), db, name)
        return one is not None and one == typed_digest(self._new(db), db, name)

    def diff(self, db: int, name: bytes) -> dict[str, Any]:
        return diff_key(self._old(db), self._new(db), db, name)


def typed_digest(client: Client, db: int, name: bytes) -> bytes | None:
    """A digest of the value in which order counts only where the type has one; None where it cannot be read, or is too long to sort."""
    kind = type_of(client, name)
    ordered = kind in ("string", "list", "stream", "ReJSON-RL")
    total = blake2b(kind.encode(), digest_size=16)
    rows: list[bytes] = []
    try:
        for piece in read_typed(client, db, name, kind, None):
            _forget_times(piece.piece)
            values = [to_line(piece)] if ordered else [repr(row).encode() for row in piece.piece["value"]]
            rows += [blake2b(value, digest_size=8).digest() for value in values]
            if len(rows) > MOST_ROWS:
                return None
    except NotTyped:
        return None
    for row in rows if ordered else sorted(rows):
        total.update(row)
    return total.digest()


def _forget_times(piece: Piece) -> None:
    """How long ago an entry was delivered differs with every look."""
    for group in piece.get("groups", []):
        group["pending"] = [[entry, consumer, times] for entry, consumer, _, times in group["pending"]]


def hold_keys(stack: ExitStack, dumps: Iterable[tuple[int, list[Dump]]]) -> Clients | None:
    """A scratch server with just these keys, as far as they fit MOST_BYTES; None where no server here reads them."""
    try:
        scratch = stack.enter_context(start_scratch())
    except NotReadable:
        return None
    room = MOST_BYTES
    for db, page in dumps:
        for dump in page:
            room -= len(dump.payload)
            if room >= 0:
                _restore(scratch.client(db), dump)
    return scratch.client


def _restore(client: Client, dump: Dump) -> None:
    """A payload that is refused is a key that is not there: nothing is said to be alike then."""
    try:
        client.restore(dump.name, 0, dump.payload, replace=True)
    except redis.ResponseError:
        return
