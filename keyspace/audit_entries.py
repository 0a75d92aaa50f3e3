"""Reading the audit, newest entries first."""

from dataclasses import dataclass

from keyspace.access import Permission, performs
from keyspace.errors import BadInput
from keyspace.models import AuditEntry
from keyspace.servers import AllServers

PAGE = 100


@dataclass(frozen=True)
class Filter:
    """Exact values; an empty one means any."""

    person: str = ""
    server: str = ""
    operation: str = ""
    outcome: str = ""


@dataclass(frozen=True)
class Entries:
    """A page; `older` and `newer` are ids to ask the next page with, None at the ends."""

    entries: list[AuditEntry]
    older: int | None
    newer: int | None


@performs(Permission.READ_AUDIT)
def list_entries(
    console: AllServers,
    *,
    wanted: Filter,
    before: int | None = None,
    after: int | None = None,
    count: int = PAGE,
) -> Entries:
    """The newest `count` entries before an id, or the oldest after one; newest first. Raises BadInput for an unknown outcome."""
    if wanted.outcome and wanted.outcome not in AuditEntry.Outcome.values:
        raise BadInput("There is no such outcome.", "Choose done, denied or failed.")
    fields = {name: value for name, value in vars(wanted).items() if value}
    found = AuditEntry.objects.filter(**fields)
    if after is not None:
        page = list(found.filter(id__gt=after).order_by("id")[:count])[::-1]
    else:
        page = list((found if before is None else found.filter(id__lt=before)).order_by("-id")[:count])
    for entry in page:
        entry.key = None if entry.key is None else bytes(entry.key)
    if not page:
        return Entries([], None, None)
    older, newer = page[-1].pk, page[0].pk
    return Entries(
        page,
        older if found.filter(id__lt=older).exists() else None,
        newer if found.filter(id__gt=newer).exists() else None,
    )


@performs(Permission.READ_AUDIT)
def list_operations(console: AllServers) -> list[str]:
    """Every operation there is an entry of."""
    return list(AuditEntry.objects.order_by("operation").values_list("operation", flat=True).distinct())
