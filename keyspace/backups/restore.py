"""Putting keys back: RESTORE with absolute times in pipelines, the typed form where a server cannot take the payload.

`restore_pages` is the engine for all of it: a dry run, a restore, a copy. It holds one page. Doing the same again does no harm.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

import redis

from keyspace.backups.dumps import Dump
from keyspace.backups.restore_look import Alike, Found, Looker
from keyspace.backups.restore_report import EXAMPLES, EXISTING, TTLS, Policy, Report
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.restore_way import Keep, Kept, WayBack
from keyspace.backups.typed import TypedPiece
from keyspace.bulk.watched import in_halves
from keyspace.servers import Client
from keyspace.wire import Command, Wire, open_wire, pack

__all__ = [
    "EXAMPLES",
    "EXISTING",
    "TTLS",
    "Pipeline",
    "Policy",
    "Report",
    "WayBack",
    "restore_batch",
    "restore_pages",
]
_BATCH, _BATCH_BYTES = 250, 4 * 1024 * 1024
_BUSY = "It changes all the time; nothing was written."
_TOO_LARGE = "left alone: what is there is too large for the trash"
Fallback = Callable[[Dump], Iterable[TypedPiece]]


class Pipeline:
    """Batches of RESTORE on a wire, one of them under way while the next is prepared."""

    def __init__(
        self, wire: Wire, policy: Policy, report: Report, fallback: Fallback | None, *,
        back: WayBack | None = None, alike: Alike | None = None,
    ) -> None:  # fmt: skip
        self.wire, self._policy, self._report, self._fallback = wire, policy, report, fallback
        self.back = back or WayBack()
        self.looker = Looker(wire, policy, alike)
        self._waiting: deque[tuple[list[Dump], bool]] = deque()

    def send(self, chosen: list[Dump]) -> None:
        """Keys that must not be there; those that are stay."""
        noted = self.back.notes_new
        commands = [
            pack(_restore(dump, self._policy)) + (pack(("DUMP", dump.name)) if noted else b"")
            for dump in chosen
        ]
        self.wire.send(b"".join(commands))
        self._waiting.append((chosen, noted))
        self.settle(most=1)

    def settle(self, *, most: int = 0) -> None:
        """Read replies until at most `most` batches are under way; a key that was refused waits until none is."""
        refused: list[tuple[Dump, Exception]] = []
        while len(self._waiting) > most:
            refused += self._receive()
            most = 0 if refused else most
        for dump, reply in refused:
            self._fall_back(dump, reply)

    def _receive(self) -> list[tuple[Dump, Exception]]:
        chosen, noted = self._waiting.popleft()
        replies = self.wire.receive(len(chosen) * (1 + noted))
        answers, dumps = (replies[::2], replies[1::2]) if noted else (replies, [None] * len(chosen))
        if not noted and answers.count(b"OK") == len(chosen):
            self._report.restored += len(chosen)
            self.back.wrote([(dump.name, None, False) for dump in chosen])
            return []
        refused, written = [], []
        for dump, answer, now in zip(chosen, answers, dumps, strict=True):
            if not isinstance(answer, Exception):
                written.append((dump.name, now if isinstance(now, bytes) else None, False))
            elif "BUSYKEY" in str(answer):
                self._report.count("skipped", dump.name)
            else:
                refused.append((dump, answer))
        self._report.restored += len(written)
        self.back.wrote(written)
        return refused

    def overwrite(self, batch: list[Dump]) -> bool:
        """Look at the keys and write them as one; False when one of them changed between, and nothing was written."""
        try:
            found = self.looker.look(batch, watch=True)
        except redis.exceptions.ClusterCrossSlotError:
            return False  # one key alone is in one slot
        chosen = [each for each in found if _wants(each, self._policy)]
        lost = [each.old for each in chosen if each.old is not None and each.kind == "different"]
        refused = self.back.keep(lost) if lost else set()
        kept = {old.name for old in lost} - refused
        refused |= {each.dump.name for each in chosen if each.large}
        if not self._policy.beyond_trash:
            chosen = [each for each in chosen if each.dump.name not in refused]
        if chosen and not self._write(chosen, kept):
            self.back.forget(lost)
            return False
        if not chosen:
            self.wire.call("UNWATCH")
        self._tell(found, chosen, refused)
        return True

    def _write(self, chosen: list[Found], kept: set[bytes]) -> bool:
        """In one MULTI; a key that the server refuses is written by its typed form behind it."""
        new = {each.dump.name for each in chosen if each.kind == "new"}
        noted = list(kept | (new if self.back.notes_new else set()))
        commands: list[Command] = [("MULTI",)]
        commands += [(*_restore(each.dump, self._policy), "REPLACE") for each in chosen]
        replies = self.wire.call_many([*commands, *[("DUMP", name) for name in noted], ("EXEC",)])
        if replies[-1] is None:
            return False
        _raise_first(replies)
        answers, now = replies[-1][: len(chosen)], dict(zip(noted, replies[-1][len(chosen) :], strict=True))
        written = [each.dump.name for each, answer in zip(chosen, answers, strict=True) if answer == b"OK"]
        self._report.restored += len(written)
        self.back.wrote([(name, now.get(name), name in kept) for name in written if name in kept | new])
        for each, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, Exception):
                name = each.dump.name
                self._fall_back(each.dump, answer, noted=name in kept | new, replaces=name in kept)
        return True

    def _tell(self, found: list[Found], chosen: list[Found], refused: set[bytes]) -> None:
        writing = {each.dump.name for each in chosen}
        for each in found:
            name = each.dump.name
            self._report.count(each.kind, name)
            if name in writing:
                if name in refused:
                    self._report.count("lost", name)
                continue
            self._report.skipped += 1
            if name in refused:
                self._report.too_large += 1
                self._report.note("too_large", name, _TOO_LARGE)
            elif each.newer:
                self._report.count("newer", name)

    def _fall_back(self, dump: Dump, reply: Exception, *, noted: bool = True, replaces: bool = False) -> None:
        """`noted`: it is new, or (`replaces`) what was there is kept: the way back has to know it."""
        _raise_first([reply] if isinstance(reply, _ENDS_IT) else [])
        problem = str(reply)
        if self._fallback is not None and ("Bad data format" in problem or "DUMP payload" in problem):
            replace = self._policy.existing != "skip"
            typed = self._fallback(dump)
            problem = (
                write_typed(self.wire, dump.name, typed, self._policy.expiry(dump), replace=replace) or ""
            )
        if problem == "there":
            self._report.skipped += 1
        elif problem:
            self._report.failed += 1
            self._report.note("failed", dump.name, problem)
        else:
            self._report.restored, self._report.typed = self._report.restored + 1, self._report.typed + 1
            if noted:
                now = self.wire.call("DUMP", dump.name) if self.back.notes_new or replaces else None
                self.back.wrote([(dump.name, now, replaces)])


_ENDS_IT = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoPermissionError,
)


def _raise_first(replies: Iterable[object]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def _wants(found: Found, policy: Policy) -> bool:
    """Whether the policy writes this key."""
    if found.kind == "new":
        return True
    if policy.existing == "older":
        return found.kind == "different" and not found.newer
    return policy.existing == "overwrite" or (policy.existing == "different" and found.kind == "different")


def restore_batch(
    pipeline: Pipeline,
    batch: list[Dump],
    policy: Policy,
    report: Report,
    *,
    keep: Keep | None = None,
    dry: bool = False,
) -> None:
    """Put some keys into the wire's db (or, `dry`, count what would happen). `keep` gets what is about to be overwritten; the names
    it answers with are left alone. Where the pipeline has a WayBack of its own, that is told instead."""
    report.looked += len(batch)
    if keep is not None:
        pipeline.back = Kept(keep)
    alive = batch
    if any(dump.expires is not None for dump in batch):
        alive = [dump for dump in batch if not policy.leaves_out(dump)]
        for dump in batch if len(alive) < len(batch) else ():
            if policy.leaves_out(dump):
                report.count("expired", dump.name)
    if not alive:
        return
    if dry:
        _count(pipeline, alive, policy, report)
    elif policy.existing == "skip":
        pipeline.send(alive)
    else:
        pipeline.settle()
        in_halves(alive, pipeline.overwrite, lambda dump: _give_up(dump, report))


def _give_up(dump: Dump, report: Report) -> None:
    report.failed += 1
    report.note("failed", dump.name, _BUSY)


def _count(pipeline: Pipeline, alive: list[Dump], policy: Policy, report: Report) -> None:
    """What would become of the keys; nothing is written."""
    for each in pipeline.looker.look(alive):
        name = each.dump.name
        report.count(each.kind, name)
        if not _wants(each, policy):
            report.skipped += 1
            if each.newer and policy.existing == "older":
                report.count("newer", name)
        elif each.large or (each.old and each.kind == "different" and not pipeline.back.fits(each.old)):
            report.count("lost" if policy.beyond_trash else "too_large", name)


def _restore(dump: Dump, policy: Policy) -> Command:
    expires = 0 if dump.expires is None else policy.expiry(dump)
    return (b"RESTORE", dump.name, expires, dump.payload, b"ABSTTL")


def restore_pages(
    target: Callable[[int], Client], pages: Iterable[tuple[int, list[Dump]]], policy: Policy, *, progress: Callable[[Report], None],
    back: Callable[[int], WayBack] | None = None, fallback: Callable[[int, Dump], Iterable[TypedPiece]] | None = None,
    alike: Callable[[int, int, Dump], bool] | None = None, look: Callable[[int, Wire, list[Dump]], None] | None = None,
    dry: bool = False, to_db: int | None = None,
) -> Report:  # fmt: skip
    """Put pages of (db, keys) into the dbs of a server (`to_db`: all into that one). `progress` is called after each batch.

    `back` gives the WayBack of a target's db; `fallback` and `alike` read a key of the source's db; `look` sees each batch, too.
    """
    report = Report()
    for db, page in pages:
        into = db if to_db is None else to_db
        with open_wire(target(into)) as wire:
            pipeline = Pipeline(
                wire, policy, report, None if fallback is None else partial(fallback, db),
                back=back(into) if back else None, alike=None if alike is None else partial(alike, db, into),
            )  # fmt: skip
            for batch in _batches(page):
                restore_batch(pipeline, batch, policy, report, dry=dry)
                if look is not None:
                    look(db, wire, batch)
                progress(report)
            pipeline.settle()
    return report


def _batches(page: list[Dump]) -> Iterable[list[Dump]]:
    """A few hundred keys, fewer when they are big: one batch is one stall of the server."""
    if len(page) <= _BATCH and sum([len(dump.payload) for dump in page]) <= _BATCH_BYTES:
        yield page
        return
    batch: list[Dump] = []
    size = 0
    for dump in page:
        batch.append(dump)
        size += len(dump.payload)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
