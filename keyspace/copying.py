"""Copying a key: to another name, another db, or another server, with its point of expiry, and over no other key."""

from dataclasses import dataclass

import redis

from keyspace import audit
from keyspace.access import Permission, check_permission, performs
from keyspace.changes import key_exists, refuse_unmasking
from keyspace.deleting import NoWayBack
from keyspace.dump_formats import dump_format
from keyspace.encoding import to_text
from keyspace.errors import BadInput, Conflict, NotFound
from keyspace.images import Weight, is_dumped, left_by, read_expiry, read_kind, weigh
from keyspace.servers import Connection, list_connections
from keyspace.transactions import commit


@dataclass(frozen=True)
class Copied:
    """`way`: COPY within a server, RESTORE to another. `left` as of `changes.Created`."""

    name: bytes
    to: bytes
    way: str
    left: str


@performs(Permission.READ_KEYS)
def copy_targets(connection: Connection, name: bytes) -> list[str]:
    """The servers on which this person may create keys, this one first. Raises Denied where there is none."""
    found = [
        each.server.name
        for each in list_connections(connection.actor)
        if each.access.may(Permission.CREATE_KEYS)
    ]
    if not found:
        check_permission(connection, Permission.CREATE_KEYS, name)
    return sorted(found, key=lambda server: (server != connection.server.name, server))


@performs(Permission.READ_KEYS)
def copy_obstacles(connection: Connection, name: bytes, *, target: Connection) -> tuple[str, ...]:
    """What would keep this key from being copied to `target`, in words; nothing found: it should work."""
    told: list[str] = []
    weight = _weigh(connection, name)
    if target.server.read_only:
        told.append(f"{target.server.name} is marked read-only in this console.")
    if connection.server == target.server:
        return tuple(told)
    if not weight.fits_trash:
        told.append("It is too large to be carried in one piece to another server.")
    ours, theirs = dump_format(connection), dump_format(target)
    if ours and theirs and not theirs.reads(ours):
        older = ours.family == theirs.family or theirs.version < ours.version
        told.append(f"{target.server.name} is {'older' if older else 'of another family'} and does not read what this server dumps "
                    f"({ours.family}, RDB version {ours.version}; it is {theirs.family}, {theirs.version}).")  # fmt: skip
    return tuple(told)


def rdb_version(connection: Connection) -> int | None:
    """The version of the RDB format the server writes; None where it does not tell."""
    found = dump_format(connection)
    return found.version if found else None


@performs(Permission.READ_KEYS)
def copy_key(connection: Connection, name: bytes, *, to: bytes, target: Connection) -> Copied:
    """Copy the key, with its point of expiry, to a name that is free on `target`: the same server, another db, or another server.

    Raises NotFound, KeyExists, Denied for whom the target does not let create keys, BadInput for the same place.
    """
    same_server = connection.server == target.server
    if same_server and connection.db == target.db and name == to:
        raise BadInput("This is the key itself.", "Type another name, or choose another db or server.")
    refuse_unmasking(connection, name, target, to)
    return _write_copy(target, to, source=connection, of=name, same_server=same_server)


@performs(Permission.CREATE_KEYS, operation="copy_key")
def _write_copy(
    connection: Connection, name: bytes, *, source: Connection, of: bytes, same_server: bool
) -> Copied:
    audit.tell(copied_from=to_text(of)[:300], server=source.server.name, db=source.db)
    if same_server and source.supports("COPY"):
        return Copied(of, name, "COPY", _copy_within(source, of, connection.db, name))
    with source.redis.pipeline(transaction=True) as pipe:
        pipe.watch(of)
        weight = weigh(source, pipe, of, read_kind(pipe, of))
        if not weight.fits_trash:
            raise NoWayBack(
                "The key is too large to be carried in one piece to another server.", "Use a backup."
            )
        payload, expires_at = pipe.execute_command("DUMP", of), read_expiry(source, pipe, of)
    if payload is None:
        raise NotFound("The key is gone: it expired or was deleted.", "Nothing was written.")
    return Copied(of, name, "RESTORE", _restore(connection, name, payload, expires_at))


def _copy_within(source: Connection, of: bytes, db: int, name: bytes) -> str:
    """COPY to a db of the same server: the digest of what it made."""
    dumped = _weigh(source, of).fits_trash and is_dumped(source.redis, name)
    with source.redis.pipeline(transaction=True) as pipe:
        pipe.execute_command("COPY", of, name, "DB", db)
        own = [("DUMP", name)] if dumped else []
        there = [("SELECT", db), *own, ("SELECT", source.db)] if own and db != source.db else own
        for command in there:
            pipe.execute_command(*command)
        copied, *answers = pipe.execute()
    if not copied:
        read_kind(source.redis, of)
        raise key_exists(name)
    return left_by(answers[there.index(own[0])]) if own else ""


def _restore(target: Connection, name: bytes, payload: bytes, expires_at: int | None) -> str:
    """RESTORE where no key has the name: the digest of what it made."""
    with target.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        if pipe.execute_command("EXISTS", name):
            raise key_exists(name)
        dumped = is_dumped(pipe, name)
        pipe.multi()
        pipe.execute_command("RESTORE", name, expires_at or 0, payload, "ABSTTL")
        if dumped:
            pipe.execute_command("DUMP", name)
        try:
            answers = commit(pipe)
        except redis.ResponseError as error:
            raise _as_told(error) from error
    if answers is None:
        raise key_exists(name)
    return left_by(answers[-1]) if dumped else ""


def _weigh(connection: Connection, name: bytes) -> Weight:
    return weigh(connection, connection.redis, name, read_kind(connection.redis, name))


def _as_told(error: redis.ResponseError) -> Exception:
    if "DUMP payload version" in str(error) or "Bad data format" in str(error):
        return Conflict("The other server does not read this server's values: it is older, or of another family.",
                        "Nothing was written. Export the key in readable form and import it there.")  # fmt: skip
    return error
