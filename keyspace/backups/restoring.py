"""Restoring a backup as a job: chosen keys or everything, dry or for good, to the server it came from or another."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import redis

from keyspace.access import Permission
from keyspace.backups import making, store
from keyspace.backups.moment import moment_of
from keyspace.backups.preflight import choose_kind
from keyspace.backups.rdb import Damaged
from keyspace.backups.restore import Policy, Report, restore_pages
from keyspace.backups.restore_alike import Likeness
from keyspace.backups.restore_back import TrashBack
from keyspace.backups.restore_functions import foresee_functions, restore_functions
from keyspace.backups.restore_primary import restore_as_primary
from keyspace.backups.restore_readable import restore_readable
from keyspace.backups.restore_source import Source, Wanted, source_of, wanted_of
from keyspace.backups.restore_target import Target
from keyspace.backups.surroundings import Libraries
from keyspace.errors import Conflict
from keyspace.import_fit import Fit
from keyspace.jobs import Run, job
from keyspace.models import Backup
from keyspace.servers import Connection
from keyspace.wire import Wire

PROGRESS = Callable[[int, int | None], None]


@job("restore_backup", permission=Permission.RESTORE, resumable=True)
def restore_backup(run: Run) -> dict[str, Any]:
    """Doing it again does no harm, so a restart begins anew; what was emptied is not emptied twice."""
    backup, connection = Backup.objects.get(pk=run.params["backup"]), run.connection
    began = time.monotonic()
    report: dict[str, Any] = {}
    try:
        if not run.params.get("dry"):
            _check_files(run, backup)
        if run.params.get("method") == "primary" and not run.params.get("dry"):
            restore_as_primary(run, backup, connection, report, take_safety_backup)
        else:
            if run.params.get("empty") and not run.params.get("dry"):
                report["safety"] = _make_room(run, connection)
            _restore(run, backup, connection, report)
    except Damaged as error:
        raise Conflict(f"The backup is damaged: {error.reason}.", _how_far(run, report)) from error
    except (redis.RedisError, Conflict) as error:
        if report.get("safety"):
            raise Conflict(f"The restore stopped: {error}", _how_far(run, report)) from error
        raise
    finally:
        run.job.result = report
    making.tell_keys(run, report["looked"])
    report["seconds"] = round(time.monotonic() - began, 2)
    return report


def _check_files(run: Run, backup: Backup) -> None:
    """Read once more before anything is emptied or written: a file may have rotted since it was verified. Raises Conflict."""
    done = 0
    for stored in backup.files:
        digest = hashlib.sha256()
        for chunk in store.read_chunks(stored["name"]):
            digest.update(chunk)
            done += len(chunk)
            run.report(done=done, total=backup.size, unit="bytes", phase="checking the backup")
        if digest.hexdigest() != stored["sha256"]:
            raise Conflict(
                "The backup is damaged: its file is not what was stored any more.",
                "Nothing was changed. Verify it, and use another one.",
            )


def _how_far(run: Run, report: dict[str, Any]) -> str:
    told = report.get("far") or f"{report.get('restored', 0)} keys had been put back."
    return told + (
        " The safety backup holds what was there before: restore that." if report.get("safety") else ""
    )


def _total(backup: Backup, wanted: Wanted) -> int | None:
    if wanted.picked:
        return None if wanted.folders else len(wanted.names or ())
    keys: dict[str, int] = backup.keys
    if not keys or wanted.match not in (b"", b"*") or wanted.type:
        return None
    return sum(keys.values()) if wanted.db is None else keys.get(str(wanted.db), 0)


def policy_of(params: dict[str, Any], backup: Backup) -> Policy:
    return Policy(
        params["existing"], params["ttl"], bool(params.get("expired")), moment_of(backup),
        beyond_trash=bool(params.get("beyond_trash")),
    )  # fmt: skip


def _restore(run: Run, backup: Backup, connection: Connection, told: dict[str, Any]) -> None:
    """`told` is the report as far as it has come, also when this fails."""
    total = _total(backup, wanted_of(run.params))
    run.report(done=0, total=total, unit="keys", phase="reading the backup", now=True)
    params, dry = run.params, bool(run.params.get("dry"))
    policy, wanted, target = policy_of(params, backup), wanted_of(params), Target(connection)
    back = None if params.get("empty") and not dry else TrashBack(run, connection)
    told["dry"] = dry
    if dry and params.get("empty"):
        told["there"] = {str(db): count for db, count in target.counts().items()}

    report = Report()

    def progress(report: Report) -> None:
        run.report(done=report.looked, total=total, phase="comparing" if dry else "restoring")

    try:
        if backup.format == "readable" and backup.state != Backup.State.LOADED:
            way, to_db = back or TrashBack(run, connection), params.get("to_db")
            found = restore_readable(backup, wanted, target, policy, to_db, progress, way.at, report, dry=dry)
            _put_functions(run, target, Libraries(code=lambda: found), told)
        else:
            _restore_from_source(run, backup, target, policy, back, progress, told, report)
    finally:
        told.update(report.as_dict())
        if back is not None and not dry:
            told["undo"] = back.summary()
    if params.get("empty") and not dry:
        told["counts"] = {str(db): count for db, count in target.counts().items()}


def _restore_from_source(
    run: Run, backup: Backup, target: Target, policy: Policy, back: TrashBack | None, progress: Callable[[Report], None],
    told: dict[str, Any], report: Report,
) -> None:  # fmt: skip
    wanted, dry, to_db = wanted_of(run.params), bool(run.params.get("dry")), run.params.get("to_db")

    def loading(done: int, size: int | None) -> None:
        run.report(done=done, total=size, unit="bytes", phase="loading the backup")

    with source_of(backup, wanted, loading) as source:
        run.report(done=0, total=_total(backup, wanted), unit="keys")
        fitting = _Fitting(source) if dry else None
        restore_pages(
            target.client, target.pages(source.pages), policy, progress=progress, dry=dry, to_db=to_db,
            fallback=source.typed, back=back.at if back else None, alike=Likeness(source, target).alike,
            look=fitting.look if fitting else None, report=report,
        )  # fmt: skip
        if fitting is not None:
            told |= fitting.result
        _put_functions(run, target, source.libraries, told)


def _put_functions(run: Run, target: Target, libraries: Libraries, told: dict[str, Any]) -> None:
    """They come with a restore of everything alone."""
    if wanted_of(run.params).everything:
        put = foresee_functions if run.params.get("dry") else restore_functions
        told["functions"] = put(target, libraries, emptied=bool(run.params.get("empty")))


class _Fitting:
    """Which keys the target does not take as they are, for a dry run."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._fit: Fit | None = None

    def look(self, db: int, wire: Wire, batch: list[Any]) -> None:
        if self._fit is None:
            self._fit = Fit(wire, lambda dump: self._source.typed(db, dump))
        self._fit.wire = wire
        self._fit.typed = lambda dump: self._source.typed(db, dump)
        self._fit.look_at(batch)

    @property
    def result(self) -> dict[str, Any]:
        fit = self._fit.as_dict() if self._fit else {"counts": {}, "examples": {}}
        return {"fit": fit, "incompatible": sum(fit["counts"].values())}


