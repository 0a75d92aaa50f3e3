"""How much the trash keeps: some days, and up to a size."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet, Sum
from django.utils import timezone

from keyspace.models import MadeKey, Once, TrashEntry


def prune(*, keeping: uuid.UUID | None = None) -> int:
    """Let go what is older than TRASH_DAYS, and the oldest while there is more than TRASH_BYTES. How many went."""
    gone = _delete_aged(TrashEntry.objects.filter(at__lt=_oldest()))
    stored = TrashEntry.objects.aggregate(all=Sum("stored_size"))["all"] or 0
    if stored <= settings.TRASH_BYTES:
        return gone
    leaving = []
    others = TrashEntry.objects.exclude(pk=keeping) if keeping else TrashEntry.objects.all()
    for pk, size in others.order_by("at").values_list("pk", "stored_size"):
        leaving.append(pk)
        stored -= size
        if stored <= settings.TRASH_BYTES:
            break
    return gone + TrashEntry.objects.filter(pk__in=leaving).delete()[0]


def _oldest() -> datetime:
    return timezone.now() - timedelta(days=settings.TRASH_DAYS)


def _delete_aged(aged: "QuerySet[Any]") -> int:
    """Nothing is written while nothing is too old."""
    return aged.delete()[0] if aged.exists() else 0


def prune_aged() -> int:
    """What a clock may ask often. How many entries went."""
    _delete_aged(MadeKey.objects.filter(job__created_at__lt=_oldest()))
    _delete_aged(Once.objects.filter(at__lt=timezone.now() - timedelta(days=1)))
    return _delete_aged(TrashEntry.objects.filter(at__lt=_oldest()))
