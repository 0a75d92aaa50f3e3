"""What an entry of the audit leads to, where it is still there."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keyspace.models import AuditEntry, Backup, Job, TrashEntry

LinkedModel = type[TrashEntry] | type[Job] | type[Backup]
LINKED: dict[str, LinkedModel] = {
    "trash": TrashEntry, "newer_in_trash": TrashEntry, "job": Job, "restore": Job, "backup": Backup, "other": Backup,
}  # fmt: skip
"""Facts of an entry that are the id of something."""


@dataclass(frozen=True)
class Links:
    """Ids, None where the entry has none or it is gone."""

    trash: uuid.UUID | None = None
    job: uuid.UUID | None = None
    backup: uuid.UUID | None = None


def links_of(entries: Iterable[AuditEntry]) -> list[Links]:
    """Of each entry in turn; three questions for all of them. Whether the person may open it, its own page decides."""
    asked = [_ids(entry.detail) for entry in entries]
    there: dict[LinkedModel, set[uuid.UUID]] = {
        model: set(model._default_manager.filter(pk__in=[one[model] for one in asked if model in one]).values_list("pk", flat=True))
        for model in (TrashEntry, Job, Backup)
    }  # fmt: skip

    def left(ids: dict[LinkedModel, uuid.UUID], model: LinkedModel) -> uuid.UUID | None:
        return ids[model] if ids.get(model) in there[model] else None

    return [Links(left(ids, TrashEntry), left(ids, Job), left(ids, Backup)) for ids in asked]


def _ids(detail: dict[str, Any]) -> dict[LinkedModel, uuid.UUID]:
    found: dict[LinkedModel, uuid.UUID] = {}
    for name, model in LINKED.items():
        if model not in found and (number := _uuid(detail.get(name))):
            found[model] = number
    return found


def _uuid(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
