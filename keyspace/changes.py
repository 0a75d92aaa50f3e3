"""Keys as a whole: delete them with a way back, create, rename and copy them without overwriting any."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import redis
from redis.client import Pipeline

from keyspace import audit, trash
from keyspace.access import Permission, check_permission, performs
from keyspace.edits import EDITS, execute
from keyspace.encoding import to_text
from keyspace.errors import BadInput, Conflict, Denied, NotFound, Problem
from keyspace.images import Image, Weight, preview_key, read_kind, take_image, weigh
from keyspace.models import TrashEntry
from keyspace.servers import Connection
from keyspace.transactions import commit
from keyspace.types.base import Edit, gone
from keyspace.types.facts import key_slot

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


@dataclass(frozen=True)
class Renamed:
    name: bytes
    to: bytes


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
    audit.tell(deleted=len(entries) + len(for_good), without_trash=len(for_good), gone=len(missing))
    if len(names) > 1:
        audit.tell(names=[to_text(name)[:200] for name in names[:_NAMES_TOLD]])
    elif entries:
        audit.tell(trash=next(iter(entries.values())))
    return Deleted(entries, tuple(for_good), tuple(missing))


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


@dataclass(frozen=True)
class Renaming:
    """What a rename begins with: the `kind` of key as it is now, and on a cluster the `slot` in which its new name has to be."""

    kind: str
    slot: int | None


@performs(Permission.CREATE_KEYS, audited=False)
def open_rename(connection: Connection, name: bytes) -> Renaming:
    """Raises NotFound."""
    kind = read_kind(connection.redis, name)
    return Renaming(kind, key_slot(name) if is_cluster(connection) else None)


@performs(Permission.CREATE_KEYS)
def rename_key(connection: Connection, name: bytes, *, to: bytes, kind: str = "") -> Renamed:
    """Give the key another name, if no key has it (RENAMENX); its TTL goes along.

    Raises NotFound, KeyExists, BadInput for names in different slots of a cluster.
    """
    _check_new_name(connection, name, to)
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name, to)
        now = read_kind(pipe, name)
        if kind and now != kind:
            raise Conflict(
                f"The key is a {now} now, it was a {kind}; nothing was renamed.", "Reload the key."
            )
        pipe.multi()
        pipe.execute_command("RENAMENX", name, to)
        answers = commit(pipe)
    if answers is None:
        raise Conflict("The key changed in this very moment; nothing was renamed.", "Try again.")
    if not answers[0]:
        raise key_exists(to)
    audit.tell(to=to_text(to)[:300], type=now)
    return Renamed(name, to)


def _check_new_name(connection: Connection, name: bytes, to: bytes) -> None:
    if name == to:
        raise BadInput("This is the name it has already.", "Type another one.")
    check_permission(connection, Permission.CREATE_KEYS, to)
    refuse_unmasking(connection, name, connection, to)
    if is_cluster(connection) and key_slot(name) != key_slot(to):
        raise BadInput(
            f"On this cluster the two names live in different slots ({key_slot(name)} and {key_slot(to)}).",
            "Keep the same {hash tag} in both names.",
        )


def is_cluster(connection: Connection) -> bool:
    """Whether the server is a node of a cluster; no where it does not tell."""
    try:
        return bool(connection.redis.info("cluster").get("cluster_enabled"))
    except redis.ResponseError:
        return False


def key_exists(name: bytes) -> trash.KeyExists:
    return trash.KeyExists(
        f"A key {to_text(name)[:200]} exists already; nothing was written.", "Choose another name."
    )


def refuse_unmasking(connection: Connection, name: bytes, target: Connection, to: bytes) -> None:
    """A name that shows what another hides would be a way around the masks. Raises Denied."""
    if connection.access.masked(name) and not target.access.masked(to):
        raise Denied("The values of this key are masked, and under that name they would not be.",
                     "Choose a name that is masked as well, or ask an admin.")  # fmt: skip


@performs(Permission.CREATE_KEYS, audited=False)
def list_beginnings(connection: Connection) -> list[tuple[str, str]]:
    """(slug of the edit, what it makes) of what a key can begin with on this server."""
    return [
        (slug, edit.made or slug.partition("-")[0])
        for slug, (_, edit) in EDITS.items()
        if edit.creates and all(connection.supports(command) for command in edit.needs)
    ]


@performs(Permission.CREATE_KEYS)
def create_key(connection: Connection, name: bytes, *, edit: Edit, expires_at: int | None = None) -> str:
    """Make a key with its first content, if there is none of this name; it ends at `expires_at` (Unix ms), or stays.

    Gives the sentence of what was done. Raises KeyExists, BadInput for content that cannot be written.
    """
    if not edit.creates:
        raise BadInput("A key cannot begin like this.", "Choose one of the types that are offered.")
    if expires_at is not None and expires_at <= time.time() * 1000:
        raise BadInput("This time has passed: the key would be gone at once.", "Choose a later one.")
    edit.creating, edit.supports = True, connection.supports
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        if pipe.execute_command("EXISTS", name):
            raise key_exists(name)
        pipe.multi()
        edit.apply(pipe, name)
        own = len(pipe.command_stack)
        if expires_at is not None:
            pipe.execute_command("PEXPIREAT", name, expires_at)
        answers = execute(pipe)
    if answers is None:
        raise key_exists(name)
    audit.tell(change=edit.slug, expires_at=expires_at, **edit.facts(answers[:own]))
    return "Created"
