"""The trash: what keys held before they were deleted or changed, kept for some days and up to a size."""

import time
import uuid
from dataclasses import dataclass

import redis
import zstandard
from django.conf import settings
from django.db.models import QuerySet, Sum
from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.encoding import to_text
from keyspace.errors import Conflict, NotFound, Problem
from keyspace.images import Image, digest_of, preview_key, read_kind, take_image, weigh
from keyspace.models import TrashEntry
from keyspace.parts import PartChanged, put_back
from keyspace.servers import Connection
from keyspace.transactions import commit
from keyspace.trash_limits import prune

MOST = 500
"""Entries that one look at the trash lists."""


class KeyExists(Conflict):
    """There is a newer key of this name; ask before it is overwritten."""


class TimePassed(Problem):
    """The key would have expired by now; ask whether to restore it without a TTL."""

    status = 422


@dataclass(frozen=True)
class Kept:
    """An entry as a person may see it: `preview` without what masks hide from them, `may_restore` by their role for this key."""

    entry: TrashEntry
    preview: tuple[str, ...]
    masked: bool
    may_restore: bool

    @property
    def name(self) -> bytes:
        return bytes(self.entry.name)

    @property
    def expired(self) -> bool:
        return self.entry.expires_at is not None and self.entry.expires_at <= time.time() * 1000


@dataclass(frozen=True)
class TrashList:
    """The newest entries that fit (`more`: there are further ones), and what the trash of all servers takes."""

    kept: tuple[Kept, ...]
    more: bool
    stored: int
    most: int
    days: int


@dataclass(frozen=True)
class Restored:
    """`overwrote` is the entry in which the newer key went into the trash, if there was one."""

    name: bytes
    overwrote: str | None = None


def keep(
    connection: Connection, name: bytes, image: Image, *, why: str, operation: str, left: str = "", in_doubt: bool | None = None
) -> TrashEntry:  # fmt: skip
    """Store an image for the act it goes with, and let the oldest entries go where there is no room."""
    payload = zstandard.compress(image.payload, 3)
    user = connection.actor.user
    entry = TrashEntry.objects.create(
        server=connection.server.name, db=connection.db, name=name, type=image.type, length=image.length, why=why,
        operation=operation, person=connection.actor.name, user=user if getattr(user, "pk", None) else None,
        expires_at=image.expires_at, payload=payload, dump_size=len(image.payload), stored_size=len(payload),
        preview=image.preview, left=left, part=image.ask is not None, in_doubt=in_doubt,
    )  # fmt: skip
    prune(keeping=entry.id)
    return entry


@performs(Permission.READ_KEYS)
def list_trash(connection: Connection, *, why: str = "", name_has: bytes = b"") -> TrashList:
    """The newest entries of this db whose keys the person may see, narrowed to a reason and to names that contain something."""
    rows = _entries(connection).defer("payload")
    if why:
        rows = rows.filter(why=why)
    seen = [
        _as_seen(connection, row)
        for row in rows[: MOST * 4]
        if connection.access.sees(bytes(row.name)) and name_has in bytes(row.name)
    ]
    stored = TrashEntry.objects.aggregate(all=Sum("stored_size"))["all"] or 0
    return TrashList(tuple(seen[:MOST]), len(seen) > MOST, stored, settings.TRASH_BYTES, settings.TRASH_DAYS)


def _entries(connection: Connection) -> QuerySet[TrashEntry]:
    return TrashEntry.objects.filter(server=connection.server.name, db=connection.db)


def _as_seen(connection: Connection, entry: TrashEntry) -> Kept:
    name = bytes(entry.name)
    masked = connection.access.masked(name)
    shown = tuple(text for text, secret in entry.preview if not (masked and secret))
    may = connection.access.may(Permission.EDIT_VALUES, name) and not connection.server.read_only
    return Kept(entry, shown, masked, may)


@performs(Permission.READ_KEYS)
def read_entry(connection: Connection, *, entry_id: uuid.UUID) -> Kept:
    """An entry of this db whose key the person may see. Raises NotFound."""
    entry = _entries(connection).filter(pk=entry_id).first()
    if entry is None or not connection.access.sees(bytes(entry.name)):
        raise NotFound(
            "This is not in the trash any more.", "It was purged, or was older than the trash keeps."
        )
    return _as_seen(connection, entry)


@performs(Permission.EDIT_VALUES)
def undo_change(connection: Connection, name: bytes, *, entry_id: uuid.UUID) -> Restored:
    """Put the key back as it was before the act, if it is still as the act left it. Its TTL stays as it is now.

    Raises NotFound, Conflict when it changed since, TimePassed.
    """
    entry = _entry_of(connection, name, entry_id)
    if entry.part:
        return _put_part(connection, name, entry, left=_left_by(entry))
    if not _left_by(entry):
        return _put(connection, name, entry, replace=False, persist=False)
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        weight = weigh(connection, pipe, name, read_kind(pipe, name))
        undone = take_image(connection, pipe, name, weight, preview_key(connection, name, weight))
        if undone is None or digest_of(undone.payload) != entry.left:
            raise Conflict("The key changed again since; nothing was undone.",
                           "The Trash page can put the earlier value back over it.")  # fmt: skip
        kept = keep(connection, name, undone, why=TrashEntry.Why.OVERWRITTEN, operation="undo_change")
        pipe.multi()
        pipe.execute_command("RESTORE", name, undone.expires_at or 0, _payload(entry), "REPLACE", "ABSTTL")
        _execute(pipe, kept)
    audit.tell(newer_in_trash=str(kept.pk))
    return _restored(entry, name)


