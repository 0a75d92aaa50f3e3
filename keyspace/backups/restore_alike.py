"""Whether two servers hold the same value although their DUMPs differ: sets and hashes stand in another order on each."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from keyspace.backups.dumps import Dump, type_of
from keyspace.backups.restore_source import Source
from keyspace.backups.restore_target import Target
from keyspace.backups.typed import NotTyped, Piece, TypedPiece, read_typed
from keyspace.importing import digest_of

MOST = 5_000
"""Values that one restore compares this way; further ones count as different."""


class Likeness:
    """Between a source and a target."""

    def __init__(self, source: Source, target: Target) -> None:
        self._source, self._target = source, target
        self._left = MOST

    def alike(self, db: int, into: int, dump: Dump) -> bool:
        self._left -= 1
        if self._left < 0:
            return False
        client = self._target.client(into)
        kind = type_of(client, dump.name)
        try:
            theirs = _digest(kind, read_typed(client, into, dump.name, kind, None))
            return theirs == _digest(kind, self._source.typed(db, dump))
        except (NotTyped, redis.ResponseError):
            return False


def _digest(kind: str, pieces: Iterable[TypedPiece]) -> tuple[str, str]:
    tails: list[Any] = []

    def bare() -> Iterator[Piece]:
        for each in pieces:
            tails.append(_tail(each.piece))
            yield each.piece

    value = digest_of(kind, bare())
    return value, json.dumps([tail for tail in tails if tail], sort_keys=True)


def _tail(piece: Piece) -> dict[str, Any]:
    """What a stream has beside its entries; not how long ago they were delivered, which differs at every look."""
    tail = {name: piece[name] for name in ("last_id", "added", "deleted") if name in piece}
    groups = [
        group | {"pending": [[entry, consumer, times] for entry, consumer, _, times in group["pending"]]}
        for group in piece.get("groups", [])
    ]
    return tail | ({"groups": groups} if groups else {})
