"""Whether two servers hold the same value although their DUMPs differ: sets and hashes stand in another order on each."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from keyspace.backups.dumps import Dump, type_of, type_of_payload
from keyspace.backups.restore_source import Source
from keyspace.backups.restore_target import Target
from keyspace.backups.typed import NotTyped, Piece, TypedPiece, read_typed
from keyspace.backups.typed_small import read_whole
from keyspace.importing import digest_of
from keyspace.servers import Client
from keyspace.wire import Command, read_many

MOST = 5_000
"""Values that one restore compares one by one; further ones count as different."""
_SMALL_BYTES = 16 * 1024
_LENGTHS = {"string": "STRLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN"}
_FIELD_TTLS = (22, 23, 24, 25)
"""RDB types of hashes whose fields expire: they are more than their fields and values."""


class Likeness:
    """Between a source and a target."""

    def __init__(self, source: Source, target: Target) -> None:
        self._source, self._target = source, target
        self._left = MOST

    def alike(self, db: int, into: int, pairs: list[tuple[Dump, Dump]]) -> set[bytes]:
        """The names of those that are: small ones are read all at once, the others one by one."""
        dumps = [dump for dump, _ in pairs]
        small = [dump for dump, old in pairs if _is_small(dump) and _is_small(old)]
        theirs = self._target.client(into)
        found: dict[bytes, bool] = {}
        if small and (ours := self._source.holding(db, small)) is not None:
            found = _compare_small(theirs, ours, {dump.name: type_of_payload(dump.payload) for dump in small})
        for dump in dumps:
            if dump.name not in found:
                found[dump.name] = self._alike(theirs, db, into, dump)
        return {name for name, alike in found.items() if alike}

    def _alike(self, client: Client, db: int, into: int, dump: Dump) -> bool:
        self._left -= 1
        if self._left < 0:
            return False
        kind = type_of(client, dump.name)
        try:
            theirs = _digest(kind, read_typed(client, into, dump.name, kind, None))
            return theirs == _digest(kind, self._source.typed(db, dump))
        except (NotTyped, redis.ResponseError):
            return False


def _is_small(dump: Dump) -> bool:
    first = dump.payload[0]
    return (
        len(dump.payload) < _SMALL_BYTES
        and type_of_payload(dump.payload) in _LENGTHS
        and first not in _FIELD_TTLS
    )


def _compare_small(one: Client, other: Client, kinds: dict[bytes, str]) -> dict[bytes, bool]:
    """name -> whether it is the same; without those that turn out to be large."""
    asked: list[Command] = [(_LENGTHS[kind], name) for name, kind in kinds.items()]
    lengths = zip(read_many(one, asked), read_many(other, asked), strict=True)
    found = {
        name: False
        for name, (here, there) in zip(kinds, lengths, strict=True)
        if not isinstance(here, int) or here != there
    }
    left = {name: kind for name, kind in kinds.items() if name not in found}
    ours, theirs = read_whole(one, left), read_whole(other, left)
    return found | {
        name: _same_piece(kind, ours[name], theirs[name])
        for name, kind in left.items()
        if name in ours and name in theirs
    }


def _same_piece(kind: str, one: Piece, other: Piece) -> bool:
    return one == other or (
        kind not in ("string", "list") and digest_of(kind, [one]) == digest_of(kind, [other])
    )


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
