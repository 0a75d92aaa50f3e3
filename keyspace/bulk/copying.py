"""Copying a batch of keys to another db or server: DUMP here, RESTORE there, with the same point of expiry.

What the other server does not take as it is goes in its readable form, and so do giants: piece by piece, so that neither server stands
still for them. Doing it again does no harm.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.conf import settings

from keyspace.access import Permission, check_permission
from keyspace.backups.dumps import Dump
from keyspace.backups.restore import Pipeline, Policy, Report, restore_batch
from keyspace.backups.restore_alike import Likeness
from keyspace.backups.restore_back import TrashBack
from keyspace.backups.restore_source import Source
from keyspace.backups.restore_target import Target
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.typed import NotTyped, TypedPiece, read_typed
from keyspace.bulk.expiring import reader_of_ends
from keyspace.bulk.tally import GONE, Tally
from keyspace.bulk.weighing import Weighed, by_weight, weigh
from keyspace.copying import rdb_version
from keyspace.import_fit import Fit
from keyspace.jobs import Run, connect
from keyspace.servers import Client, Connection
from keyspace.types import type_of
from keyspace.wire import Wire, open_wire

EXISTING = {"skip": "leave what is there", "different": "overwrite what differs, through the trash there"}
THERE = "a key of this name is there already"
SAME = "the same is there already"
MASKED = "its value is masked for you here and would not be there"
NOT_YOURS_THERE = "your role on the other server does not cover it"
EXPIRED = "it expired meanwhile"
LARGE = "too large to be written over another key in one piece"
LARGE_THERE = "what is there is too large for the trash, so it was left alone"


def target_of(run: Run) -> Connection:
    """Where the job copies to, with the person's rights as they are now."""
    to = run.params["copy"]
    return connect(run.actor, to["server"], to["db"])


def check_copy(source: Connection, target: Connection) -> None:
    """Reading many values here, changing many keys there. Raises Denied."""
    check_permission(source, Permission.REVEAL_VALUES)
    check_permission(target, Permission.BULK)


class Told(Report):
    """A Report that tells a Tally of each key by name."""

    tally: Tally

    def note(self, kind: str, name: bytes, problem: str = "") -> None:
        if kind == "failed":
            self.tally.fail([name], problem[:200])
        elif kind in _REASONS:
            self.tally.skip([name], _REASONS[kind])

    def settle(self) -> None:
        """The rest: written, and left alone without a name."""
        self.tally.done += self.restored
        self.tally.readable += self.typed
        noted = sum(self.tally.reasons.get(reason, 0) for reason in (THERE, SAME, LARGE_THERE))
        self.tally.count_skipped(self.skipped - noted, THERE)


_REASONS = {"skipped": THERE, "same": SAME, "expired": EXPIRED, "too_large": LARGE_THERE}


class OverwrittenInTrash(TrashBack):
    """What is overwritten goes into the target's trash; new keys are not noted."""

    def __init__(self, run: Run, target: Connection) -> None:
        super().__init__(run, target)
        self._beyond = True
        self.kept = 0

    def keep(self, lost: list[Dump]) -> set[bytes]:
        refused = super().keep(lost)
        self.kept += len(lost) - len(refused)
        return refused

    def forget(self, lost: list[Dump]) -> None:
        self.kept -= len(self._entries)
        super().forget(lost)


