"""Jobs: started by a service, seen and cancelled on the Jobs page, run by a worker (see `job_worker`).

A kind of job is a function with `@job(...)`. It gets a Run: it reports progress, looks for cancel, may keep a checkpoint and go on
from it after a crash, and returns its report (a dict of JSON)::

    @job("bulk_delete", permission=Permission.BULK, resumable=True)
    def bulk_delete(run: Run) -> dict[str, Any]:
        for step in scan(run.connection, cursor=run.checkpoint.get("cursor")):
            run.report(done=..., total=..., checkpoint={"cursor": ...})   # raises Cancelled; waits while paused
        return {"deleted": ...}

    start_job(connection.actor, "bulk_delete", server=connection.server.name, db=connection.db, title="Delete session:*", params={...})
"""

import uuid
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from keyspace.access import Access, Actor, Permission, performs
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.job_runs import KINDS, Cancelled, Interrupted, JobKind, LostClaim, Run, connect, job
from keyspace.models import Job, Server
from keyspace.servers import AllServers, Connection, access_to

State = Job.State


def start_job(
    actor: Actor, kind: str, *, title: str, server: str = "", db: int | None = None, params: dict[str, Any] | None = None,
    total: int | None = None, unit: str = "keys", once: str | None = None,
) -> Job:  # fmt: skip
    """Put a job in the queue and return its row. With `once` (a form's own key) a repeated call returns the first one's row.

    Called by services, which hold the permission check and the audit entry.
    """
    from keyspace import job_worker

    job_worker.import_kinds()
    if kind not in KINDS:
        raise BadInput("There is no such kind of job.")
    new = Job(
        kind=kind, title=title[:255], server=server, db=db, user=actor.user, person=actor.name, address=actor.address,
        request_id=actor.request_id, params=params or {}, total=total, unit=unit, once=once,
    )  # fmt: skip
    try:
        with transaction.atomic():
            new.save(force_insert=True)
    except IntegrityError:
        return Job.objects.get(once=once)
    transaction.on_commit(lambda: job_worker.enqueue(new.pk))
    return new


def _visible(actor: Actor) -> QuerySet[Job]:
    """Their own jobs, and all jobs of the servers they administer."""
    from keyspace.servers import list_servers

    if actor.user is None:
        return Job.objects.all()
    names = [server.name for server in list_servers(actor) if _administers(actor, server)]
    return Job.objects.filter(Q(user=actor.user) | Q(server__in=names))


def _administers(actor: Actor, server: Server) -> bool:
    """All of the server, and not only keys that match: reports name keys."""
    return access_to(actor, server).may(Permission.CONFIGURE)


@performs(Permission.SEE_SERVER)
def list_jobs(connection: Connection | AllServers, *, limit: int = 100) -> list[Job]:
    """The newest jobs that this person may see: their own, and those on servers they administer; on one server when given a Connection."""
    jobs = _visible(connection.actor)
    if connection.server is not None:
        jobs = jobs.filter(server=connection.server.name)
    return list(jobs[:limit])


def my_jobs(actor: Actor, *, limit: int = 200) -> list[Job]:
    """As `list_jobs`, for the page of all servers: what someone without any grant sees is only their own."""
    return list(_visible(actor)[:limit])


def find_job(actor: Actor, job_id: str | uuid.UUID) -> Job:
    """A job this person may see. Raises NotFound."""
    try:
        key = uuid.UUID(str(job_id))
    except ValueError:
        raise NotFound("There is no such job.") from None
    found = _visible(actor).filter(pk=key).first()
    if found is None:
        raise NotFound(
            "There is no such job.", "It may belong to somebody else, or was removed after a while."
        )
    return found


def may_control(actor: Actor, job: Job) -> bool:
    """One person's work is not another's to cancel, admins of its server aside."""
    if actor.user is None or (job.user_id is not None and job.user_id == actor.user.pk):
        return True
    server = Server.objects.filter(name=job.server).first()
    return server is not None and _administers(actor, server)


def _controlled(actor: Actor, job_id: str | uuid.UUID) -> Job:
    found = find_job(actor, job_id)
    if not may_control(actor, found):
        raise Denied("This job is somebody else's.", "Who started it, or an admin, can stop it.")
    return found


def cancel_job(actor: Actor, job_id: str | uuid.UUID) -> Job:
    """Ask a job to stop; a waiting one is cancelled at once, a running one within a second."""
    found = _controlled(actor, job_id)
    now = timezone.now()
    waiting = Job.objects.filter(pk=found.pk, state=State.WAITING)
    if waiting.update(state=State.CANCELLED, wants_cancel=True, finished_at=now):
        _clean_up(found)
    else:
        asked = Job.objects.filter(pk=found.pk, state__in=(State.RUNNING, State.PAUSED)).update(
            wants_cancel=True
        )
        if not asked:
            raise Conflict(f"The job has ended already: it is {found.get_state_display()}.")
    _record(actor, "cancel_job", found)
    found.refresh_from_db()
    return found


def _clean_up(job: Job) -> None:
    """A job that never began still has what its service prepared."""
    from keyspace import job_worker

    job_worker.import_kinds()
    job.refresh_from_db()
    kind = KINDS.get(job.kind)
    if kind is not None and kind.on_interrupt is not None:
        kind.on_interrupt(job)


def pause_job(actor: Actor, job_id: str | uuid.UUID, *, pause: bool = True) -> Job:
    """Let a running job wait, or go on."""
    found = _controlled(actor, job_id)
    if not Job.objects.filter(pk=found.pk, state__in=Job.UNFINISHED).update(wants_pause=pause):
        raise Conflict(f"The job has ended already: it is {found.get_state_display()}.")
    _record(actor, "pause_job" if pause else "continue_job", found)
    found.refresh_from_db()
    return found


def restart_job(actor: Actor, job_id: str | uuid.UUID) -> Job:
    """Go on with an interrupted, failed or cancelled job from its checkpoint, where its kind can."""
    from keyspace import job_worker

    job_worker.import_kinds()
    found = _controlled(actor, job_id)
    if not KINDS[found.kind].resumable:
        raise BadInput("A job of this kind cannot go on where it stopped.", "Start it anew.")
    again = Job.objects.filter(
        pk=found.pk, state__in=(State.INTERRUPTED, State.FAILED, State.CANCELLED)
    ).update(
        state=State.WAITING, wants_cancel=False, wants_pause=False, problem="", finished_at=None, worker=""
    )
    if not again:
        raise Conflict(f"The job is {found.get_state_display()}.")
    _record(actor, "restart_job", found)
    transaction.on_commit(lambda: job_worker.enqueue(found.pk))
    found.refresh_from_db()
    return found


def _record(actor: Actor, operation: str, job: Job) -> None:
    from keyspace import audit

    subject = AllServers(actor, Access())
    audit.record(
        subject,
        operation,
        key=None,
        outcome="done",
        detail={"job": str(job.pk), "title": job.title, "server": job.server},
    )


__all__ = [
    "KINDS", "Cancelled", "Interrupted", "JobKind", "LostClaim", "Run", "cancel_job", "connect", "find_job", "job", "list_jobs",
    "may_control", "my_jobs", "pause_job", "restart_job", "start_job",
]  # fmt: skip