@performs(Permission.EDIT_VALUES)
def restore_key(
    connection: Connection, name: bytes, *, entry_id: uuid.UUID, replace: bool = False, persist: bool = False
) -> Restored:
    """Put an entry back with its original point of expiry (`persist`: without one).

    Raises NotFound, KeyExists unless `replace` (the newer key then goes into the trash), TimePassed.
    """
    entry = _entry_of(connection, name, entry_id)
    if entry.part:
        try:
            return _put_part(connection, name, entry, left=None if replace else _left_by(entry))
        except PartChanged as changed:
            raise KeyExists(changed.sentence, "Restore it over what it is now, or leave it.") from None
    return _put(connection, name, entry, replace=replace, persist=persist)


def _left_by(entry: TrashEntry) -> str:
    """The digest of what the operation left behind; "" where nobody knows."""
    return "" if entry.in_doubt else entry.left


def _put_part(connection: Connection, name: bytes, entry: TrashEntry, *, left: str | None) -> Restored:
    """One part of a key as it was; the rest of it, and its TTL, stay as they are now."""
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        put_back(pipe, name, kind=entry.type, payload=_payload(entry), left=left)
        _execute(pipe)
    return _restored(entry, name)


def _entry_of(connection: Connection, name: bytes, entry_id: uuid.UUID) -> TrashEntry:
    kept = read_entry(connection, entry_id=entry_id)
    if kept.name != name:
        raise NotFound("This entry of the trash is of another key.", "Open the Trash page.")
    audit.tell(trash=str(entry_id))
    return kept.entry


def _payload(entry: TrashEntry) -> bytes:
    return zstandard.decompress(bytes(entry.payload), max_output_size=entry.dump_size)


def _put(connection: Connection, name: bytes, entry: TrashEntry, *, replace: bool, persist: bool) -> Restored:
    expires_at = 0 if persist else entry.expires_at or 0
    if expires_at and expires_at <= time.time() * 1000:
        raise TimePassed("The key would have expired by now.", "The Trash page can restore it without a TTL.")
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        there = bool(pipe.execute_command("EXISTS", name))
        if there and not replace:
            raise KeyExists(f"There is a newer key {to_text(name)[:200]}; nothing was written.",
                            "The Trash page can put the earlier one back over it.")  # fmt: skip
        newer = _set_aside(connection, pipe, name) if there else None
        pipe.multi()
        pipe.execute_command(
            "RESTORE", name, expires_at, _payload(entry), *(["REPLACE"] if there else []), "ABSTTL"
        )
        _execute(pipe, newer)
    restored = _restored(entry, name)
    if newer:
        audit.tell(newer_in_trash=str(newer.pk))
    return Restored(restored.name, str(newer.pk) if newer else None)


def _set_aside(connection: Connection, pipe: redis.client.Pipeline, name: bytes) -> TrashEntry:
    """The newer key goes into the trash. Raises Conflict where it does not fit, or the server does not dump it."""
    weight = weigh(connection, pipe, name, read_kind(pipe, name))
    preview = preview_key(connection, name, weight)
    image = take_image(connection, pipe, name, weight, preview) if weight.fits_trash else None
    if image is None:
        raise Conflict("The newer key cannot go into the trash, so it was not written over.",
                       "Rename or delete it first, then restore.")  # fmt: skip
    return keep(connection, name, image, why=TrashEntry.Why.OVERWRITTEN, operation="restore_key")


def _execute(pipe: redis.client.Pipeline, kept: TrashEntry | None = None) -> None:
    try:
        done = commit(pipe) is not None
    except redis.ResponseError as error:
        if kept:
            kept.delete()
        if "DUMP payload version" in str(error):
            raise Conflict("The server does not take this value: its version has changed since.",
                           "Nothing was written.") from error  # fmt: skip
        raise
    if not done:
        if kept:
            kept.delete()
        raise Conflict("The key changed in this very moment; nothing was written.", "Try again.")


def _restored(entry: TrashEntry, name: bytes) -> Restored:
    TrashEntry.objects.filter(pk=entry.pk).update(restored_at=timezone.now())
    audit.tell(type=entry.type, length=entry.length, expires_at=entry.expires_at)
    return Restored(name)


@performs(Permission.DELETE_KEYS)
def purge_entry(connection: Connection, name: bytes, *, entry_id: uuid.UUID) -> None:
    """Let one entry go for good. Raises NotFound."""
    _entry_of(connection, name, entry_id).delete()


@performs(Permission.DELETE_KEYS)
def purge_trash(connection: Connection) -> int:
    """Let every entry of this db go whose key the person may delete. How many went."""
    leaving = [
        row.pk for row in _entries(connection).only("pk", "name")
        if connection.access.may(Permission.DELETE_KEYS, bytes(row.name))
    ]  # fmt: skip
    for at in range(0, len(leaving), 500):
        TrashEntry.objects.filter(pk__in=leaving[at : at + 500]).delete()
    audit.tell(entries=len(leaving))
    return len(leaving)
