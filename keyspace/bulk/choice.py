"""Which keys bulk work is about: a selection of names, or a pattern narrowed by type, TTL, idle time and memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from keyspace.access import ROLES, Permission
from keyspace.encoding import from_key_id, key_id, to_text
from keyspace.errors import BadInput, Conflict
from keyspace.keys import TTL_FILTERS, Filter, keep_matching, scan_arguments
from keyspace.servers import Connection
from keyspace.wire import Wire

SCAN_COUNT = 500
MOST_NAMES = 10_000


@dataclass(frozen=True)
class Choice:
    """`names`: exactly these; else what `filter` finds. `idle`: not touched for so many seconds; `memory`: more than so many bytes."""

    filter: Filter = field(default_factory=lambda: Filter(b""))
    names: tuple[bytes, ...] | None = None
    idle: int = 0
    memory: int = 0

    def check(self) -> None:
        """Raises BadInput. An empty pattern never means everything."""
        if self.names is not None:
            if not 1 <= len(self.names) <= MOST_NAMES:
                raise BadInput(f"Select from 1 to {MOST_NAMES} keys.", "Use a pattern for more.")
        elif not self.filter.match and self.filter.folder is None:
            raise BadInput("An empty pattern chooses nothing.", "Type a pattern; all keys are * typed out.")
        if self.idle < 0 or self.memory < 0:
            raise BadInput("Idle time and memory cannot be below zero.")
        self.filter.check()

    @property
    def everything(self) -> bool:
        """Nothing narrows it: all keys of the db."""
        plain = not (self.filter.type or self.filter.ttl or self.idle or self.memory)
        return (
            self.names is None and self.filter.folder is None and plain and not self.filter.match.strip(b"*")
        )

    @property
    def words(self) -> str:
        """For a title: `session:* · hash · no TTL`."""
        if self.names is not None:
            return (
                to_text(self.names[0])[:120] if len(self.names) == 1 else f"{len(self.names)} selected keys"
            )
        folder = self.filter.folder
        parts = [
            to_text(self.filter.match)[:120] if folder is None else f"directly in {to_text(folder)[:120]}"
        ]
        parts += [self.filter.type] if self.filter.type else []
        parts += [TTL_FILTERS[self.filter.ttl]] if self.filter.ttl else []
        parts += [f"idle over {self.idle} s"] if self.idle else []
        parts += [f"over {self.memory} bytes"] if self.memory else []
        return " · ".join(parts)

    def params(self) -> dict[str, Any]:
        """As a job keeps it."""
        filter = self.filter
        return {
            "match": key_id(filter.match), "type": filter.type, "ttl": filter.ttl, "idle": self.idle, "memory": self.memory,
            "folder": None if filter.folder is None else key_id(filter.folder), "separator": key_id(filter.separator),
            "names": None if self.names is None else [key_id(name) for name in self.names],
        }  # fmt: skip


def choice_of(params: dict[str, Any]) -> Choice:
    """The Choice that `params` came from."""
    names, folder = params.get("names"), params.get("folder")
    filter = Filter(
        from_key_id(params["match"]), params["type"], params["ttl"], None if folder is None else from_key_id(folder),
        from_key_id(params["separator"]),
    )  # fmt: skip
    chosen = None if names is None else tuple(from_key_id(name) for name in names)
    return Choice(filter, chosen, params["idle"], params["memory"])


@dataclass(frozen=True)
class Page:
    """Chosen keys; the scan goes on at `cursor` (0: this was the last page) and has looked at `looked` keys in this page.
    `foreign`: chosen keys that the person may see but not change."""

    names: list[bytes]
    cursor: int
    looked: int
    foreign: list[bytes]


def read_pages(
    connection: Connection, choice: Choice, wire: Wire, *, cursor: int = 0, count: int = SCAN_COUNT,
    permission: Permission = Permission.BULK, again: bool = False,
) -> Iterator[Page]:  # fmt: skip
    """The chosen keys in pages, from `cursor` on. Of a selection the cursor is the place in it. `foreign` goes by `permission`.

    `again`: work goes on after a break; then names of a selection that are gone are left out, as a scan leaves them out.
    """
    may = _covered(connection, permission)
    for names, at, looked in _raw_pages(connection, choice, wire, cursor, count):
        if again and choice.names is not None:
            names = still_there(wire, names)
        names = _narrow(choice, wire, list(dict.fromkeys(names)))
        foreign = [] if may is None else [name for name in names if not may(name)]
        if foreign:
            names = [name for name in names if may is None or may(name)]
        yield Page(names, at, looked, foreign)


def _raw_pages(
    connection: Connection, choice: Choice, wire: Wire, cursor: int, count: int
) -> Iterator[tuple[list[bytes], int, int]]:
    if choice.names is not None:
        for at in range(cursor, len(choice.names), count):
            part = list(choice.names[at : at + count])
            after = at + len(part)
            yield (
                keep_matching(connection, Filter(b"*"), wire, part),
                0 if after >= len(choice.names) else after,
                len(part),
            )
        return
    arguments = scan_arguments(connection, choice.filter, count)
    while True:
        reply = wire.call("SCAN", cursor, *arguments)
        cursor = int(reply[0])
        yield keep_matching(connection, choice.filter, wire, reply[1]), cursor, count
        if not cursor:
            return


def still_there(wire: Wire, names: list[bytes]) -> list[bytes]:
    """Those of the names that are keys."""
    replies = wire.call_many([("EXISTS", name) for name in names])
    return [name for name, reply in zip(names, replies, strict=True) if reply == 1]


def _covered(connection: Connection, permission: Permission) -> Any:
    """Asks for a name, or None where the role covers every key: most often, and a million calls are saved."""
    access = connection.access
    if any(not right.patterns and permission in ROLES[right.role] for right in access.rights):
        return None
    return lambda name: access.may(permission, name)


def _narrow(choice: Choice, wire: Wire, names: list[bytes]) -> list[bytes]:
    if choice.idle and names:
        replies = wire.call_many([("OBJECT", "IDLETIME", name) for name in names])
        names = [name for name, idle in zip(names, replies, strict=True) if _over(idle, choice.idle)]
    if choice.memory and names:
        replies = wire.call_many([("MEMORY", "USAGE", name) for name in names])
        names = [name for name, size in zip(names, replies, strict=True) if _over(size, choice.memory + 1)]
    return names


def _over(reply: Any, least: int) -> bool:
    if isinstance(reply, redis.ResponseError) and "LFU" in str(reply):
        raise Conflict(
            "The server evicts by frequency (LFU), so it keeps no idle times.", "Leave the idle filter empty."
        )
    if isinstance(reply, Exception):
        raise reply
    return reply is not None and reply >= least
