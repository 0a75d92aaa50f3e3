"""Restoring a backup as a job: chosen keys or everything, dry or for good, to the server it came from or another."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import redis
from django.utils import timezone

from keyspace.access import Permission
from keyspace.backups import making, store
from keyspace.backups.archive import ArchiveWriter
from keyspace.backups.dumps import Dump, payload_version
from keyspace.backups.rdb import Damaged
from keyspace.backups.readable import read_readable
from keyspace.backups.restore import Policy, Report, restore_pages
from keyspace.backups.restore_source import Source, Wanted, chosen, source_of, wanted_of
from keyspace.backups.restore_target import Target
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.typed import TypedPiece
from keyspace.errors import Conflict
from keyspace.jobs import Run, job
from keyspace.models import Backup
from keyspace.servers import Client, Connection, client_of
from keyspace.wire import open_wire


def target_clients(connection: Connection) -> Callable[[int], Client]:
    return lambda db: client_of(connection.server, db=db)


@job("restore_backup", permission=Permission.RESTORE, resumable=True)
def restore_backup(run: Run) -> dict[str, Any]:
    """Doing it again does no harm, so a restart begins anew; what was emptied is not emptied twice."""
    backup, connection = Backup.objects.get(pk=run.params["backup"]), run.connection
    began = time.monotonic()
    report: dict[str, Any] = {}
    if run.params.get("empty"):
        report["safety"] = _make_room(run, connection)
    total = _total(backup, wanted_of(run.params))
    run.report(done=0, total=total, unit="keys", phase="reading the backup", now=True)
    try:
        report |= _restore(run, backup, connection, total)
    except Damaged as error:
        raise Conflict(f"The backup is damaged: {error.reason}.", _how_far(run, report)) from error
    except (redis.RedisError, Conflict) as error:
        run.job.result = report | {"restored": run.job.done}
        if report.get("safety"):
            raise Conflict(f"The restore stopped: {error}", _how_far(run, report)) from error
        raise
    making.tell_keys(run, report["looked"])
    report["seconds"] = round(time.monotonic() - began, 2)
    return report


def _how_far(run: Run, report: dict[str, Any]) -> str:
    told = f"{run.job.done} keys had been put back."
    return told + (
        " The safety backup holds what was there before: restore that." if report.get("safety") else ""
    )


def _total(backup: Backup, wanted: Wanted) -> int | None:
    if wanted.names is not None:
        return len(wanted.names)
    keys: dict[str, int] = backup.keys
    if not keys or wanted.match not in (b"", b"*") or wanted.type:
        return None
    return sum(keys.values()) if wanted.db is None else keys.get(str(wanted.db), 0)


def _restore(run: Run, backup: Backup, connection: Connection, total: int | None) -> dict[str, Any]:
    params = run.params
    dry = bool(params.get("dry"))
    policy = Policy(
        params["existing"],
        params["ttl"],
        bool(params.get("expired")),
        int(backup.created_at.timestamp() * 1000),
    )
    wanted, target = wanted_of(params), Target(connection)

    def progress(report: Report) -> None:
        run.report(done=report.looked, total=total, phase="comparing" if dry else "restoring")

    def loading(done: int, size: int | None) -> None:
        run.report(done=done, total=size, unit="bytes", phase="loading the backup")

    functions = ""
    with _Overwritten(run, connection) as kept:
        if backup.files[0]["name"].endswith(".jsonl.zst") and not dry:
            report = _restore_readable(backup, wanted, target, policy, params.get("to_db"), progress)
        else:
            with source_of(backup, wanted, loading) as source:
                run.report(done=0, total=total, unit="keys")
                report = restore_pages(
                    target.client, target.pages(source.pages), policy, progress=progress, dry=dry, to_db=params.get("to_db"),
                    fallback=source.typed, keep=kept.keep,
                )  # fmt: skip
                functions = (
                    _restore_functions(target, source, policy) if wanted.everything and not dry else ""
                )
        overwritten = kept.finish()
    report_dict = report.as_dict() | {"dry": dry, "overwritten": overwritten, "functions": functions}
    if dry and report.looked:
        report_dict["incompatible"] = _incompatible(run, backup, wanted, target, loading)
    if params.get("empty") and not dry:
        report_dict["counts"] = {str(db): count for db, count in target.counts().items()}
    return report_dict


def _restore_functions(target: Target, source: Source, policy: Policy) -> str:
    """The function libraries, on every primary; in words what came of it."""
    libraries = source.functions()
    if not libraries or len(libraries) <= 10:  # an empty dump is version and checksum
        return ""
    way = "APPEND" if policy.existing == "skip" else "REPLACE"
    try:
        for client in target.primaries():
            client.execute_command("FUNCTION", "RESTORE", libraries, way)
    except redis.ResponseError as error:
        return f"The function libraries were not restored: {error}."
    return "The function libraries were restored."


def _incompatible(
    run: Run, backup: Backup, wanted: Wanted, target: Target, loading: Callable[[int, int | None], None]
) -> dict[str, Any]:
    """Whether the target takes the payloads, tried with one that is gone in a millisecond; else they go by their typed form."""
    with source_of(backup, wanted, loading) as source:
        _, page = next(iter(target.pages(source.pages)), (0, []))
        if not page:
            return {}
        dump = page[0]
        client = target.client(0)
        probe = b"keyspace-console:probe:{" + dump.name + b"}" if target.shards else b"keyspace-console:probe"
        try:
            client.restore(probe, 1, dump.payload)
            client.delete(probe)
        except redis.ResponseError as error:
            return {
                "version": payload_version(dump.payload),
                "sentence": f"The target does not take the payloads as they are ({error}): keys go by their readable form.",
            }
    return {}


def _restore_readable(
    backup: Backup,
    wanted: Wanted,
    target: Target,
    policy: Policy,
    to_db: int | None,
    progress: Callable[[Report], None],
) -> Report:
    """Key by key from the lines of a readable export."""
    report = Report()
    for stored in backup.files:
        with store.open_file(stored["name"]) as source:
            for first, pieces in read_readable(source):
                stand_in = Dump(first.name, first.expires, b"\x00" * 11)
                if not chosen(
                    Wanted(wanted.match, "", wanted.names, wanted.db), first.db, [stand_in]
                ) or wanted.type not in ("", first.type):
                    continue
                report.looked += 1
                _, page = next(target.pages(iter([(first.db, [stand_in])])))
                _restore_line(
                    target.client(first.db if to_db is None else to_db), page[0], pieces, policy, report
                )
                progress(report)
    return report


def _restore_line(
    client: Client, key: Dump, pieces: Iterable[TypedPiece], policy: Policy, report: Report
) -> None:
    now = time.time() * 1000
    if key.expires is not None and key.expires <= now and policy.ttl == "original" and not policy.expired:
        report.expired += 1
        return
    expires = 0 if key.expires is None or policy.ttl == "none" else key.expires
    if expires and policy.ttl == "remaining":
        expires = int(now) + max(1, expires - policy.moment)
    with open_wire(client) as wire:
        problem = write_typed(wire, key.name, pieces, expires, replace=policy.existing != "skip")
    if problem is None:
        report.restored, report.typed = report.restored + 1, report.typed + 1
    elif problem == "there":
        report.skipped += 1
        report.note("skipped", key.name)
    else:
        report.failed += 1
        report.note("failed", key.name, problem)


def _make_room(run: Run, connection: Connection) -> str:
    """The safety backup, then the target is emptied. Once each, also when the job starts again."""
    done = dict(run.checkpoint)
    if not done.get("safety"):
        safety = _safety_backup(run, connection)
        done["safety"] = str(safety.pk)
        run.report(checkpoint=done, now=True)
    if not done.get("emptied"):
        target = Target(connection)
        run.report(phase="emptying the target", now=True)
        for client in target.primaries():
            client.flushall(asynchronous=True)
        run.report(checkpoint=done | {"emptied": True}, now=True)
    return str(done["safety"])


def _safety_backup(run: Run, connection: Connection) -> Backup:
    kind, _ = making.choose_kind(connection.redis)
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


class _Overwritten:
    """What a restore replaces goes into an archive of its own: the way back. No file when nothing was replaced."""

    def __init__(self, run: Run, connection: Connection) -> None:
        self._run, self._connection = run, connection
        self._backup: Backup | None = None
        self._part: store.Part | None = None
        self._writer: ArchiveWriter | None = None

    def __enter__(self) -> "_Overwritten":
        return self

    def keep(self, db: int, lost: list[Dump]) -> None:
        if self._writer is None:
            name = self._connection.server.name
            self._backup = Backup(
                server=name,
                kind=Backup.Kind.EXPORT,
                person=self._run.actor.name,
                job=self._run.job,
                reason="what a restore overwrote",
            )
            self._part = store.Part(f"{self._backup.pk}/0.ksarch")
            self._writer = ArchiveWriter(
                self._part.write, {"server": name, "made_at": int(time.time() * 1000)}
            )
        self._writer.add(db, lost)

    def finish(self) -> dict[str, Any] | None:
        if self._writer is None or self._part is None or self._backup is None:
            return None
        self._writer.finish()
        kept = self._part.commit()
        backup, self._part = self._backup, None
        backup.files = [{"name": kept.name, "size": kept.size, "sha256": kept.sha256, "node": ""}]
        backup.keys = {str(db): count for db, count in self._writer.counts.keys.items()}
        backup.size, backup.format, backup.state = kept.size, "archive", Backup.State.WHOLE
        backup.created_at = timezone.now()
        backup.save(force_insert=True)
        return {"backup": str(backup.pk), "keys": self._writer.counts.total}

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Also after a failure half-way: what was replaced until then can be put back."""
        if self._part is not None and self._writer is not None:
            part = self._part
            try:
                self.finish()
            finally:
                part.__exit__(kind, error, trace)
