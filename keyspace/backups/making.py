"""Making a backup: the jobs behind Snapshot, AOF rewrite, Pull and Export. Each ends in a Backup row that says how it ended."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.utils import timezone

from keyspace.access import Actor, Permission
from keyspace.backups import store, verify
from keyspace.backups.alerts import tell_of
from keyspace.backups.exporting import export
from keyspace.backups.parts import DiskFull
from keyspace.backups.preflight import checks_of
from keyspace.backups.pulling import pull
from keyspace.backups.rdb import Damaged
from keyspace.backups.retention import apply_retention
from keyspace.backups.saving import save_on_server
from keyspace.backups.slots import SlotWatch
from keyspace.errors import Conflict, Problem, explain
from keyspace.jobs import Cancelled, LostClaim, Run, job, start_job
from keyspace.models import Backup, Job, Schedule, Server
from keyspace.servers import Connection

State, Kind = Backup.State, Backup.Kind
BEING_VERIFIED = "Being verified."
_NOUNS = {
    "snapshot": "Snapshot",
    "aof": "AOF rewrite",
    "pull": "Pull",
    "export": "Export",
    "readable": "Readable export",
}


def begin_backup(
    connection: Connection,
    kind: str,
    *,
    replicas: bool = False,
    schedule: Schedule | None = None,
    reason: str = "",
    once: str | None = None,
) -> Backup:
    """Check what stands in the way, then put the job in the queue. Raises Conflict with the first refusal.

    A snapshot or AOF rewrite is done on the primaries, or (`replicas`) on one healthy replica of each.
    """
    if once and (known := Job.objects.filter(once=once).first()):
        return Backup.objects.get(job=known)
    if connection.server.source == Server.Source.BACKUP:
        raise Conflict("This server is an opened backup.", "Back up the server that it is of.")
    for check in checks_of(connection, kind, replicas=replicas):
        if check.refuses:
            raise Conflict(check.sentence, "Nothing was started.")
    backup = Backup(
        server=connection.server.name,
        kind=kind,
        person=connection.actor.name,
        schedule=schedule,
        reason=reason,
    )
    return _queue(connection.actor, backup, replicas=replicas, once=once)


def _queue(actor: Actor, backup: Backup, *, replicas: bool, once: str | None) -> Backup:
    server, kind = backup.server, backup.kind
    with transaction.atomic():
        Server.objects.select_for_update().filter(name=server).first()  # two at once: one waits here
        busy = Backup.objects.filter(server=server, state=State.RUNNING).first()
        if busy is not None:
            raise Conflict(
                f"A backup of {server} is running already: {_NOUNS[busy.kind].lower()} by {busy.person}.",
                "Wait until it is done.",
            )
        backup.job = start_job(
            actor, "back_up", title=f"{_NOUNS[kind]} of {server}", server=server, once=once, unit="bytes" if kind == "pull" else "keys",
            params={"backup": str(backup.pk), "replicas": replicas},
        )  # fmt: skip
        backup.save(force_insert=True)
    return backup


def mark_interrupted(job: Job) -> None:
    """What was written of a backup whose console died goes, and the row says so; likewise one cancelled before it began."""
    backup_id = str(job.params.get("backup", ""))
    state = State.CANCELLED if job.wants_cancel else State.INTERRUPTED
    note = "" if job.wants_cancel else "The console stopped while this ran; its parts were removed."
    if Backup.objects.filter(pk=backup_id, state=State.RUNNING).update(
        state=state, state_note=note, files=[]
    ):
        store.remove_all(backup_id)
    Backup.objects.filter(pk=backup_id, state_note=BEING_VERIFIED).update(
        state_note="Not verified: the console stopped."
    )


@job("back_up", permission=Permission.BACK_UP, on_interrupt=mark_interrupted)
def back_up(run: Run) -> dict[str, Any]:
    """Make the backup of the row that the service left, and verify what was written."""
    backup = Backup.objects.get(pk=run.params["backup"])
    make(run, backup)
    tell_keys(run, sum(backup.keys.values()))
    if backup.schedule is not None:
        apply_retention(backup.schedule)
    return {
        "backup": str(backup.pk),
        "size": backup.size,
        "keys": sum(backup.keys.values()) if backup.keys else None,
        "torn": backup.torn,
        "remark": backup.remark,
    }


def tell_keys(run: Run, keys: int) -> None:
    """A job that has ended counts keys, whatever its last phase counted."""
    run.job.done, run.job.total, run.job.unit = keys, keys, "keys"


def make(run: Run, backup: Backup) -> None:
    """Make and prove it in the running job. Raises what went wrong, after the row says so and nothing is left of it."""
    began = time.monotonic()
    with _kept_in_order(run, backup):
        slots = SlotWatch(run.connection)
        _MAKERS[backup.kind](run, backup)
        backup.torn = slots.what_moved()[:500]
        backup.seconds = round(time.monotonic() - began, 2)
        backup.save()
    if backup.files:
        prove(run, backup)
    else:
        Backup.objects.filter(pk=backup.pk).update(state=State.TORN if backup.torn else State.SAVED)
    if backup.torn:
        tell_of(backup, "failed", f"{backup}: {backup.torn}")


@contextmanager
def _kept_in_order(run: Run, backup: Backup) -> Iterator[None]:
    """However it fails, nothing that looks like a backup is left, and the row says why."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, DiskFull):
            _tell_missing(error, run.job, backup)
        store.remove_all(backup.pk)
        lost = isinstance(error, LostClaim)
        state = (
            State.CANCELLED if isinstance(error, Cancelled) else State.INTERRUPTED if lost else State.FAILED
        )
        note = str(error)[:500] if state == State.CANCELLED else sentence_of(error)
        Backup.objects.filter(pk=backup.pk).update(
            state=state, state_note=note, remark=backup.remark, files=[], seconds=backup.seconds
        )
        if state == State.FAILED:
            tell_of(backup, "failed", note)
        if isinstance(error, Damaged):
            raise Conflict(
                f"The stream from the server is not a whole RDB: {error.reason}.",
                "Nothing was kept; try again.",
            ) from error
        raise


