"""Letting old jobs go, with the files that are theirs alone. What they did stays in the audit; backups stay until their own retention."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from keyspace import audit, job_worker
from keyspace.access import Access, Actor
from keyspace.backups import store
from keyspace.jobs import KINDS
from keyspace.models import Job
from keyspace.servers import AllServers

AT_ONCE = 500
BY = "retention"


def oldest_kept(now: datetime) -> datetime | None:
    """Jobs that ended before it go; None: all are kept. Whole days in UTC, so that the audit gets few entries of it."""
    if settings.JOB_DAYS <= 0:
        return None
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=settings.JOB_DAYS)


def purge_jobs() -> int:
    """Remove up to AT_ONCE jobs that ended too long ago; called every few seconds. How many went.

    Their files go first: a store that fails leaves the row, and it is tried again.
    """
    before = oldest_kept(timezone.now())
    if before is None:
        return 0
    old = Job.objects.filter(Q(finished_at__lt=before) | Q(finished_at=None, created_at__lt=before))
    ended = list(old.exclude(state__in=Job.UNFINISHED).order_by("created_at")[:AT_ONCE])
    job_worker.import_kinds()
    for job in ended:
        _remove_files(job)
    # Asked again: somebody may have gone on with one of them meanwhile.
    still = Job.objects.filter(pk__in=[job.pk for job in ended]).exclude(state__in=Job.UNFINISHED)
    _, gone = still.delete()
    count = gone.get(Job._meta.label, 0)
    if count:
        detail = {"jobs": count, "older_than": before.isoformat(), "keep_days": settings.JOB_DAYS}
        audit.record(
            AllServers(Actor(None, BY), Access()), "purge_jobs", key=None, outcome="done", detail=detail
        )
    return count


def _remove_files(job: Job) -> None:
    """`file` in a job's params or report names a file of the store that is the job's alone; a kind may leave more elsewhere."""
    for facts in (job.params, job.result):
        if facts.get("file"):
            store.remove(facts["file"])
    kind = KINDS.get(job.kind)
    if kind is not None and kind.on_remove is not None:
        kind.on_remove(job)
