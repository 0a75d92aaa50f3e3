"""How long a key, or a field of a hash, lives: reading it, and changing it without overwriting what an application did meanwhile.

`field` names a field where the server has TTLs for them (HPEXPIRE: Redis 7.4, Valkey 9); everything else holds for both alike.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from redis.client import Pipeline

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.encoding import to_text
from keyspace.endings import Ending, fits, keep_ending
from keyspace.errors import BadInput, Conflict, NotFound, Problem
from keyspace.servers import Connection
from keyspace.transactions import commit
from keyspace.wire import Command

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
MAX_MS = 100 * 366 * 86_400_000
CONDITIONS = {"": "always", "NX": "only if it has no TTL", "XX": "only if it has a TTL",
              "GT": "only if that is later", "LT": "only if that is earlier"}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", re.IGNORECASE)


@dataclass(frozen=True)
class Expiry:
    """`expires_at` in ms of Unix time, None when the key does not expire; `ttl` the ms left as of the reading; `type` as TYPE answers."""

    type: str
    expires_at: int | None
    ttl: int | None


@dataclass(frozen=True)
class Change:
    """What became of it: the key is `gone` when the new time had passed, and `entry` of the trash has it; `kept` when the condition did
    not hold."""

    before: Expiry
    after: Expiry | None
    gone: bool = False
    kept: bool = False
    entry: str | None = None


@dataclass(frozen=True)
class _Step:
    """The one command, and whether it `ends` what it is about."""

    command: Command
    ends: bool = False


class WouldDelete(Problem):
    """The new time has passed already: the key would be gone; ask first."""

    status = 422


def parse_duration(text: str) -> int:
    """`90s`, `2h30m`, `1.5h`, `250ms`, plain seconds: milliseconds. Raises BadInput."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    parts = list(_PART.finditer(text))
    if (
        not parts
        or "".join(part.group(0) for part in parts).replace(" ", "") != text.replace(" ", "")
        or len(text) > 64
    ):
        raise BadInput("This is not a duration.", "Write it like 90s, 15m, 2h30m, 7d or 250ms.")
    total = round(sum(float(part.group(1)) * UNITS[part.group(2).lower()] for part in parts))
    if total > MAX_MS:
        raise BadInput("This is more than a hundred years.", "Make the key persistent instead.")
    return total


@performs(Permission.READ_KEYS)
def get_ttl(connection: Connection, name: bytes, *, field: bytes | None = None) -> Expiry:
    """The expiry of the key, or of a field. Raises NotFound."""
    return _read(connection.redis, name, field)


def _read(client: redis.Redis, name: bytes, field: bytes | None) -> Expiry:
    if field is not None:
        return _read_field(client, name, field)
    kind, ttl = client.execute_command("TYPE", name), client.execute_command("PTTL", name)
    if kind == b"none" or ttl == -2:
        raise NotFound(
            f"The key {to_text(name)[:200]} is gone: it expired or was deleted.", "Nothing was written."
        )
    expires_at = None if ttl == -1 else _expires_at(client, name, ttl)
    return Expiry(kind.decode(), expires_at, None if ttl == -1 else ttl)


def _read_field(client: redis.Redis, name: bytes, field: bytes) -> Expiry:
    """HPTTL and HPEXPIRETIME answer -2 for a field that is not there, -1 for one that stays."""
    ttl = client.execute_command("HPTTL", name, "FIELDS", 1, field)
    at = client.execute_command("HPEXPIRETIME", name, "FIELDS", 1, field)
    if not ttl or ttl[0] == -2:
        raise NotFound(
            f"The field {to_text(field)[:200]} is gone: it expired or was deleted.", "Nothing was written."
        )
    return Expiry("field", None, None) if ttl[0] < 0 else Expiry("field", at[0], ttl[0])


def _expires_at(client: redis.Redis, name: bytes, ttl: int) -> int:
    """PEXPIRETIME; before Redis 7, and for a user who may not ask it, the clock of the console plus the TTL, to half a second."""
    try:
        at = int(client.execute_command("PEXPIRETIME", name))
    except redis.ResponseError:
        at = -1
    return at if at > 0 else (int(time.time() * 1000) + ttl) // 500 * 500


