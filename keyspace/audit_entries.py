"""Reading the audit, newest entries first: search by who, where, what, which key, how it ended and when."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce

from keyspace.access import Access, Actor, Permission, performs, rights_of
from keyspace.encoding import from_text
from keyspace.errors import BadInput, NotFound
from keyspace.globs import MAGIC, compile_glob, is_glob
from keyspace.models import AuditEntry
from keyspace.models.audit import Head
from keyspace.servers import all_servers, grants_of, list_connections

PAGE = 100
SEARCH_SECONDS = 1.0
STEPS = 1000, 20_000
FEW = 2000
"""Keys with a pattern's beginning: so many are read at once; of more, the entries are gone through from the newest on."""
MOST_CHOICES = 500
CLOCK_SLACK = timedelta(days=1)
"""Entries have times in the order of their ids, but for a clock that was set back by no more than this."""


@dataclass(frozen=True)
class AuditReader:
    """A person in front of the audit: `servers` are those whose entries they may read, None: all there is."""

    actor: Actor
    access: Access
    servers: frozenset[str] | None
    server: None = None
    db: None = None


def audit_reader(actor: Actor) -> AuditReader:
    """Who administers all servers reads all; who administers some reads what was done on these."""
    everywhere = all_servers(actor).access
    if everywhere.may(Permission.READ_AUDIT):
        return AuditReader(actor, everywhere, None)
    mine = [each for each in list_connections(actor) if each.access.may(Permission.READ_AUDIT)]
    rights = tuple(right for each in mine for right in each.access.rights)
    return AuditReader(actor, Access(rights), frozenset(each.server.name for each in mine))


def may_read_audit(actor: Actor) -> bool:
    """Whether there is a server whose entries the person may read; asked for every page."""
    return actor.user is not None and any(
        rights_of([grant]).may(Permission.READ_AUDIT) for grant in grants_of(actor)
    )


@dataclass(frozen=True)
class Filter:
    """Exact values; an empty one means any. `key` is a name or a pattern as `encoding` writes them; `since` is part of it, `until` not."""

    person: str = ""
    server: str = ""
    operation: str = ""
    outcome: str = ""
    key: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Entries:
    """A page; `older` and `newer` are ids to ask the next page with, None at the ends.

    `unfinished`: the search of a pattern took its time; it goes on behind `older` (or before `newer`).
    """

    entries: list[AuditEntry]
    older: int | None
    newer: int | None
    unfinished: bool = False


@dataclass(frozen=True)
class Choices:
    """What there are entries of."""

    people: list[str]
    servers: list[str]
    operations: list[str]


@performs(Permission.READ_AUDIT)
def list_entries(
    reader: AuditReader,
    *,
    wanted: Filter,
    before: int | None = None,
    after: int | None = None,
    count: int = PAGE,
) -> Entries:
    """The newest `count` entries before an id, or the oldest after one; newest first. Raises BadInput for an unknown outcome."""
    ascending, border = after is not None, before if after is None else after
    found, stopped = _search(find_entries(reader, wanted), pattern_of(wanted), border, ascending, count + 1)
    page = found[:count]
    onward = page[-1].pk if len(found) > count else stopped
    back = None if border is None else page[0].pk if page else border
    if ascending:
        return Entries(page[::-1], older=back, newer=onward, unfinished=stopped is not None)
    return Entries(page, older=onward, newer=back, unfinished=stopped is not None)


@performs(Permission.READ_AUDIT)
def read_entry(reader: AuditReader, *, entry_id: int) -> AuditEntry:
    """One entry. Raises NotFound, also for one of another server than the person's."""
    entry = _readable(reader).filter(pk=entry_id).first()
    if entry is None:
        raise NotFound(
            "There is no such entry of the audit.",
            "It was older than the audit is kept, or is not yours to read.",
        )
    return entry


@performs(Permission.READ_AUDIT)
def list_choices(reader: AuditReader) -> Choices:
    """What a search can be narrowed to; of servers and people no more than MOST_CHOICES."""
    servers = _distinct("server") if reader.servers is None else sorted(reader.servers)
    people = _distinct("person") if reader.servers is None else []
    return Choices(people, [name for name in servers if name], _distinct("operation"))


def _distinct(field: str) -> list[str]:
    """From value to value along the index: a DISTINCT would read all of it."""
    found: list[str] = []
    rows = AuditEntry.objects.order_by(field).values_list(field, flat=True)
    value = rows.first()
    while value is not None and len(found) < MOST_CHOICES:
        found.append(value)
        value = rows.filter(**{f"{field}__gt": value}).first()
    return found


def _readable(reader: AuditReader) -> QuerySet[AuditEntry]:
    rows = AuditEntry.objects.all()
    return rows if reader.servers is None else rows.filter(server__in=reader.servers)


