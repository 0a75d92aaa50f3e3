"""Finding keys among millions: SCAN in bounded steps, and what a row of the list says of each."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core import signing

from keyspace.access import Permission, performs
from keyspace.errors import BadInput, NotFound, Problem, explain
from keyspace.globs import escape_glob, is_glob
from keyspace.servers import Connection
from keyspace.types import TYPES, type_of
from keyspace.wire import Command, Wire, open_wire, read_many

SCAN_COUNT = 1000
PAGE = 200
BUDGET_MS = 150
MAX_PATTERN = 4096
HOUR, DAY = 3_600_000, 86_400_000
TTL_FILTERS = {
    "": "any TTL or none",
    "none": "no TTL",
    "any": "with a TTL",
    "hour": "under an hour",
    "day": "under a day",
}


@dataclass(frozen=True)
class Filter:
    """Which keys: a glob `match`, a `type` as TYPE answers it, a `ttl` of TTL_FILTERS; `folder`: only the keys that stand
    directly in this prefix of the tree (no further `separator` behind it)."""

    match: bytes = b"*"
    type: str = ""
    ttl: str = ""
    folder: bytes | None = None
    separator: bytes = b":"

    def check(self) -> None:
        """Raises BadInput for what cannot be looked for."""
        if len(self.match) > MAX_PATTERN:
            raise BadInput(f"The pattern is longer than {MAX_PATTERN} bytes.", "Shorten it.")
        if self.ttl not in TTL_FILTERS:
            raise BadInput("This TTL filter does not exist.", "Choose one from the list.")
        if len(self.type) > 64 or not self.type.replace("-", "").replace("_", "").isalnum() and self.type:
            raise BadInput("This is not the name of a type.", "Choose one from the list.")

    @property
    def everything(self) -> bool:
        return self.match in (b"", b"*") and not self.type and not self.ttl and self.folder is None


@dataclass(frozen=True)
class Step:
    """What one bounded step of a scan found: `cursor` continues it (None: it is complete); `looked` counts the keys looked at
    since the scan began, of `total` (None where the person may not know it)."""

    names: list[bytes]
    cursor: str | None
    looked: int
    total: int | None
    took_ms: float


@dataclass(frozen=True)
class Row:
    """One key of the list. `ttl` in ms, None without; `length` in the type's own noun; `memory` in bytes; None: not known."""

    name: bytes
    type: str
    ttl: int | None
    length: int | None
    memory: int | None


@performs(Permission.READ_KEYS)
def scan_keys(
    connection: Connection,
    *,
    filter: Filter,
    cursor: str | None = None,
    want: int = PAGE,
    budget_ms: int | None = None,
) -> Step:
    """Go on with a scan until `want` keys match or `budget_ms` (BUDGET_MS unless said) is over, whichever is first.

    A step may return somewhat more than `want`: whatever the last SCAN answered, so that nothing is lost between steps.
    Raises BadInput for a cursor that this scan did not give.
    """
    filter.check()
    began = time.perf_counter()
    budget_ms = BUDGET_MS if budget_ms is None else budget_ms
    at, looked = _open_cursor(connection, filter, cursor)
    found: dict[bytes, None] = {}
    count = min(want, SCAN_COUNT) if filter.everything and not connection.access.patterns else SCAN_COUNT
    with open_wire(connection.redis) as wire:
        total = wire.call("DBSIZE")
        arguments = scan_arguments(connection, filter, count)
        while True:
            reply = wire.call("SCAN", at, *arguments)
            at, looked = int(reply[0]), looked + count
            found.update(dict.fromkeys(keep_matching(connection, filter, wire, reply[1])))
            if not at or len(found) >= want or (time.perf_counter() - began) * 1000 >= budget_ms:
                break
    shown_total = None if connection.access.patterns else total
    looked = total if not at else min(looked, total)
    took = (time.perf_counter() - began) * 1000
    return Step(
        list(found), _close_cursor(connection, filter, at, looked) if at else None, looked, shown_total, took
    )


def scan_arguments(connection: Connection, filter: Filter, count: int) -> list[bytes | str | int]:
    """MATCH narrows at the server: the filter, else the folder, else the only pattern of the grants."""
    match = filter.match or b"*"
    if filter.folder:
        match = escape_glob(filter.folder) + b"*"
    if match == b"*" and len(connection.access.patterns) == 1:
        match = connection.access.patterns[0]
    arguments: list[bytes | str | int] = ["COUNT", count]
    if match != b"*":
        arguments += ["MATCH", match]
    if filter.type:
        arguments += ["TYPE", filter.type]
    return arguments


