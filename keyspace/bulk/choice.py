"""Which keys bulk work is about: a selection of names and folders, or a pattern narrowed by type, TTL, idle time and memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from keyspace.access import ROLES, Permission
from keyspace.encoding import from_key_id, key_id, to_text
from keyspace.errors import BadInput, Conflict
from keyspace.globs import escape_glob
from keyspace.keys import TTL_FILTERS, Filter, keep_matching, scan_arguments
from keyspace.servers import Connection
from keyspace.wire import Wire

SCAN_COUNT = 500
MOST_NAMES, MOST_FOLDERS = 10_000, 200


@dataclass(frozen=True)
class Choice:
    """`names` and everything in `folders` (what their names begin with), where there are any; else what `filter` finds.
    `idle`: not touched for so many seconds; `memory`: more than so many bytes."""

    filter: Filter = field(default_factory=lambda: Filter(b""))
    names: tuple[bytes, ...] | None = None
    idle: int = 0
    memory: int = 0
    folders: tuple[bytes, ...] = ()

    def check(self) -> None:
        """Raises BadInput. An empty pattern never means everything."""
        if self.selected:
            if not (self.names or self.folders) or len(self.names or ()) > MOST_NAMES:
                raise BadInput(f"Select from 1 to {MOST_NAMES} keys.", "Use a pattern for more.")
            if len(self.folders) > MOST_FOLDERS or not all(self.folders):
                raise BadInput(f"Select up to {MOST_FOLDERS} folders.", "Use a pattern for more.")
        elif not self.filter.match and self.filter.folder is None:
            raise BadInput("An empty pattern chooses nothing.", "Type a pattern; all keys are * typed out.")
        if self.idle < 0 or self.memory < 0:
            raise BadInput("Idle time and memory cannot be below zero.")
        self.filter.check()

    @property
    def selected(self) -> bool:
        """By name, not by a pattern."""
        return self.names is not None or bool(self.folders)

    @property
    def by_name(self) -> bool:
        """Only names: there is nothing to search for."""
        return self.names is not None and not self.folders

    def has(self, name: bytes) -> bool:
        """Whether a selection with folders has this key."""
        return name.startswith(self.folders) or name in self._names

    @cached_property
    def _names(self) -> frozenset[bytes]:
        return frozenset(self.names or ())

    @property
    def everything(self) -> bool:
        """Nothing narrows it: all keys of the db."""
        plain = not (self.filter.type or self.filter.ttl or self.idle or self.memory)
        return (
            not self.selected and self.filter.folder is None and plain and not self.filter.match.strip(b"*")
        )

    @property
    def words(self) -> str:
        """For a title: `session:* · hash · no TTL`."""
        if self.selected:
            return self._selection_words
        folder = self.filter.folder
        parts = [
            to_text(self.filter.match)[:120] if folder is None else f"directly in {to_text(folder)[:120]}"
        ]
        parts += [self.filter.type] if self.filter.type else []
        parts += [TTL_FILTERS[self.filter.ttl]] if self.filter.ttl else []
        parts += [f"idle over {self.idle} s"] if self.idle else []
        parts += [f"over {self.memory} bytes"] if self.memory else []
        return " · ".join(parts)

    @property
    def _selection_words(self) -> str:
        names, folders = self.names or (), self.folders
        if len(names) + len(folders) == 1:
            return to_text(names[0])[:120] if names else f"{to_text(folders[0])[:120]}*"
        parts = [f"{len(folders)} folder{'s' * (len(folders) > 1)}"] if folders else []
        parts += [f"{len(names)} key{'s' * (len(names) > 1)}"] if names else []
        return " and ".join(parts) if folders else f"{len(names)} selected keys"

    def params(self) -> dict[str, Any]:
        """As a job keeps it."""
        filter = self.filter
        return {
            "match": key_id(filter.match), "type": filter.type, "ttl": filter.ttl, "idle": self.idle, "memory": self.memory,
            "folder": None if filter.folder is None else key_id(filter.folder), "separator": key_id(filter.separator),
            "names": None if self.names is None else [key_id(name) for name in self.names],
            "folders": [key_id(folder) for folder in self.folders],
        }  # fmt: skip


def choice_of(params: dict[str, Any]) -> Choice:
    """The Choice that `params` came from."""
    names, folder = params.get("names"), params.get("folder")
    filter = Filter(
        from_key_id(params["match"]), params["type"], params["ttl"], None if folder is None else from_key_id(folder),
        from_key_id(params["separator"]),
    )  # fmt: skip
    chosen = None if names is None else tuple(from_key_id(name) for name in names)
    folders = tuple(from_key_id(each) for each in params.get("folders", ()))
    return Choice(filter, chosen, params["idle"], params["memory"], folders)


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
        if again and choice.by_name:
            names = still_there(wire, names)
        names = _narrow(choice, wire, list(dict.fromkeys(names)))
        foreign = [] if may is None else [name for name in names if not may(name)]
        if foreign:
            names = [name for name in names if may is None or may(name)]
        yield Page(names, at, looked, foreign)


def _raw_pages(
    connection: Connection, choice: Choice, wire: Wire, cursor: int, count: int
) -> Iterator[tuple[list[bytes], int, int]]:
    if choice.names is not None and choice.by_name:
        for at in range(cursor, len(choice.names), count):
            part = list(choice.names[at : at + count])
            after = at + len(part)
            yield (
                keep_matching(connection, Filter(b"*"), wire, part),
                0 if after >= len(choice.names) else after,
                len(part),
            )
        return
    filter = _filter_of(choice)
    arguments = scan_arguments(connection, filter, count)
    while True:
        reply = wire.call("SCAN", cursor, *arguments)
        cursor, names = int(reply[0]), reply[1]
        if choice.folders:
            names = [name for name in names if choice.has(name)]
        yield keep_matching(connection, filter, wire, names), cursor, count
        if not cursor:
            return


def _filter_of(choice: Choice) -> Filter:
    """What the server can narrow: one folder is a pattern, several take a look at all keys."""
    if not choice.folders:
        return choice.filter
    alone = len(choice.folders) == 1 and not choice.names
    return Filter(escape_glob(choice.folders[0]) + b"*" if alone else b"*")


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