class Copier:
    """From one db to another. `client` is the source's, for values that are read in pieces."""

    def __init__(self, run: Run, source: Connection, client: Client, target: Connection) -> None:
        self._run, self._source, self._client, self._to = run, source, client, target
        self.target = Target(target)
        self._policy = Policy(run.params["copy"]["existing"])
        self._ends = reader_of_ends(source)
        self._alike = Likeness(Source(iter(()), self._typed, lambda db, dumps: client), self.target)

    @property
    def target_client(self) -> Client:
        return self.target.client(self._to.db)

    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None:
        for batch, giants in self._batches(wire, self._allowed(names, tally), tally):
            dumps = self._dump(wire, batch)
            there = {dump.name for dump in dumps}
            tally.skip([each.name for each in batch if each.name not in there], GONE)
            tally.add(self._write(dumps))
            for giant in giants:
                tally.add(self._carry(wire, giant))

    def _allowed(self, names: list[bytes], tally: Tally) -> list[bytes]:
        here, there = self._source.access, self._to.access
        foreign = [name for name in names if not there.may(Permission.BULK, name)]
        masked = [name for name in names if here.masked(name) and not there.masked(name)]
        tally.skip(foreign, NOT_YOURS_THERE)
        tally.skip(set(masked) - set(foreign), MASKED)
        refused = {*foreign, *masked}
        return [name for name in names if name not in refused] if refused else names

    def _batches(
        self, wire: Wire, names: list[bytes], tally: Tally
    ) -> Iterator[tuple[list[Weighed], list[Weighed]]]:
        """(keys that are dumped at once, giants)."""
        weighed = weigh(self._source, wire, names)
        there = {each.name for each in weighed}
        tally.skip([name for name in names if name not in there], GONE)
        giants = [each for each in weighed if _in_pieces(each)]
        yield [], giants
        for batch in by_weight([each for each in weighed if not _in_pieces(each)]):
            yield batch, []

    def _dump(self, wire: Wire, batch: list[Weighed]) -> list[Dump]:
        names = [each.name for each in batch]
        payloads = wire.call_many([("DUMP", name) for name in names])
        for payload in payloads:
            if isinstance(payload, Exception):
                raise payload
        found = zip(names, payloads, self._ends(wire, names), strict=True)
        return [
            Dump(name, end if end > 0 else None, payload)
            for name, payload, end in found
            if payload is not None
        ]

    def _write(self, dumps: list[Dump]) -> Tally:
        report = Told()
        report.tally = Tally()
        back = OverwrittenInTrash(self._run, self._to)
        for _, part in self.target.pages(iter([(self._to.db, dumps)] if dumps else [])):
            with open_wire(self.target_client) as there:
                pipeline = self._pipeline(there, report, back)
                restore_batch(pipeline, part, self._policy, report)
                pipeline.settle()
        report.settle()
        report.tally.trashed = back.kept
        return report.tally

    def _pipeline(self, there: Wire, report: Report, back: TrashBack | None) -> Pipeline:
        db = self._to.db
        return Pipeline(
            there, self._policy, report, lambda dump: self._typed(self._source.db, dump), back=back.at(db) if back else None,
            alike=partial(self._alike.alike, self._source.db, db),
        )  # fmt: skip

    def _typed(self, db: int, dump: Dump) -> Iterator[TypedPiece]:
        kind: bytes = self._client.execute_command("TYPE", dump.name)
        return read_typed(self._client, db, dump.name, kind.decode(), dump.expires)

    def _carry(self, wire: Wire, giant: Weighed) -> Tally:
        """A giant, piece by piece; never over another key."""
        told, name = Tally(), giant.name
        end = self._ends(wire, [name])[0]
        with open_wire(self.target.at(self._to.db, name)) as there:
            if there.call("EXISTS", name):
                told.skip([name], THERE if self._policy.existing == "skip" else LARGE)
                return told
            pieces = read_typed(self._client, self._source.db, name, giant.type, end if end > 0 else None)
            try:
                problem = write_typed(there, name, self._watched(pieces), max(end, 0), replace=False)
            except NotTyped as refused:
                problem = refused.sentence
        if problem is None:
            told.done, told.readable = 1, 1
        elif problem == "there":
            told.skip([name], THERE)
        else:
            told.fail([name], problem[:200])
        return told

    def _watched(self, pieces: Iterator[TypedPiece]) -> Iterator[TypedPiece]:
        """A giant takes a while: cancel and pause are heard between its pieces."""
        for piece in pieces:
            self._run.check()
            yield piece


def _in_pieces(each: Weighed) -> bool:
    """Whether it is too large to be carried whole. Of a module's value nobody tells the size; DUMP is the only way for most."""
    if each.memory is None:
        return not type_of(each.type).memory_walks
    return bool(each.memory > settings.TRASH_KEY_BYTES)


class Comparer(Copier):
    """The dry run: what is there already, and what the target does not take. Writes nothing."""

    def __init__(self, run: Run, source: Connection, client: Client, target: Connection) -> None:
        super().__init__(run, source, client, target)
        self._report, self._left_out = Report(), Tally()
        self._giants: list[Weighed] = []
        self._fit: Fit | None = None

    def look(self, wire: Wire, names: list[bytes]) -> None:
        for batch, giants in self._batches(wire, self._allowed(names, self._left_out), self._left_out):
            self._giants += giants
            dumps = self._dump(wire, batch)
            for _, part in self.target.pages(iter([(self._to.db, dumps)] if dumps else [])):
                with open_wire(self.target_client) as there:
                    restore_batch(
                        self._pipeline(there, self._report, None), part, self._policy, self._report, dry=True
                    )
                    self._try(there, part)

    def _try(self, there: Wire, part: list[Dump]) -> None:
        self._fit = self._fit or Fit(there, lambda dump: self._typed(self._source.db, dump))
        self._fit.wire = there
        self._fit.look_at(part)

    def as_dict(self) -> dict[str, Any]:
        report = self._report
        fit = self._fit.as_dict() if self._fit else {"counts": {"readable": 0, "no": 0}, "examples": {}}
        return {
            "new": report.new, "same": report.same, "different": report.different, "expired": report.expired,
            "left_out": {r: n for r, n in self._left_out.reasons.items() if r != GONE}, "giants": len(self._giants), "fit": fit,
            "versions": [rdb_version(self._source), rdb_version(self._to)],
        }  # fmt: skip
