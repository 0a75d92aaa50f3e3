"""Keys as a whole: create, rename and copy them without overwriting any."""

import contextlib
import time
from dataclasses import dataclass

import redis
from redis.exceptions import NoPermissionError

from keyspace import audit, trash
from keyspace.access import Permission, check_permission, performs
from keyspace.edits import EDITS, execute
from keyspace.encoding import to_text
from keyspace.errors import BadInput, Conflict, Denied
from keyspace.images import is_dumped, left_by, read_kind
from keyspace.servers import Connection
from keyspace.transactions import commit
from keyspace.types.base import Edit
from keyspace.types.facts import key_slot


@dataclass(frozen=True)
class Renamed:
    name: bytes
    to: bytes


@dataclass(frozen=True)
class Created:
    """`left` is the digest of what was made, for its undo; "" where the server does not tell, or it is too large for the trash."""

    name: bytes
    left: str


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
    except NoPermissionError:
        with contextlib.suppress(redis.ResponseError):  # it has none, or this is refused as well
            return connection.redis.execute_command("CLUSTER INFO") is not None
        return False
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
def create_key(connection: Connection, name: bytes, *, edit: Edit, expires_at: int | None = None) -> Created:
    """Make a key with its first content, if there is none of this name; it ends at `expires_at` (Unix ms), or stays.

    Raises KeyExists, BadInput for content that cannot be written.
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
        dumped = is_dumped(pipe, name)
        pipe.multi()
        edit.apply(pipe, name)
        own = len(pipe.command_stack)
        if expires_at is not None:
            pipe.execute_command("PEXPIREAT", name, expires_at)
        if dumped:
            pipe.execute_command("DUMP", name)
        answers = execute(pipe)
    if answers is None:
        raise key_exists(name)
    audit.tell(change=edit.slug, expires_at=expires_at, **edit.facts(answers[:own]))
    return Created(name, left_by(answers[-1]) if dumped else "")
