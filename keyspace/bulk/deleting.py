"""Deleting a batch: for good in one UNLINK, or with a way back, each key as it is in that moment."""

import time

import redis
from django.conf import settings

from keyspace.bulk.away import check_answered
from keyspace.bulk.tally import GONE, Tally
from keyspace.bulk.watched import execute, in_halves
from keyspace.bulk.weighing import Weighed, by_weight, weigh
from keyspace.changes import is_cluster
from keyspace.models import Job, TrashEntry
from keyspace.servers import Connection
from keyspace.trash_limits import prune
from keyspace.trash_rows import RowWriter, Taken, forget
from keyspace.wire import Command, Wire

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
        self._connection = connection
        self._rows = RowWriter(connection, job, why=TrashEntry.Why.DELETED, operation="run_bulk")
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
        taken = self._take(wire, batch, watch=True)
        there = {each.name for each in taken}
        gone = [each.name for each in batch if each.name not in there]
        if not taken:
            wire.call("UNWATCH")
            tally.skip(gone, GONE)
            return True
        entries = self._rows.write(taken)
        try:
            with tally.sending(list(there)):
                written = execute(wire, [("UNLINK", *there)])
        except redis.ResponseError:
            forget(entries)
            raise
        if written is None:
            forget(entries)
            return False
        tally.done, tally.trashed = tally.done + len(taken), tally.trashed + len(taken)
        tally.skip(gone, GONE)
        return True

    def _take_busy(self, wire: Wire, each: Weighed, tally: Tally) -> None:
        """A key that others write all the time: as it was a moment ago it is in the trash first, in case the connection breaks;
        then its last DUMP and UNLINK are one MULTI, and the trash gets that."""
        entries = self._rows.write(self._take(wire, [each]))
        try:
            with tally.sending([each.name]):
                payload, end, _ = execute(
                    wire, [("DUMP", each.name), (self._expiry, each.name), ("UNLINK", each.name)]
                ) or [None, -2, 0]
        except redis.ResponseError:
            forget(entries)
            raise
        if payload is None:
            tally.skip([each.name], GONE)
        else:
            self._rows.write([Taken(each.name, each.type, payload, self._end(end))])
            tally.done, tally.trashed = tally.done + 1, tally.trashed + 1
        forget(entries)

    def _end(self, reply: int) -> int | None:
        """When a key ends, in Unix ms, from what PEXPIRETIME or PTTL answered."""
        now = int(time.time() * 1000) if self._expiry == "PTTL" else 0
        return now + reply if reply >= 0 else None

    def _take(self, wire: Wire, batch: list[Weighed], *, watch: bool = False) -> list[Taken]:
        """Those that are still there, as they are."""
        watching: list[Command] = [("WATCH", *(each.name for each in batch))] if watch else []
        reading: list[Command] = [
            command for each in batch for command in (("DUMP", each.name), (self._expiry, each.name))
        ]
        replies = wire.call_many(watching + reading)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        del replies[: len(watching)]
        found = zip(batch, replies[::2], replies[1::2], strict=True)
        return [
            Taken(each.name, each.type, payload, self._end(end))
            for each, payload, end in found
            if payload is not None
        ]