def keep_matching(connection: Connection, filter: Filter, wire: Wire, names: list[bytes]) -> list[bytes]:
    """What the server could not filter: the grants' patterns, the folder, the TTL."""
    if not names:
        return names
    if connection.access.patterns:
        names = [name for name in names if connection.access.sees(name)]
    if filter.folder is not None:
        skip = len(filter.folder)
        names = [
            name for name in names if name.find(filter.separator, skip) < 0 and name.startswith(filter.folder)
        ]
    if filter.ttl and names:
        ttls = wire.call_many([("PTTL", name) for name in names])
        names = [name for name, ttl in zip(names, ttls, strict=True) if _ttl_fits(filter.ttl, ttl)]
    return names


def _ttl_fits(wanted: str, ttl: int | Exception) -> bool:
    if isinstance(ttl, Exception):
        raise ttl
    bounds = {"none": (-1, -1), "any": (0, 1 << 62), "hour": (0, HOUR), "day": (0, DAY)}
    low, high = bounds[wanted]
    return low <= ttl <= high


def _scan_digest(connection: Connection, filter: Filter) -> str:
    person = getattr(connection.actor.user, "pk", None)
    parts = repr((connection.server.name, connection.db, filter, person, connection.access.patterns))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _close_cursor(connection: Connection, filter: Filter, at: int, looked: int) -> str:
    return signing.dumps([str(at), looked, _scan_digest(connection, filter)], salt="scan")


def _open_cursor(connection: Connection, filter: Filter, cursor: str | None) -> tuple[int, int]:
    """(the server's cursor, keys looked at so far) from a token that only this console can have made for this scan."""
    if not cursor:
        return 0, 0
    try:
        at, looked, digest = signing.loads(cursor, salt="scan")
    except signing.BadSignature:
        digest = None
    if digest != _scan_digest(connection, filter):
        raise BadInput("This cursor does not belong to this search.", "Start the search again.")
    return int(at), int(looked)


@performs(Permission.READ_KEYS)
def describe_keys(connection: Connection, *, names: Sequence[bytes]) -> tuple[list[Row], list[Problem]]:
    """The rows of these keys in two round trips (type and TTL; then length and memory), and what the server refused to tell, once each.

    Keys that went away meanwhile are left out. The memory of module types is not asked: the server walks through all of the value.
    """
    first: list[Command] = []
    for name in names:
        first += [("TYPE", name), ("PTTL", name)]
    replies = read_many(connection.redis, first)
    facts = [fact for fact in zip(names, replies[::2], replies[1::2], strict=True) if fact[1] != b"none"]
    sizes = _read_sizes(connection, facts)
    rows = [_row(fact, *size) for fact, size in zip(facts, sizes, strict=True)]
    return rows, list((_problems(replies) | _problems([part for size in sizes for part in size])).values())


def _read_sizes(connection: Connection, facts: list[tuple[bytes, Any, Any]]) -> list[tuple[Any, Any]]:
    """(length, memory) of each key; None where it is not asked."""
    commands: list[Command] = []
    places: list[tuple[int, int]] = []
    for at, (name, kind, _) in enumerate(facts):
        if not isinstance(kind, bytes):
            continue
        key_type = type_of(kind.decode(errors="replace"))
        if command := key_type.length_command(name):
            places.append((at, 0))
            commands.append(command)
        if not key_type.memory_walks:
            places.append((at, 1))
            commands.append(("MEMORY", "USAGE", name))
    sizes: list[list[Any]] = [[None, None] for _ in facts]
    for (at, part), reply in zip(places, read_many(connection.redis, commands), strict=True):
        sizes[at][part] = reply
    return [(length, memory) for length, memory in sizes]


def _problems(replies: list[Any]) -> dict[str, Problem]:
    refused = [
        explain(reply) for reply in replies if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply)
    ]
    return {problem.sentence: problem for problem in refused}


def _row(fact: tuple[bytes, Any, Any], length: Any, memory: Any) -> Row:
    name, kind, ttl = fact
    return Row(
        name,
        _type_name(kind),
        ttl if isinstance(ttl, int) and ttl >= 0 else None,
        None
        if isinstance(length, Exception) or length is None
        else type_of(_type_name(kind)).length_of(length),
        memory if isinstance(memory, int) else None,
    )


def _type_name(kind: Any) -> str:
    return kind.decode(errors="replace") if isinstance(kind, bytes) else "?"


@performs(Permission.READ_KEYS)
def find_key(connection: Connection, name: bytes) -> Row:
    """The row of one key by its exact name, O(1). Raises NotFound."""
    rows, problems = describe_keys(connection, names=[name])
    if not rows:
        raise NotFound("There is no key with exactly this name.", "It may have expired or been deleted.")
    if rows[0].type == "?":
        raise problems[0]
    return rows[0]


@performs(Permission.READ_KEYS)
def count_keys(connection: Connection) -> int | None:
    """DBSIZE; None for a person whose grants have patterns."""
    return None if connection.access.patterns else int(connection.redis.dbsize())


def exact_name(match: bytes) -> bytes | None:
    """The name that a search text stands for when it holds no glob."""
    return match if match and not is_glob(match) else None


TYPE_NAMES = tuple(TYPES)
