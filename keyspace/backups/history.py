"""The history of a server's backups: what has ended, newest first, page by page, narrowed by kind, state and who made it."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Q, QuerySet

from keyspace.errors import BadInput
from keyspace.models import Backup

PAGE = 100
MOST_PEOPLE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """Which backups; empty means any. `by` is a person, or a schedule as "schedule <name>"."""

    kind: str = ""
    state: str = ""
    by: str = ""

    @property
    def narrowed(self) -> bool:
        return bool(self.kind or self.state or self.by)


@dataclass(frozen=True)
class History:
    """A page, newest first. `total` backups are as wanted; `older` and `newer` are places to ask the next page with, empty at the ends."""

    server: str
    wanted: Wanted
    backups: list[Backup]
    total: int
    older: str = ""
    newer: str = ""

    @property
    def long(self) -> bool:
        """It is worth narrowing, or is narrowed."""
        return self.wanted.narrowed or self.total > PAGE

    def people(self) -> list[str]:
        """Who made any of the server's backups: people and schedules."""
        names = Backup.objects.filter(server=self.server).order_by("person").values_list("person", flat=True)
        return list(names.distinct()[:MOST_PEOPLE])


def read_history(server: str, wanted: Wanted, *, before: str = "", after: str = "") -> History:
    """The newest page, or the one older than a place, or newer than one. What arrives meanwhile moves nothing. Raises BadInput."""
    rows = _rows(server, wanted)
    total = rows.count()
    rows = rows.select_related("schedule", "job", "opened__row")
    if after:
        found = list(rows.filter(_beyond(after, "gt")).order_by("created_at", "pk")[: PAGE + 1])
        if len(found) > PAGE:
            return History(server, wanted, found[:PAGE][::-1], total, place(found[0]), place(found[PAGE - 1]))
        before = ""  # the newest page, and a full one
    found = list((rows.filter(_beyond(before, "lt")) if before else rows)[: PAGE + 1])
    page = found[:PAGE]
    newer = (place(page[0]) if page else before) if before else ""
    return History(server, wanted, page, total, place(page[-1]) if len(found) > PAGE else "", newer)


def _rows(server: str, wanted: Wanted) -> QuerySet[Backup]:
    if wanted.kind not in ("", *Backup.Kind.values) or wanted.state not in ("", *Backup.State.values):
        raise BadInput("There is no such kind, or no such state, of a backup.")
    rows = Backup.objects.filter(server=server).exclude(state=Backup.State.RUNNING)
    named = {"kind": wanted.kind, "state": wanted.state, "person": wanted.by}
    return rows.filter(**{name: value for name, value in named.items() if value})


def place(backup: Backup) -> str:
    """Where a backup stands in the history, also once it is gone: its time and its id."""
    return f"{(backup.created_at - _EPOCH) // timedelta(microseconds=1)}-{backup.pk.hex}"


def _beyond(where: str, side: str) -> Q:
    """Older ("lt") or newer ("gt") than a place."""
    time, _, name = where.partition("-")
    try:
        at, pk = _EPOCH + timedelta(microseconds=int(time)), uuid.UUID(name)
    except (ValueError, OverflowError):
        raise BadInput("There is no such place in the history.", "Go back to the newest backups.") from None
    beyond = Q(**{f"created_at__{side}": at}) | Q(created_at=at, **{f"pk__{side}": pk})
    return Q(**{f"created_at__{side}e": at}) & beyond  # said again so that the index is used


def others_of(backup: Backup, count: int = 50) -> list[Backup]:
    """The newest other backups of its server that it can be compared with."""
    kept = Backup.objects.filter(server=backup.server, state__in=Backup.KEPT).exclude(pk=backup.pk)
    return [other for other in kept[: count * 2] if other.has_files][:count]
