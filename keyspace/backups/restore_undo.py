"""Undo of a restore or an import: new keys go, what was overwritten comes back from the trash; each if it still is as it was left."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import redis
import zstandard
from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import making
from keyspace.backups.restore_report import EXAMPLES
from keyspace.backups.restore_target import Target
from keyspace.bulk.watched import execute
from keyspace.encoding import to_text
from keyspace.errors import Conflict, NotFound
from keyspace.images import digest_of
from keyspace.jobs import Run, find_job, job, start_job
from keyspace.models import Job, MadeKey, TrashEntry
from keyspace.servers import Connection
from keyspace.wire import Command, open_wire

_STEP = 500


@performs(Permission.RESTORE)
def undo_restore(connection: Connection, *, job_id: str) -> Job:
    """Begin the undo of a restore to this server; asked twice, it is the same job. Raises NotFound, Conflict."""
    done = find_job(connection.actor, job_id)
    audit.tell(restore=str(done.pk))
    if done.kind not in ("restore_backup", "import_keys") or done.server != connection.server.name:
        raise NotFound("There is no such restore of this server.")
    if done.unfinished:
        raise Conflict("The restore is still running.", "Cancel it first, or wait.")
    if not (_overwritten(done).exists() or MadeKey.objects.filter(job=done).exists()):
        raise Conflict("There is nothing left to undo.", "It was undone, or the trash has let go of it.")
    # What was undone can be gone on with, and undone again.
    undos = Job.objects.filter(kind="undo_restore", params__restore=str(done.pk))
    ended = undos.exclude(state__in=Job.UNFINISHED).count()
    return start_job(
        connection.actor, "undo_restore", title=f"Undo: {done.title}", server=done.server, db=done.db,
        params={"restore": str(done.pk)}, once=f"undo-{done.pk.hex}-{ended}",
    )  # fmt: skip


def _overwritten(done: Job) -> Any:
    return TrashEntry.objects.filter(job=done, restored_at=None).exclude(left="")


@job("undo_restore", permission=Permission.RESTORE, resumable=True)
def undo(run: Run) -> dict[str, Any]:
    """What was taken back is struck off the list, so a restart goes on."""
    done, connection = Job.objects.get(pk=run.params["restore"]), run.connection
    work = _Undoing(run, Target(connection))
    entries, made = _overwritten(done), MadeKey.objects.filter(job=done)
    run.report(done=0, total=entries.count() + made.count(), unit="keys", phase="undoing", now=True)
    try:
        for entry_id in list(entries.values_list("pk", flat=True)):
            work.put_back(TrashEntry.objects.get(pk=entry_id))
        for rows in iter(lambda: list(made.order_by("pk")[:_STEP]), []):
            for row in rows:
                work.remove(row)
            made.filter(pk__lte=rows[-1].pk).delete()
    finally:
        run.job.result = work.result()
    Job.objects.filter(pk=done.pk).update(result=done.result | {"undone": str(run.job.pk)})
    making.tell_keys(run, sum(work.counts.values()))
    return work.result()


class _Undoing:
    """Counts by outcome: put_back, removed, gone (somebody deleted it since), expired, changed (somebody wrote it since)."""

    def __init__(self, run: Run, target: Target) -> None:
        self._run, self._target = run, target
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}

    def result(self) -> dict[str, Any]:
        return {"counts": dict(self.counts), "examples": self._examples}

    def _count(self, outcome: str, name: bytes) -> None:
        self.counts[outcome] += 1
        examples = self._examples.setdefault(outcome, [])
        if len(examples) < EXAMPLES:
            examples.append(to_text(name)[:200])
        self._run.report(done=sum(self.counts.values()))

    def put_back(self, entry: TrashEntry) -> None:
        name, end = bytes(entry.name), entry.expires_at or 0
        expired = bool(end) and end <= time.time() * 1000

        def commands() -> list[Command]:
            if expired:
                return [("UNLINK", name)]
            payload = zstandard.decompress(bytes(entry.payload), max_output_size=entry.dump_size)
            return [("RESTORE", name, end, payload, "REPLACE", "ABSTTL")]

        outcome = self._write(entry.db, name, entry.left, commands)
        if outcome == "done":
            TrashEntry.objects.filter(pk=entry.pk).update(restored_at=timezone.now())
        self._count(("expired" if expired else "put_back") if outcome == "done" else outcome, name)

    def remove(self, row: MadeKey) -> None:
        name = bytes(row.name)
        outcome = self._write(row.db, name, row.left, lambda: [("UNLINK", name)])
        self._count("removed" if outcome == "done" else outcome, name)

    def _write(self, db: int, name: bytes, left: str, commands: Callable[[], list[Command]]) -> str:
        """`commands` in a MULTI, if the key still holds what the restore left: done, gone or changed."""
        with open_wire(self._target.at(db, name)) as wire:
            watched, payload = wire.call_many([("WATCH", name), ("DUMP", name)])
            _raise_any((watched, payload))
            if payload is None or digest_of(payload) != left:
                wire.call("UNWATCH")
                return "gone" if payload is None else "changed"
            replies = execute(wire, commands())
            _raise_any(replies or [])
            return "changed" if replies is None else "done"


def _raise_any(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, redis.RedisError):
            raise reply
