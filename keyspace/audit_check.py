"""How far the audit's chain was verified: little by little in the background, all of it at once when a person asks."""

import logging
import time
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from keyspace import audit
from keyspace.access import Access, Actor, Permission, performs
from keyspace.audit_chain import Broken, Place, Verdict, beginning, chain_of, verify_chain, walk
from keyspace.audit_entries import AuditReader
from keyspace.errors import Denied
from keyspace.jobs import Run, job, start_job
from keyspace.models import AuditCheck, AuditEntry, Job
from keyspace.servers import AllServers

log = logging.getLogger(__name__)
BACKGROUND = "the console"
AT_ONCE_SECONDS = 0.3
WALK_EVERY = timedelta(days=1)
AGAIN_WHEN_BROKEN = timedelta(hours=1)


def state_of_chain() -> AuditCheck:
    """What the last walk found; nothing yet on a new console."""
    return AuditCheck.objects.filter(pk=1).first() or AuditCheck()


def broken_sentence() -> str:
    """For the alert on every page of who reads the audit; "" while nothing is wrong."""
    return (
        AuditCheck.objects.filter(pk=1, broken_at__isnull=False).values_list("sentence", flat=True).first()
        or ""
    )


def verify_some(seconds: float = AT_ONCE_SECONDS) -> None:
    """The background's part, every few seconds: go on with the walk for so long, and begin it anew once a day.

    Two processes that do so at once walk the same part twice; the first to note it down counts.
    """
    state, _ = AuditCheck.objects.get_or_create(pk=1)
    if state.broken_at and not state.walk_id and not _is_due(state, AGAIN_WHEN_BROKEN):
        return
    try:
        _go_on(seconds, state)
    except Broken as broken:
        note_broken(broken, BACKGROUND)


def _is_due(state: AuditCheck, every: timedelta) -> bool:
    return state.walk_began_at is None or timezone.now() - state.walk_began_at > every


def _go_on(seconds: float, state: AuditCheck) -> None:
    chain = chain_of()
    if not state.walk_id or state.walk_id < chain.anchor_id or _is_due(state, WALK_EVERY):
        _walk_for(seconds, state, beginning(), timezone.now())
        return
    at = Place(state.walk_id, state.walk_hash, state.walked)
    _check_still_there(at)
    if at.hash != chain.last_hash or state.whole_id != at.id:
        _walk_for(seconds, state, at, state.walk_began_at)


def _check_still_there(at: Place) -> None:
    """What was verified once cannot be taken off the end together with what the chain's row says of it."""
    if AuditEntry.objects.filter(pk=at.id, hash=at.hash).exists() or chain_of().anchor_id >= at.id:
        return
    raise Broken(at.id, f"Entry {at.id}, which had been verified, was taken out or changed.")


def _walk_for(seconds: float, state: AuditCheck, start: Place, began: datetime | None) -> None:
    deadline = time.monotonic() + seconds
    at = start
    for reached in walk(start):
        at = reached
        if time.monotonic() > deadline:
            _note_place(state, began, at)
            return
    if _note_place(state, began, at):
        note_whole(at, BACKGROUND)


def _note_place(state: AuditCheck, began: datetime | None, at: Place) -> bool:
    """False when another process has noted a place meanwhile."""
    before = AuditCheck.objects.filter(pk=1, walk_id=state.walk_id, walk_began_at=state.walk_began_at)
    return bool(before.update(walk_began_at=began, walk_id=at.id, walk_hash=at.hash, walked=at.walked))


def note_whole(at: Place, by: str) -> None:
    """All of the chain was found right, up to this place."""
    AuditCheck.objects.update_or_create(
        pk=1,
        defaults={
            "whole_at": timezone.now(), "whole_id": at.id, "whole_entries": at.walked, "by": by,
            "broken_at": None, "broken_id": None, "sentence": "",
        },
    )  # fmt: skip


def note_broken(broken: Broken, by: str) -> None:
    """Remember it until a walk finds all of it right; the log and the audit itself hear of it the first time."""
    now = timezone.now()
    AuditCheck.objects.get_or_create(pk=1)
    row = AuditCheck.objects.filter(pk=1)
    row.update(walk_began_at=now, walk_id=0, walk_hash="", walked=0, by=by)
    known = AuditCheck.objects.filter(pk=1, broken_at__isnull=False, broken_id=broken.entry_id).exists()
    row.update(broken_at=now, broken_id=broken.entry_id, sentence=broken.sentence[:255])
    if known:
        return
    log.error("the audit's chain is broken: %s", broken.sentence)
    subject = AllServers(Actor(None, BACKGROUND), Access())
    detail = {"entry": broken.entry_id, "problem": broken.sentence}
    audit.record(subject, "find_audit_broken", key=None, outcome="failed", detail=detail)


@performs(Permission.READ_AUDIT, audited=True)
def verify_audit(reader: AuditReader, *, once: str | None = None) -> Job:
    """Have all of the chain walked now, by a job. Raises Denied for whom it is not all to read."""
    if reader.servers is not None:
        raise Denied("The audit is verified by who may read all of it.", "An admin of all servers can.")
    work = start_job(reader.actor, "verify_audit", title="Verify the audit", unit="entries", once=once)
    audit.tell(job=str(work.pk))
    return work


@job("verify_audit", permission=Permission.READ_AUDIT, resumable=True)
def walk_all(run: Run) -> dict[str, Any]:
    """Fails with the sentence of what is broken, and where."""
    try:
        found = _walk_all(run)
    except Broken as broken:
        note_broken(broken, run.actor.name)
        raise
    return {"entries": found.walked, "up_to": found.id}


def _walk_all(run: Run) -> Place:
    anchor = beginning()
    at = Place(**run.checkpoint) if run.checkpoint.get("id", 0) > anchor.id else anchor
    newest = AuditEntry.objects.order_by("-id").values_list("pk", flat=True).first() or 0
    began = run.job.started_at
    run.report(done=at.walked, total=at.walked + max(0, newest - at.id), phase="walking the chain", now=True)
    for reached in walk(at):
        at = reached
        run.report(done=at.walked, total=max(at.walked, run.job.total or 0), checkpoint=vars(at))
    note_walk(at, began, run.actor.name)
    run.job.done = run.job.total = at.walked
    return at


def note_walk(at: Place, began: datetime | None, by: str) -> None:
    """A walk of all of it has ended well: the background goes on from here."""
    AuditCheck.objects.get_or_create(pk=1)
    AuditCheck.objects.filter(pk=1).update(
        walk_began_at=began or timezone.now(), walk_id=at.id, walk_hash=at.hash, walked=at.walked
    )
    note_whole(at, by)


def verify_now(by: str) -> Verdict:
    """Walk all of the chain, here, and remember what came of it."""
    began, verdict = timezone.now(), verify_chain()
    if verdict.broken_id is None:
        note_walk(verdict.at, began, by)
    else:
        note_broken(Broken(verdict.broken_id, verdict.sentence), by)
    return verdict
