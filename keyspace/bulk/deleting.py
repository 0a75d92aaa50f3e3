"""Deleting a batch: for good in one UNLINK, or with a way back, each key as it is in that moment."""

import time

import redis
import zstandard
from django.conf import settings

from keyspace.bulk.away import check_answered
from keyspace.bulk.tally import GONE, Tally
from keyspace.bulk.watched import execute, in_halves
from keyspace.bulk.weighing import Weighed, by_weight, weigh
from keyspace.changes import is_cluster
from keyspace.models import Job, TrashEntry
from keyspace.servers import Connection
from keyspace.trash_limits import prune
from keyspace.wire import Wire

TRASH_BATCH = 100
PRUNE_SECONDS = 5.0
TOO_LARGE = "too large for the trash, so it was left alone"
NOT_MEASURED = "the server does not tell its size, so it was left alone"


class Delete:
    """UNLINK without a way back. In a cluster one command a key: their slots differ."""

    def __init__(self, connection: Connection) -> None:
        self._one_by_one = is_cluster(connection)

    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None:
        if not self._one_by_one:
            with tally.sending(names):
                deleted = wire.call("UNLINK", *names)
            tally.done += deleted
            tally.count_skipped(len(names) - deleted, GONE)
            return
        with tally.sending(names):
            replies = wire.call_many([("UNLINK", name) for name in names])
            check_answered(replies)
        for name, reply in zip(names, replies, strict=True):
            if isinstance(reply, Exception):
                tally.fail([name], str(reply)[:200])
        tally.done += sum(reply == 1 for reply in replies)
        tally.skip([name for name, reply in zip(names, replies, strict=True) if reply == 0], GONE)


class DeleteIntoTrash:
    """Each key's DUMP is in the trash before it is unlinked, and only what is still as it was dumped is unlinked."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection, self._job = connection, job
        self._expiry = "PEXPIRETIME" if connection.supports("PEXPIRETIME") else "PTTL"
        self._batch = 1 if is_cluster(connection) else TRASH_BATCH
        self._pruned = time.monotonic()

    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None:
        for at in range(0, len(names), self._batch):
            for batch in by_weight(self._fitting(wire, names[at : at + self._batch], tally)):
                in_halves(
                    batch,
                    lambda part: self._try(wire, part, tally),
                    lambda one: self._take_busy(wire, one, tally),
                )
        if time.monotonic() - self._pruned > PRUNE_SECONDS:
            prune()
            self._pruned = time.monotonic()

    def _fitting(self, wire: Wire, names: list[bytes], tally: Tally) -> list[Weighed]:
        """What fits the trash; the rest is skipped."""
        weighed, most = weigh(self._connection, wire, names), settings.TRASH_KEY_BYTES
        there = {each.name for each in weighed}
        tally.skip([name for name in names if name not in there], GONE)
        tally.skip([each.name for each in weighed if each.memory is None], NOT_MEASURED)
        tally.skip(
            [each.name for each in weighed if each.memory is not None and each.memory > most], TOO_LARGE
        )
        return [each for each in weighed if each.memory is not None and each.memory <= most]

    def _try(self, wire: Wire, batch: list[Weighed], tally: Tally) -> bool:
        wire.call("WATCH", *(each.name for each in batch))
        entries = self._images(wire, batch)
        there = {bytes(entry.name) for entry in entries}
        gone = [each.name for each in batch if each.name not in there]
        if not entries:
            wire.call("UNWATCH")
            tally.skip(gone, GONE)
            return True
        TrashEntry.objects.bulk_create(entries)
        try:
            with tally.sending(list(there)):
                written = execute(wire, [("UNLINK", *there)])
        except redis.ResponseError:
            _forget(entries)
            raise
        if written is None:
            _forget(entries)
            return False
        tally.done, tally.trashed = tally.done + len(entries), tally.trashed + len(entries)
        tally.skip(gone, GONE)
        return True

    def _take_busy(self, wire: Wire, each: Weighed, tally: Tally) -> None:
        """A key that others write all the time: as it was a moment ago it is in the trash first, in case the connection breaks;
        then its last DUMP and UNLINK are one MULTI, and the trash gets that."""
        entries = self._images(wire, [each])
        TrashEntry.objects.bulk_create(entries)
        try:
            with tally.sending([each.name]):
                payload, end, _ = execute(
                    wire, [("DUMP", each.name), (self._expiry, each.name), ("UNLINK", each.name)]
                ) or [None, -2, 0]
        except redis.ResponseError:
            _forget(entries)
            raise
        if payload is None:
            tally.skip([each.name], GONE)
        else:
            self._entry(each, payload, self._end(end)).save(force_insert=True)
            tally.done, tally.trashed = tally.done + 1, tally.trashed + 1
        _forget(entries)

    def _end(self, reply: int) -> int | None:
        """When a key ends, in Unix ms, from what PEXPIRETIME or PTTL answered."""
        now = int(time.time() * 1000) if self._expiry == "PTTL" else 0
        return now + reply if reply >= 0 else None

    def _images(self, wire: Wire, batch: list[Weighed]) -> list[TrashEntry]:
        """Entries, not yet stored, of those that are still there."""
        commands = [command for each in batch for command in (("DUMP", each.name), (self._expiry, each.name))]
        replies = wire.call_many(commands)
        entries = []
        for each, payload, end in zip(batch, replies[::2], replies[1::2], strict=True):
            for reply in (payload, end):
                if isinstance(reply, Exception):
                    raise reply
            if payload is not None:
                entries.append(self._entry(each, payload, self._end(end)))
        return entries

    def _entry(self, each: Weighed, payload: bytes, expires_at: int | None) -> TrashEntry:
        actor, stored = self._connection.actor, zstandard.compress(payload, 1)
        return TrashEntry(
            server=self._connection.server.name, db=self._connection.db, name=each.name, type=each.type, length=None,
            why=TrashEntry.Why.DELETED, operation="run_bulk", person=actor.name,
            user=actor.user if getattr(actor.user, "pk", None) else None, expires_at=expires_at, payload=stored,
            dump_size=len(payload), stored_size=len(stored), job=self._job,
        )  # fmt: skip


def _forget(entries: list[TrashEntry]) -> None:
    """Nothing was deleted. After a lost connection nobody knows, so there they stay: an entry too many does no harm."""
    TrashEntry.objects.filter(pk__in=[entry.pk for entry in entries]).delete()
