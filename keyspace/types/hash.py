"""Hashes: HSCAN with MATCH (`find`), or one field looked up; with the TTLs of fields where the server has them.

Names come first, then the lengths of their values (HSTRLEN), then only the values that fit the page: two hundred fields of
10 MB each cost two hundred numbers. A server without HSCAN's NOVALUES (before Redis 7.4 and Valkey 8) sends values along, in
steps that shrink when they are large.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from redis import ConnectionPool

from keyspace.encoding import from_key_id, key_id
from keyspace.errors import NotFound, TooLarge
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bounds import LOADED, PAGE_BYTES, SHOWN, WHOLE, Budget
from keyspace.types.elements import Element, element, figures, label
from keyspace.types.hash_edits import HASH_EDITS
from keyspace.types.reading import Reading, is_refused, pairs
from keyspace.types.scanning import Scan, ScanForm, exact, onward, scan
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection


@dataclass(frozen=True)
class HashRow:
    """`ttl` is the field's own, in ms, None without one. A large `value` stays on the server: no data, only its length."""

    field: Element
    value: Element
    ttl: int | None = None


@dataclass(frozen=True, kw_only=True)
class HashPage(Page):
    """`rows` are HashRows."""

    @cached_property
    def has_ttls(self) -> bool:
        """Whether any of these fields ends before its hash."""
        return any(row.ttl is not None for row in self.rows)


_without_novalues: "WeakKeyDictionary[ConnectionPool, bool]" = WeakKeyDictionary()
"""Pools of servers that refused NOVALUES: each is asked once."""


def read_fields(reading: Reading) -> HashPage:
    name = exact(reading)
    if name is not None:
        total, _, (there,) = reading.size(("HLEN", reading.name), ("HEXISTS", reading.name, name))
        return HashPage(rows=_rows(reading, [name]) if there else (), total=total, looked_at=total)
    total, budget, _ = reading.size(("HLEN", reading.name))
    rows, state = _scan(reading, budget)
    return HashPage(
        rows=rows,
        total=total,
        next=onward(reading, state),
        looked_at=state.of(total),
    )


def _scan(reading: Reading, budget: Budget) -> tuple[tuple[HashRow, ...], Scan]:
    pool = reading.redis.connection_pool
    if pool not in _without_novalues:
        try:
            names, state = scan(reading, "HSCAN", budget, parse=list, size=len, options=("NOVALUES",))
            return _rows(reading, list(names)), state
        except Exception as error:
            if not is_refused(error, "syntax error"):
                raise
            _without_novalues[pool] = True
    found, state = scan(reading, "HSCAN", budget, parse=pairs, size=lambda pair: len(pair[0]) + len(pair[1]))
    held = dict(found.keys())
    ttls = _ttls(reading, list(held))
    rows = (
        HashRow(label(name), element(value, address=key_id(name)), ttls[name]) for name, value in held.items()
    )
    return tuple(rows), state


def _rows(reading: Reading, names: list[bytes]) -> tuple[HashRow, ...]:
    """Rows for fields known by name. A field that vanished meanwhile is left out."""
    if not names:
        return ()
    lengths = reading.ask(*(("HSTRLEN", reading.name, name) for name in names))
    fetched = _fetch(reading, dict(zip(names, lengths, strict=True)))
    ttls = _ttls(reading, names)
    rows = []
    for name, length in zip(names, lengths, strict=True):
        data = fetched.get(name, b"")
        if data is not None:
            value = Element(data[:SHOWN], len(data) if name in fetched else length, key_id(name))
            rows.append(HashRow(label(name), value, ttls[name]))
    return tuple(rows)


def _fetch(reading: Reading, lengths: dict[bytes, int]) -> dict[bytes, bytes | None]:
    """The values that fit a page: each up to LOADED bytes, PAGE_BYTES in all."""
    chosen, room = [], PAGE_BYTES
    for name, length in lengths.items():
        if length <= min(LOADED, room):
            chosen.append(name)
            room -= length
    values = reading.ask(("HMGET", reading.name, *chosen))[0] if chosen else []
    return dict(zip(chosen, values, strict=True))


def _ttls(reading: Reading, names: list[bytes]) -> dict[bytes, int | None]:
    """Milliseconds that fields have to live; None where there is no end, or the server has no such thing or does not tell."""
    if not names or not reading.connection.supports("HPTTL"):
        return dict.fromkeys(names)
    answer: Any = reading.try_asking(("HPTTL", reading.name, "FIELDS", len(names), *names))[0]
    if not isinstance(answer, list):
        return dict.fromkeys(names)
    return {name: ttl if ttl >= 0 else None for name, ttl in zip(names, answer, strict=True)}


class HashType(KeyType):
    name, slug, label, noun = "hash", "hash", "hash", "fields"
    faces = (Face("fields", "Fields", ScanForm, read_fields),)
    edits = HASH_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("HLEN", name)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        reading, field = Reading(connection, name, {}), from_key_id(address)
        length = reading.ask(("HSTRLEN", name, field))[0]
        if length > WHOLE:
            raise TooLarge(
                f"The value of this field has {figures(length)} bytes, more than the console reads at once."
            )
        value = reading.ask(("HGET", name, field))[0]
        if value is None:
            raise NotFound("There is no such field any more.", "Reload the hash.")
        return Element(value[:WHOLE], len(value), address)