def _make_room(run: Run, connection: Connection) -> str:
    """The safety backup, then the target is emptied. Once each, also when the job starts again."""
    safety = take_safety_backup(run, connection)
    if not run.checkpoint.get("emptied"):
        target = Target(connection)
        run.report(phase="emptying the target", now=True)
        for client in target.primaries():
            client.flushall(asynchronous=True)
        run.report(checkpoint=run.checkpoint | {"emptied": True}, now=True)
    return safety


def take_safety_backup(run: Run, connection: Connection) -> str:
    """Its id; the one that was taken before a restart counts. Raises Conflict when it is not good."""
    if not run.checkpoint.get("safety"):
        safety = _safety_backup(run, connection)
        run.report(checkpoint=run.checkpoint | {"safety": str(safety.pk)}, now=True)
    return str(run.checkpoint["safety"])


def _safety_backup(run: Run, connection: Connection) -> Backup:
    kind, _ = choose_kind(connection.redis)
    backup = Backup(
        server=connection.server.name,
        kind=kind,
        person=run.actor.name,
        reason="before a restore",
        job=run.job,
    )
    backup.save(force_insert=True)
    making.make(run, backup)
    backup.refresh_from_db()
    if backup.state not in (Backup.State.LOADED, Backup.State.UNVERIFIABLE):
        raise Conflict(
            f"The safety backup is not good: {backup.state_note or backup.get_state_display()}",
            "Nothing was changed on the target.",
        )
    return backup
