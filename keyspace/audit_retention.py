"""Letting old entries of the audit go, in order and verified, so that what is left still proves itself."""

from datetime import datetime, timedelta
from itertools import takewhile

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from keyspace import audit
from keyspace.access import Access, Actor
from keyspace.audit_chain import PURGE, Broken, Place, beginning, chain_of, walk
from keyspace.audit_check import note_broken
from keyspace.models import AuditChain, AuditEntry
from keyspace.servers import AllServers

AT_ONCE = 5000
BY = "retention"


def oldest_kept(now: datetime) -> datetime | None:
    """Entries before it may go; None: all are kept. Whole days in UTC, so that the audit gets one entry a day of it."""
    if settings.AUDIT_KEEP_DAYS <= 0:
        return None
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=settings.AUDIT_KEEP_DAYS)


def purge_audit() -> int:
    """Let up to AT_ONCE entries go that are older than what is kept; called every few seconds. How many went.

    They are verified first: a chain that is broken there is left as it is, for somebody to look at.
    """
    before = oldest_kept(timezone.now())
    if before is None or not _first_is_older(before):
        return 0
    try:
        anchor = beginning()
        last = _last_to_go(anchor, before)
    except Broken as broken:
        note_broken(broken, BY)
        return 0
    return _purge(anchor, last, before)


def _first_is_older(before: datetime) -> bool:
    first = (
        AuditEntry.objects.filter(id__gt=chain_of().anchor_id)
        .order_by("id")
        .values_list("at", flat=True)
        .first()
    )
    return first is not None and first < before


def _last_to_go(anchor: Place, before: datetime) -> Place:
    """The newest entry that may go, all up to it being old and found right. Raises Broken."""
    rows = (
        AuditEntry.objects.filter(id__gt=anchor.id).order_by("id").values_list("pk", "hash", "at")[:AT_ONCE]
    )
    old = list(takewhile(lambda row: row[2] < before, rows))
    last = Place(old[-1][0], old[-1][1])
    for place in walk(anchor):
        if place.id >= last.id:
            break
    return last


def _purge(anchor: Place, last: Place, before: datetime) -> int:
    """Anchor, deletion and the entry that vouches for both, in one transaction; nothing when another process was first."""
    with transaction.atomic():
        chain = AuditChain.objects.select_for_update().get(pk=1)
        if chain.anchor_id != anchor.id:
            return 0
        chain.anchor_id, chain.anchor_hash = last.id, last.hash
        chain.save(update_fields=["anchor_id", "anchor_hash"])
        gone = AuditEntry.objects.filter(id__lte=last.id).delete()[0]
        detail = {
            "entries": gone, "last": last.id, "hash": last.hash, "older_than": before.isoformat(), "keep_days": settings.AUDIT_KEEP_DAYS,
        }  # fmt: skip
        audit.record(AllServers(Actor(None, BY), Access()), PURGE, key=None, outcome="done", detail=detail)
    return gone