@performs(Permission.EDIT_TTLS)
def set_ttl(
    connection: Connection,
    name: bytes,
    *,
    seen: Expiry | None,
    expires_at: int | None = None,
    ttl: int | None = None,
    extend: int | None = None,
    condition: str = "",
    may_delete: bool = False,
    field: bytes | None = None,
) -> Change:
    """Let the key (or one field of it) expire at `expires_at` (Unix ms), in `ttl` ms, or `extend` ms later than it would.

    A negative `extend` shortens its life. `seen` is what the person looked at; when type or expiry differ by now, Conflict is
    raised and nothing is written (None: whatever it is, overwrite it). A time that has passed raises WouldDelete unless `may_delete`;
    then what is deleted goes into the trash, where it fits. NX XX GT LT need Redis 7.
    """
    if condition not in CONDITIONS:
        raise BadInput("This condition does not exist.", "Choose one from the list.")

    def change(now: Expiry) -> _Step:
        target = _target(now, expires_at, ttl, extend)
        ends = target <= time.time() * 1000
        if ends and not may_delete:
            raise _would_delete(connection, name, field)
        only = (condition,) if condition else ()
        if field is not None:
            return _Step(("HPEXPIREAT", name, target, *only, "FIELDS", 1, field), ends)
        return _Step(("PEXPIREAT", name, target, *only), ends)

    return _change(connection, name, seen, change, field)


def _would_delete(connection: Connection, name: bytes, field: bytes | None) -> WouldDelete:
    kept = "It would go into the trash."
    if not fits(connection, name, field):
        kept = "It cannot go into the trash, so there would be no way back."
    return WouldDelete(
        f"This time has passed: the {'key' if field is None else 'field'} would be deleted at once.",
        f"{kept} Confirm it, or choose a later time.",
    )


def _target(now: Expiry, expires_at: int | None, ttl: int | None, extend: int | None) -> int:
    if expires_at is not None:
        target = expires_at
    elif ttl is not None:
        target = int(time.time() * 1000) + ttl
    elif extend is not None and now.expires_at is not None:
        target = now.expires_at + extend
    else:
        raise BadInput(
            "The key does not expire, so there is nothing to extend.", "Set a TTL from now instead."
        )
    if target > time.time() * 1000 + MAX_MS:
        raise BadInput("This is more than a hundred years away.", "Make the key persistent instead.")
    return max(1, target)


@performs(Permission.EDIT_TTLS)
def persist(
    connection: Connection, name: bytes, *, seen: Expiry | None, field: bytes | None = None
) -> Change:
    """Take the TTL away. Raises Conflict as `set_ttl` does."""
    command: Command = ("PERSIST", name) if field is None else ("HPERSIST", name, "FIELDS", 1, field)
    return _change(connection, name, seen, lambda now: _Step(command), field)


def _change(
    connection: Connection,
    name: bytes,
    seen: Expiry | None,
    step_of: Callable[[Expiry], _Step],
    field: bytes | None,
) -> Change:
    """WATCH, compare with what was seen, MULTI: the one command is sent once, and only onto what the person looked at."""
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        before = _read(pipe, name, field)
        _compare(seen, before)
        step = step_of(before)
        ending = keep_ending(connection, pipe, name, field) if step.ends else None
        pipe.multi()
        pipe.execute_command(*step.command)
        pipe.execute_command(*(ending.question(name) if ending else ("EXISTS", name)))
        pipe.execute_command("EXISTS", name)
        done, left, there = _commit(pipe, ending)
    try:
        after = _read(connection.redis, name, field)
    except NotFound:
        after = None
    kept = done in (0, [0])
    if ending and kept:
        ending.entry.delete()
    entry = ending.settle(left, gone=not there) if ending and not kept else None
    told = {"field": to_text(field)[:200] if field is not None else None, "trash": entry}
    audit.tell(ttl_before=before.ttl, ttl_after=after.ttl if after else None, gone=after is None)
    audit.tell(**{fact: value for fact, value in told.items() if value is not None})
    return Change(before, after, gone=after is None, kept=kept, entry=entry)


def _commit(pipe: Pipeline, ending: Ending | None) -> list[Any]:
    """The answers. What was not deleted is not in the trash; where nobody knows, it is. Raises Conflict when the key changed."""
    try:
        answers = commit(pipe)
    except redis.ResponseError:
        if ending:
            ending.entry.delete()
        raise
    if answers is None:
        if ending:
            ending.entry.delete()
        raise Conflict(
            "The key changed in this very moment; nothing was written.", "Look at it again and repeat."
        )
    return answers


def _compare(seen: Expiry | None, now: Expiry) -> None:
    if seen is None:
        return
    if seen.type != now.type:
        raise Conflict(
            f"The key is a {now.type} now, it was a {seen.type}; nothing was written.", "Reload the key."
        )
    if seen.expires_at != now.expires_at:
        told = "it does not expire any more" if now.ttl is None else f"it now has {format_ms(now.ttl)} left"
        raise Conflict(
            f"The TTL changed since you looked: {told}. Nothing was written.",
            "Reload the key, or set it anyway.",
        )


def format_ms(ms: int) -> str:
    """`59 m 12 s`: the two largest units."""
    parts: list[str] = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms >= size or (unit == "s" and not parts):
            parts.append(f"{ms // size} {unit}")
            ms %= size
    return " ".join(parts[:2])