def find_entries(reader: AuditReader, wanted: Filter) -> QuerySet[AuditEntry]:
    """What the person may read of it and the filter wants, but for a pattern of keys. Raises BadInput."""
    if wanted.outcome and wanted.outcome not in AuditEntry.Outcome.values:
        raise BadInput("There is no such outcome.", "Choose done, denied or failed.")
    rows = _between(_readable(reader), wanted.since, wanted.until)
    for name in ("person", "server", "operation"):
        if value := getattr(wanted, name):
            rows = rows.filter(**{name: value})
    if wanted.outcome == AuditEntry.Outcome.DONE:
        # Nearly all entries are: an expression keeps SQLite from choosing that index over one that narrows.
        rows = rows.alias(ended=Coalesce("outcome", Value(""))).filter(ended=wanted.outcome)
    elif wanted.outcome:
        rows = rows.filter(outcome=wanted.outcome)
    if wanted.key and not pattern_of(wanted):
        key = from_text(wanted.key)
        rows = rows.alias(head=Head("key")).filter(head=key[: Head.BYTES], key=key)
    return rows


def _between(
    rows: QuerySet[AuditEntry], since: datetime | None, until: datetime | None
) -> QuerySet[AuditEntry]:
    """Times become borders of ids, so that a page is read along the same index as without them."""
    by_time = AuditEntry.objects.order_by("at", "id").values_list("pk", flat=True)
    if since is not None:
        ahead = by_time.filter(at__lt=since - CLOCK_SLACK).last()
        rows = rows.filter(at__gte=since) if ahead is None else rows.filter(id__gt=ahead, at__gte=since)
    if until is not None:
        behind = by_time.filter(at__gte=until + CLOCK_SLACK).first()
        rows = rows.filter(at__lt=until) if behind is None else rows.filter(id__lt=behind, at__lt=until)
    return rows


def pattern_of(wanted: Filter) -> bytes | None:
    """The pattern of keys it asks for; None for an exact name, or none."""
    key = from_text(wanted.key)
    return key if is_glob(key) else None


def _search(
    rows: QuerySet[AuditEntry], pattern: bytes | None, border: int | None, ascending: bool, count: int
) -> tuple[list[AuditEntry], int | None]:
    """The first `count` behind the border; and the id at which the search was given up for its time, if it was."""
    if border is not None:
        rows = rows.filter(id__gt=border) if ascending else rows.filter(id__lt=border)
    rows = rows.order_by("id" if ascending else "-id")
    if pattern is None:
        return list(rows[:count]), None
    few = _few(rows, pattern)
    if few is not None:
        return list(rows.filter(pk__in=sorted(few, reverse=not ascending)[:count])), None
    ids, stopped = _go_through(rows, pattern, ascending, count)
    return list(rows.filter(pk__in=ids)), stopped


def matches(pattern: bytes, key: bytes | None) -> bool:
    """Whether the key is one the pattern means; also the one that is called like the pattern itself."""
    return key is not None and (key == pattern or bool(compile_glob(pattern).fullmatch(key)))


def _few(rows: QuerySet[AuditEntry], pattern: bytes) -> list[int] | None:
    """Ids of all matches, where the pattern has a beginning that few keys have."""
    magic = MAGIC.search(pattern)
    head = pattern[: magic.start() if magic else None][: Head.BYTES]
    if not head:
        return None
    narrowed = rows.alias(head=Head("key")).filter(head__gte=head).order_by()
    if head.rstrip(b"\xff"):
        narrowed = narrowed.filter(head__lt=_next_after(head))
    found = list(narrowed.values_list("pk", "key")[: FEW + 1])
    return (
        None
        if len(found) > FEW
        else [pk for pk, key in found if key is not None and matches(pattern, bytes(key))]
    )


def _next_after(head: bytes) -> bytes:
    """The smallest bytes above everything that begins with `head`."""
    head = head.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1])


def _go_through(
    rows: QuerySet[AuditEntry], pattern: bytes, ascending: bool, count: int
) -> tuple[list[int], int | None]:
    deadline, ids = time.monotonic() + SEARCH_SECONDS, []
    for number, (pk, key) in enumerate(_keys(rows, ascending)):
        if key is not None and matches(pattern, bytes(key)):
            ids.append(pk)
        if len(ids) == count:
            break
        if number % 256 == 255 and time.monotonic() > deadline:
            return ids, pk
    return ids, None


def _keys(rows: QuerySet[AuditEntry], ascending: bool) -> Iterator[tuple[int, bytes | memoryview | None]]:
    """In steps that grow: what is common is found in the first, what is rare is not asked for a thousand times."""
    size, narrowed = STEPS[0], rows
    while step := list(narrowed.values_list("pk", "key")[:size]):
        yield from step
        if len(step) < size:
            return
        last = step[-1][0]
        narrowed = rows.filter(id__gt=last) if ascending else rows.filter(id__lt=last)
        size = min(size * 2, STEPS[1])
