"""Deleting keys, each with a way back: its DUMP is in the trash before it goes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import redis
from redis.client import Pipeline

from keyspace import audit, trash
from keyspace.access import Permission, performs
from keyspace.encoding import to_text
from keyspace.errors import BadInput, Conflict, NotFound, Problem
from keyspace.images import Image, Weight, digest_of, preview_key, read_kind, take_image, weigh
from keyspace.models import TrashEntry
from keyspace.servers import Connection
from keyspace.transactions import commit
from keyspace.types.base import gone

TRIES = 5
MOST_NAMES = 1000
_NAMES_TOLD = 100


class NoWayBack(Problem):
    """The key does not fit the trash; ask before it is deleted for good."""

    status = 422


@dataclass(frozen=True)
class Deleted:
    """`entries` are in the trash, by name; `for_good` were deleted without; `gone` were not there any more."""

    entries: dict[bytes, str] = field(default_factory=dict)
    for_good: tuple[bytes, ...] = ()
    gone: tuple[bytes, ...] = ()

    @property
    def count(self) -> int:
        return len(self.entries) + len(self.for_good)


@performs(Permission.DELETE_KEYS, audited=False)
def weigh_key(connection: Connection, name: bytes) -> Weight:
    """What deleting it would delete, and whether it fits the trash. Raises NotFound."""
    return weigh(connection, connection.redis, name, read_kind(connection.redis, name))


@performs(Permission.DELETE_KEYS)
def delete_keys(
    connection: Connection, *, names: Sequence[bytes], without_trash: bool = False, kind: str = ""
) -> Deleted:
    """Delete keys: each goes into the trash as it is at that moment, then UNLINK in MULTI under WATCH.

    `kind` is the type the person saw. Raises NoWayBack before anything is deleted when one does not fit the trash, unless
    `without_trash`; Conflict for a key of another type, or one that changes all the time; NotFound when there was only one.
    """
    if len(names) > MOST_NAMES:
        raise BadInput(f"More than {MOST_NAMES} keys at once are work for a job.", "Select fewer.")
    if not without_trash:
        _refuse_heavy(connection, names)
    entries: dict[bytes, str] = {}
    for_good: list[bytes] = []
    missing: list[bytes] = []
    try:
        for name in names:
            try:
                entry = _delete(connection, name, kind, without_trash, tell=len(names) == 1)
            except NotFound:
                if len(names) == 1:
                    raise
                missing.append(name)
                continue
            if entry is None:
                for_good.append(name)
            else:
                entries[name] = entry
    finally:
        deleted = Deleted(entries, tuple(for_good), tuple(missing))
        _tell_deleted(names, deleted)
    return deleted


def _tell_deleted(names: Sequence[bytes], deleted: Deleted) -> None:
    """Also of a deletion that failed on its way: what is gone by then is gone."""
    audit.tell(deleted=deleted.count, without_trash=len(deleted.for_good), gone=len(deleted.gone))
    if len(names) > 1:
        audit.tell(names=[to_text(name)[:200] for name in names[:_NAMES_TOLD]])
    elif deleted.entries:
        audit.tell(trash=next(iter(deleted.entries.values())))


def _refuse_heavy(connection: Connection, names: Sequence[bytes]) -> None:
    for name in names:
        try:
            weight = weigh(connection, connection.redis, name, read_kind(connection.redis, name))
        except NotFound:
            continue
        if not weight.fits_trash:
            raise NoWayBack(f"The key {to_text(name)[:200]} is too large for the trash: there would be no way back.",
                            "Confirm that it is deleted for good, or take a backup first.")  # fmt: skip


def _delete(connection: Connection, name: bytes, kind: str, without_trash: bool, *, tell: bool) -> str | None:
    """The id of its entry in the trash. A transaction that was refused wrote nothing, so it may be tried again."""
    now = read_kind(connection.redis, name)
    weight = weigh(connection, connection.redis, name, now)
    if tell:
        audit.tell(type=now, length=weight.length, memory=weight.memory)
    preview = preview_key(connection, name, weight)
    for _ in range(TRIES):
        with connection.redis.pipeline(transaction=True) as pipe:
            pipe.watch(name)
            _check_kind(read_kind(pipe, name), kind or now)
            image = take_image(connection, pipe, name, weight, preview) if weight.fits_trash else None
            entry = _into_trash(connection, name, image, without_trash)
            pipe.multi()
            pipe.execute_command("UNLINK", name)
            if _executed(pipe, entry):
                return str(entry.pk) if entry else None
    return _delete_busy(connection, name, kind or now, weight, preview)


@performs(Permission.DELETE_KEYS)
def undo_creation(connection: Connection, name: bytes, *, left: str) -> str:
    """Delete a key that was created or copied, if it still is what that made (`left`, its digest): the id of its entry in the trash.

    Raises NotFound, Conflict when it was changed since.
    """
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        weight = weigh(connection, pipe, name, read_kind(pipe, name))
        image = take_image(connection, pipe, name, weight, preview_key(connection, name, weight))
        if image is None or digest_of(image.payload) != left:
            raise Conflict("The key was changed since; nothing was deleted.",
                           "Look at it, and delete it if it is to go.")  # fmt: skip
        entry = trash.keep(connection, name, image, why=TrashEntry.Why.DELETED, operation="undo_creation")
        pipe.multi()
        pipe.execute_command("UNLINK", name)
        if not _executed(pipe, entry):
            raise Conflict("The key changed in this very moment; nothing was deleted.", "Look at it again.")
    audit.tell(type=weight.type, length=weight.length, trash=str(entry.pk))
    return str(entry.pk)


def _check_kind(now: str, seen: str) -> None:
    if now != seen:
        raise Conflict(f"The key is a {now} now, it was a {seen}; nothing was deleted.", "Reload the key.")


def _executed(pipe: Pipeline, entry: TrashEntry | None) -> bool:
    """False when the key changed meanwhile. What was not deleted is not in the trash; where nobody knows, it is."""
    try:
        done = commit(pipe) is not None
    except redis.ResponseError:
        if entry:
            entry.delete()
        raise
    if entry and not done:
        entry.delete()
    return done


def _into_trash(
    connection: Connection, name: bytes, image: Image | None, without_trash: bool
) -> TrashEntry | None:
    """Before the key goes: a console that dies between the two leaves one entry too many, never a key too few."""
    if image is not None:
        return trash.keep(connection, name, image, why=TrashEntry.Why.DELETED, operation="delete_keys")
    if without_trash:
        return None
    raise NoWayBack("This key cannot go into the trash: there would be no way back.",
                    "Confirm that it is deleted for good, or take a backup first.")  # fmt: skip


def _delete_busy(
    connection: Connection, name: bytes, kind: str, weight: Weight, preview: list[list[Any]]
) -> str | None:
    """A key that others write all the time: as it was a moment ago it is in the trash first, in case the connection breaks or the
    trash cannot be written; then its last DUMP and UNLINK are one MULTI, and the trash gets that."""
    image = take_image(connection, connection.redis, name, weight, preview) if weight.fits_trash else None
    if image is None:
        raise Conflict("The key changes all the time; it was not deleted.", "Try again.")
    before = trash.keep(connection, name, image, why=TrashEntry.Why.DELETED, operation="delete_keys")
    try:
        now, payload, ttl = _take_out(connection, name)
    except (redis.ResponseError, NotFound):
        before.delete()
        raise
    expires_at = int(time.time() * 1000) + ttl if ttl >= 0 else None
    last = replace(image, type=now, payload=payload, expires_at=expires_at)
    entry = trash.keep(connection, name, last, why=TrashEntry.Why.DELETED, operation="delete_keys")
    before.delete()
    if now != kind:
        connection.redis.execute_command("RESTORE", name, expires_at or 0, payload, "ABSTTL")
        entry.delete()
        _check_kind(now, kind)
    return str(entry.pk)


def _take_out(connection: Connection, name: bytes) -> tuple[str, bytes, int]:
    """Type, DUMP and TTL (ms) of a key in the moment in which it is deleted. Raises NotFound."""
    with connection.redis.pipeline(transaction=True) as pipe:
        for command in ("TYPE", "DUMP", "PTTL", "UNLINK"):
            pipe.execute_command(command, name)
        kind, payload, ttl, _ = pipe.execute()
    if payload is None:
        raise gone(name)
    return kind.decode(), payload, ttl
