"""Streams: entries newest or oldest first, by range of ids; their groups, consumers and pending entries."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from keyspace.errors import BadInput, NotFound
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bounds import WHOLE, Budget
from keyspace.types.elements import Element, element, label
from keyspace.types.groups import ConsumersForm, PendingForm, read_consumers, read_groups, read_pending
from keyspace.types.reading import PageForm, Reading, gone, is_refused, mapping
from keyspace.types.stream_edits import STREAM_EDITS
from keyspace.types.stream_ids import IdField, id_time
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection

FIELDS = 64
"""Fields of an entry that a page shows."""


class EntriesForm(PageForm):
    """Entries with ids from `low` to `high`; `after` and `before` are ids shown already, in reading order, and left out."""

    order = forms.ChoiceField(
        choices=[("newest", "Newest first"), ("oldest", "Oldest first")], required=False
    )
    low = IdField()
    high = IdField()
    after = IdField()
    before = IdField()

    defaults: ClassVar[dict[str, Any]] = {"order": "newest", "low": "-", "high": "+"}


@dataclass(frozen=True)
class EntryField:
    field: Element
    value: Element


@dataclass(frozen=True)
class EntryRow:
    """`at` is the time in the id, milliseconds since 1970, where it is one. `more` fields are not shown."""

    id: str
    at: int | None
    fields: tuple[EntryField, ...]
    more: int = 0


@dataclass(frozen=True)
class StreamInfo:
    """What XINFO STREAM tells. Ids as text; None where the server is too old to tell."""

    groups: int
    last_id: str
    first_id: str | None
    newest_id: str | None
    entries_added: int | None
    max_deleted_id: str | None
    radix_keys: int
    radix_nodes: int


@dataclass(frozen=True, kw_only=True)
class StreamPage(Page):
    info: StreamInfo | None


def read_entries(reading: Reading) -> StreamPage:
    name, asked = reading.name, reading.asked
    info, memory = reading.try_asking(("XINFO", "STREAM", name), ("MEMORY", "USAGE", name))
    if is_refused(info, "no such key") or is_refused(info, "WRONGTYPE"):
        raise gone(name) if is_refused(info, "no such key") else info
    total = mapping(info)["length"] if not isinstance(info, Exception) else reading.ask(("XLEN", name))[0]
    average = memory / total if isinstance(memory, int) and total else None
    rows, more = _walk(reading, Budget(asked["count"] + 1, average=average))
    back = asked["before"] is not None
    return StreamPage(
        rows=tuple(rows),
        total=total,
        next=_beside(reading, rows, after=True) if rows and (back or more) else None,
        previous=_beside(reading, rows, after=False)
        if rows and (more if back else asked["after"] is not None)
        else None,
        info=None if isinstance(info, Exception) else _info(mapping(info)),
    )


def _beside(reading: Reading, rows: list[EntryRow], *, after: bool) -> dict[str, str]:
    if after:
        return reading.with_(after=rows[-1].id, before=None)
    return reading.with_(before=rows[0].id, after=None)


def _walk(reading: Reading, budget: Budget) -> tuple[list[EntryRow], bool]:
    """(a page of entries in reading order, whether there are more in the direction that was walked). The budget is one over."""
    back = reading.asked["before"] is not None
    newest_first = (reading.asked["order"] == "newest") != back
    last: str | None = reading.asked["before"] if back else reading.asked["after"]
    rows: list[EntryRow] = []
    exhausted = False
    while not exhausted and (wanted := budget.step()):
        brought = reading.ask(_range(reading, newest_first, last, wanted))[0]
        entries = [_row(*entry) for entry in brought if entry and entry[1] is not None]
        budget.took([sum(map(len, entry[1])) for entry in brought if entry and entry[1] is not None])
        rows += entries
        last = brought[-1][0].decode() if brought else last
        exhausted = len(brought) < wanted
    kept = rows[: reading.asked["count"]]
    return (kept[::-1] if back else kept), len(rows) > len(kept) or not exhausted


def _range(reading: Reading, newest_first: bool, last: str | None, count: int) -> Command:
    low, high = reading.asked["low"], reading.asked["high"]
    if newest_first:
        return ("XREVRANGE", reading.name, f"({last}" if last else high, low, "COUNT", count)
    return ("XRANGE", reading.name, f"({last}" if last else low, high, "COUNT", count)


def _row(entry_id: bytes, flat: list[bytes]) -> EntryRow:
    """An entry may repeat a field: pairs, never a dict."""
    shown = flat[: FIELDS * 2]
    pairs = zip(shown[::2], shown[1::2], strict=True)
    text = entry_id.decode()
    fields = (
        EntryField(label(field), element(value, address=f"{text}.{at}"))
        for at, (field, value) in enumerate(pairs)
    )
    return EntryRow(text, id_time(text), tuple(fields), (len(flat) - len(shown)) // 2)


def _info(told: dict[str, Any]) -> StreamInfo:
    first, newest = (
        entry[0].decode() if entry else None for entry in (told.get("first-entry"), told.get("last-entry"))
    )
    deleted = told.get("max-deleted-entry-id")
    return StreamInfo(
        told["groups"], told["last-generated-id"].decode(), first, newest, told.get("entries-added"),
        deleted.decode() if deleted else None, told["radix-tree-keys"], told["radix-tree-nodes"],
    )  # fmt: skip


class StreamType(KeyType):
    name, slug, label, noun = "stream", "stream", "stream", "entries"
    faces = (
        Face("entries", "Entries", EntriesForm, read_entries),
        Face("groups", "Groups", PageForm, read_groups),
        Face("consumers", "Consumers", ConsumersForm, read_consumers),
        Face("pending", "Pending", PendingForm, read_pending),
    )
    edits = STREAM_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("XLEN", name)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        entry_id, _, number = address.partition(".")
        if (
            not number.isdecimal()
            or len(number) > 9
            or not entry_id.replace("-", "").isdecimal()
            or len(entry_id) > 41
        ):
            raise BadInput("This is not the address of an entry's field.", "Open the key anew.")
        entries = Reading(connection, name, {}).ask(("XRANGE", name, entry_id, entry_id, "COUNT", 1))[0]
        at = int(number) * 2 + 1
        if not entries or at >= len(entries[0][1]):
            raise NotFound("There is no such entry any more.", "Reload the stream.")
        value = entries[0][1][at]
        return Element(value[:WHOLE], len(value), address)
