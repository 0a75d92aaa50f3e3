"""Taking bulk work back: what it deleted is restored over no newer key, what a copy wrote over where it still is the copy; each with its
original end.
"""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import redis
from django.db.models import QuerySet
from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, check_permission, performs
from keyspace.bulk.away import begin_again
from keyspace.bulk.pace import Pace
from keyspace.bulk.putting_over import Over, payload_of
from keyspace.bulk.tally import Tally, tally_of
from keyspace.bulk.weighing import BATCH_BYTES
from keyspace.errors import Conflict, NotFound
from keyspace.images import digest_of
from keyspace.jobs import Run, find_job, job, start_job
from keyspace.models import Job, TrashEntry
from keyspace.servers import Client, Connection
from keyspace.wire import Wire, open_wire

AT_ONCE = 250
NEWER = "a newer key of this name is there; the trash still has this one"
PASSED = "its time has passed meanwhile"
NOT_YOURS = "your role does not cover it"


def taken_by(done: Job) -> QuerySet[TrashEntry]:
    """What the job has put into the trash and nobody has put back."""
    mine = TrashEntry.objects.filter(job=done, restored_at=None).order_by("pk")
    return mine.exclude(why=TrashEntry.Why.OVERWRITTEN, left="")


def _back(job_id: str) -> int:
    return TrashEntry.objects.filter(job=uuid.UUID(job_id), restored_at__isnull=False).count()


@performs(Permission.BULK)
def start_put_back(connection: Connection, *, job_id: uuid.UUID) -> Job:
    """Put back what a bulk delete of this db, or a copy to it, put into the trash. Raises NotFound, Conflict."""
    done = find_job(connection.actor, job_id)
    audit.tell(of=str(done.pk))
    if done.kind != "run_bulk" or _place_of(done) != (connection.server.name, connection.db):
        raise NotFound("There is no such bulk work here.")
    if done.unfinished:
        raise Conflict("The job is still running.", "Cancel it first, or wait.")
    count = taken_by(done).count()
    if not count:
        raise Conflict("There is nothing left to put back.", "It was done, or the trash has let go of it.")
    audit.tell(count=count)
    return start_job(
        connection.actor, "put_back", title=f"Put back {count} keys: {done.title}", server=connection.server.name, db=connection.db,
        total=count,
        params={"of": str(done.pk), "back": _back(str(done.pk))}, once=f"back-{done.pk.hex}-{count}",
    )  # fmt: skip


def _place_of(done: Job) -> tuple[str, int | None]:
    """Where the keys are that it changed."""
    to = done.params.get("copy")
    return (to["server"], to["db"]) if to else (done.server, done.db)


@job("put_back", permission=Permission.BULK, resumable=True)
def put_back(run: Run) -> dict[str, Any]:
    """What is back is marked in the trash, so that a restart goes on with the rest."""
    connection, tally = run.connection, tally_of(run.checkpoint.get("tally"))
    check_permission(connection, Permission.BULK)
    outcome, died = "failed", bool(run.checkpoint)
    try:
        begin_again(run, lambda: _put_all(run, connection, tally), has_written=lambda: tally.done > 0)
        if died:  # what came back after the last checkpoint was marked, and not counted
            tally.done = max(tally.done, _back(run.params["of"]) - run.params["back"])
        outcome = "done"
    finally:
        run.job.result, run.job.done = tally.as_dict(), tally.handled
        detail = {
            "job": str(run.job.pk),
            "of": run.params["of"],
            "done": tally.done,
            "skipped": tally.skipped,
        }
        audit.record(
            connection, "put_back", key=None, outcome=outcome, detail=detail | {"failed": tally.failed}
        )
    return tally.as_dict()


def _put_all(run: Run, connection: Connection, tally: Tally) -> None:
    pace, back = Pace(run, connection.redis), _Back(connection)
    after = run.checkpoint.get("after")
    for entries in _batches(run.params["of"], after):
        back.put(entries, tally)
        place = {"after": str(entries[-1].pk), "tally": tally.brief()}
        run.job.checkpoint = place
        if pace.time_to_tell():
            run.report(done=tally.handled, phase="putting back", checkpoint=place)
        pace.after(len(entries))


def _batches(job_id: str, after: str | None) -> Iterator[list[TrashEntry]]:
    """Entries in order of their ids, as many at once as fit BATCH_BYTES."""
    rows = taken_by(Job.objects.get(pk=job_id))
    while True:
        ahead = rows.filter(pk__gt=after) if after else rows
        sizes = list(ahead.values_list("pk", "dump_size")[:AT_ONCE])
        if not sizes:
            return
        held, chosen = 0, list[uuid.UUID]()
        for pk, size in sizes:
            if chosen and held + size > BATCH_BYTES:
                break
            chosen.append(pk)
            held += size
        after = str(chosen[-1])
        if entries := list(rows.filter(pk__in=chosen)):
            yield entries


class _Back:
    """Batches; one is counted when all of it is done, for one whose answers were lost comes by again."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._over = connection, Over(connection)

    def put(self, entries: list[TrashEntry], whole: Tally) -> None:
        now, access, tally = time.time() * 1000, self._connection.access, Tally()
        mine = [entry for entry in entries if access.may(Permission.BULK, bytes(entry.name))]
        tally.skip([bytes(entry.name) for entry in entries if entry not in mine], NOT_YOURS)
        alive = [entry for entry in mine if not entry.expires_at or entry.expires_at > now]
        tally.skip([bytes(entry.name) for entry in mine if entry not in alive], PASSED)
        over = [entry for entry in alive if entry.why == TrashEntry.Why.OVERWRITTEN]
        gone = [entry for entry in alive if entry.why != TrashEntry.Why.OVERWRITTEN]
        back = self._over.put(over, tally) if over else []
        back += _put_where_none_is(self._connection.redis, gone, tally) if gone else []
        TrashEntry.objects.filter(pk__in=[entry.pk for entry in back]).update(restored_at=timezone.now())
        tally.done = len(back)
        whole.add(tally)


def _put_where_none_is(client: Client, entries: list[TrashEntry], tally: Tally) -> list[TrashEntry]:
    """Those that are back."""
    payloads = [payload_of(entry) for entry in entries]
    back = []
    with open_wire(client) as wire:
        replies = wire.call_many(
            [
                ("RESTORE", bytes(entry.name), entry.expires_at or 0, payload, "ABSTTL")
                for entry, payload in zip(entries, payloads, strict=True)
            ]
        )
        for entry, payload, reply in zip(entries, payloads, replies, strict=True):
            if not isinstance(reply, Exception) or _is_back(wire, entry, payload, reply):
                back.append(entry)
            else:
                _refused(bytes(entry.name), reply, tally)
    return back


def _is_back(wire: Wire, entry: TrashEntry, payload: bytes, reply: Exception) -> bool:
    """It is there, and the same: by an earlier try whose answer was lost."""
    if "BUSYKEY" not in str(reply):
        return False
    return digest_of(wire.call("DUMP", bytes(entry.name))) == digest_of(payload)


def _refused(name: bytes, reply: Exception, tally: Tally) -> None:
    if isinstance(reply, redis.exceptions.OutOfMemoryError | redis.exceptions.ReadOnlyError):
        raise reply
    if "BUSYKEY" in str(reply):
        tally.skip([name], NEWER)
    else:
        tally.fail([name], str(reply)[:200])