def _tell_missing(full: DiskFull, job: Job, backup: Backup) -> None:
    """What is missing by the share that is done: bytes of a pull, keys of an export that took so many bytes."""
    written = full.written + sum(stored["size"] for stored in backup.files)
    if job.total and 0 < job.done < job.total:
        full.tell_missing(written * (job.total - job.done) / job.done)


def sentence_of(error: BaseException) -> str:
    """Why it failed, for a row."""
    if isinstance(error, Damaged):
        return f"The stream was not whole: {error.reason}."[:500]
    return (error.sentence if isinstance(error, Problem) else explain(error).sentence)[:500]


def prove(run: Run, backup: Backup) -> None:
    """Verify the files in the same job; the row is a whole backup from here on, whatever becomes of the verification.

    What was known of it stays until the verification has come to its end: a storage that is away for a while is no verdict.
    """
    known = backup.state if backup.state in Backup.KEPT else State.WHOLE
    Backup.objects.filter(pk=backup.pk).update(state=known, state_note=BEING_VERIFIED)
    try:
        verdict = verify.verify_files(
            backup, lambda done, total: run.report(done=done, total=total, unit="bytes", phase="verifying")
        )
    except BaseException as error:
        again = "Not verified: " if known == State.WHOLE else "The last verification did not end: "
        note = again + ("cancelled." if isinstance(error, Cancelled) else sentence_of(error))
        Backup.objects.filter(pk=backup.pk).update(state_note=note[:500])
        raise
    note = f"{_against_the_server(backup, verdict)} {verdict.note}".strip()
    keys = {str(db): count for db, count in sorted(verdict.keys.items())} or backup.keys
    state = State.TORN if backup.torn and verdict.state != State.DAMAGED else verdict.state
    Backup.objects.filter(pk=backup.pk).update(
        state=state, state_note=note[:500], keys=keys, verified_at=timezone.now()
    )
    backup.refresh_from_db()
    if backup.state == State.DAMAGED:
        tell_of(backup, "damaged", f"{backup}: {note}")


def _against_the_server(backup: Backup, verdict: verify.Verdict) -> str:
    """The server's DBSIZE at the time, where it differs: it went on working, so this is a remark and not a flaw."""
    told = {int(db): count for db, count in (backup.server_keys or {}).items()}
    if verdict.state != State.LOADED or not told or told == verdict.keys:
        return ""
    return f"Every key of the file was loaded: {sum(verdict.keys.values())}. The server said {sum(told.values())} a moment before."


@job("verify_backup", permission=Permission.BACK_UP)
def verify_backup_job(run: Run) -> dict[str, Any]:
    backup = Backup.objects.get(pk=run.params["backup"])
    prove(run, backup)
    tell_keys(run, sum(backup.keys.values()))
    note = f"{backup.torn} {backup.state_note}".strip()
    return {"backup": str(backup.pk), "state": backup.state, "note": note}


_MAKERS: dict[str, Callable[[Run, Backup], None]] = {
    "snapshot": save_on_server, "aof": save_on_server, "pull": pull, "export": export, "readable": export,
}  # fmt: skip
