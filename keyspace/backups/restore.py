"""Putting keys back: RESTORE with absolute times in pipelines, the typed form where a server cannot take the payload.

`restore_pages` is the engine for all of it: a dry run, a restore, a copy. It holds one page. Doing the same again does no harm.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import hiredis
import redis

from keyspace.backups.dumps import Dump, same_value
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.typed import TypedPiece
from keyspace.encoding import to_text
from keyspace.servers import Client
from keyspace.wire import Wire, open_wire

EXAMPLES = 20
EXISTING = {
    "skip": "leave what is there",
    "different": "overwrite what differs",
    "overwrite": "overwrite everything",
}
TTLS = {
    "original": "expire at the original time",
    "remaining": "live on for what was left at the backup",
    "none": "never expire",
}
_pack: Callable[[tuple[bytes | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_BATCH, _BATCH_BYTES = 250, 4 * 1024 * 1024
Keep = Callable[[list[Dump]], None]
Fallback = Callable[[Dump], Iterable[TypedPiece]]


@dataclass(frozen=True)
class Policy:
    """`existing` of EXISTING, `ttl` of TTLS; `moment` is the backup's own time (Unix ms); `expired`: also what has expired since;
    `keep_past`: with its expiry in the past, for a scratch server that is frozen."""

    existing: str = "skip"
    ttl: str = "original"
    expired: bool = False
    moment: int = 0
    keep_past: bool = False


@dataclass
class Report:
    """What happened, or in a dry run would: numbers of keys and, for each kind, up to EXAMPLES names."""

    looked: int = 0
    new: int = 0
    same: int = 0
    different: int = 0
    expired: int = 0
    skipped: int = 0
    restored: int = 0
    typed: int = 0
    failed: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def note(self, kind: str, name: bytes, problem: str = "") -> None:
        names = self.examples.setdefault(kind, [])
        if len(names) < EXAMPLES:
            names.append(to_text(name)[:200])
        if problem and len(self.problems) < EXAMPLES:
            self.problems.append(f"{to_text(name)[:120]}: {problem[:200]}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Pipeline:
    """Batches of RESTORE on a wire, one of them under way while the next is prepared."""

    def __init__(self, wire: Wire, policy: Policy, report: Report, fallback: Fallback | None) -> None:
        self.wire, self._policy, self._report, self._fallback = wire, policy, report, fallback
        self._waiting: deque[list[Dump]] = deque()

    def send(self, chosen: list[Dump]) -> None:
        replace = self._policy.existing != "skip"
        self.wire.send(b"".join([_packed(dump, self._policy, replace) for dump in chosen]))
        self._waiting.append(chosen)
        self.settle(most=1)

    def settle(self, *, most: int = 0) -> None:
        """Read replies until at most `most` batches are under way; a key that was refused waits until none is."""
        refused: list[tuple[Dump, Exception]] = []
        while len(self._waiting) > most:
            refused += self._receive()
            most = 0 if refused else most
        for dump, reply in refused:
            _fall_back(self.wire, dump, self._policy, self._report, self._fallback, reply)

    def _receive(self) -> list[tuple[Dump, Exception]]:
        chosen = self._waiting.popleft()
        replies = self.wire.receive(len(chosen))
        if replies.count(b"OK") == len(chosen):
            self._report.restored += len(chosen)
            return []
        refused = []
        for dump, reply in zip(chosen, replies, strict=True):
            if not isinstance(reply, Exception):
                self._report.restored += 1
            elif "BUSYKEY" in str(reply):
                self._report.skipped += 1
                self._report.note("skipped", dump.name)
            else:
                refused.append((dump, reply))
        return refused


def restore_batch(
    pipeline: Pipeline,
    batch: list[Dump],
    policy: Policy,
    report: Report,
    *,
    keep: Keep | None = None,
    dry: bool = False,
) -> None:
    """Put some keys into the wire's db (or, `dry`, count what would happen). `keep` gets what is about to be overwritten."""
    report.looked += len(batch)
    alive = [dump for dump in batch if dump.expires is None or _lives(dump, policy, report)]
    if policy.existing != "skip" or dry:
        pipeline.settle()
        alive = _choose(pipeline.wire, alive, policy, report, keep=keep, dry=dry)
    if alive and not dry:
        pipeline.send(alive)


def _lives(dump: Dump, policy: Policy, report: Report) -> bool:
    if (
        dump.expires is None
        or policy.expired
        or policy.ttl != "original"
        or dump.expires > time.time() * 1000
    ):
        return True
    report.expired += 1
    report.note("expired", dump.name)
    return False


def _choose(
    wire: Wire, page: list[Dump], policy: Policy, report: Report, *, keep: Keep | None, dry: bool
) -> list[Dump]:
    """The keys to write, after a look at what is there: for a dry run, or before overwriting."""
    there = _existing(wire, page)
    chosen, lost = [], []
    for dump, old in zip(page, there, strict=True):
        kind = (
            "new"
            if old is None
            else "same"
            if same_value(old.payload, dump.payload) and _near(old, dump, policy)
            else "different"
        )
        setattr(report, kind, getattr(report, kind) + 1)
        report.note(kind, dump.name)
        if old is not None and (
            policy.existing == "skip" or (kind == "same" and policy.existing == "different")
        ):
            report.skipped += 1
            continue
        chosen.append(dump)
        lost += [old] if old is not None and kind == "different" else []
    if lost and keep is not None and not dry:
        keep(lost)
    return chosen


def _near(old: Dump, new: Dump, policy: Policy) -> bool:
    """Whether the TTL would stay what it is, give or take a second."""
    after = _expiry(new, policy)
    before = old.expires
    return (before is None) == (after == 0) and abs((before or 0) - after) < 1000


def _existing(wire: Wire, page: list[Dump]) -> list[Dump | None]:
    commands = [command for dump in page for command in ((b"DUMP", dump.name), (b"PTTL", dump.name))]
    replies = wire.call_many(commands)
    now = int(time.time() * 1000)
    found: list[Dump | None] = []
    for dump, payload, left in zip(page, replies[::2], replies[1::2], strict=True):
        if isinstance(payload, Exception):
            raise payload
        found.append(
            Dump(dump.name, now + left if left >= 0 else None, payload) if payload is not None else None
        )
    return found


def _expiry(dump: Dump, policy: Policy) -> int:
    """Unix ms for RESTORE ABSTTL, 0 for none."""
    if dump.expires is None or policy.ttl == "none":
        return 0
    if policy.keep_past:
        return dump.expires
    now = int(time.time() * 1000)
    if policy.ttl == "remaining":
        return now + max(1, dump.expires - policy.moment)
    return dump.expires if dump.expires > now else 0  # asked for although it expired: then it stays


def _packed(dump: Dump, policy: Policy, replace: bool) -> bytes:
    expires = 0 if dump.expires is None else _expiry(dump, policy)
    words = (b"RESTORE", dump.name, expires, dump.payload, b"ABSTTL")
    return _pack((*words, b"REPLACE") if replace else words)


def _fall_back(
    wire: Wire, dump: Dump, policy: Policy, report: Report, fallback: Fallback | None, reply: Exception
) -> None:
    if isinstance(
        reply,
        redis.exceptions.OutOfMemoryError
        | redis.exceptions.ReadOnlyError
        | redis.exceptions.NoPermissionError,
    ):
        raise reply
    if fallback is not None and ("Bad data format" in str(reply) or "DUMP payload" in str(reply)):
        problem = write_typed(
            wire, dump.name, fallback(dump), _expiry(dump, policy), replace=policy.existing != "skip"
        )
        if problem is None:
            report.restored, report.typed = report.restored + 1, report.typed + 1
            return
        if problem == "there":
            report.skipped += 1
            return
        reply = redis.ResponseError(problem)
    report.failed += 1
    report.note("failed", dump.name, str(reply))


def restore_pages(
    target: Callable[[int], Client], pages: Iterable[tuple[int, list[Dump]]], policy: Policy, *, progress: Callable[[Report], None],
    keep: Callable[[int, list[Dump]], None] | None = None, fallback: Callable[[int, Dump], Iterable[TypedPiece]] | None = None,
    dry: bool = False, to_db: int | None = None,
) -> Report:  # fmt: skip
    """Put pages of (db, keys) into the dbs of a server (`to_db`: all into that one). `progress` is called after each batch."""
    report = Report()
    for db, page in pages:
        into = db if to_db is None else to_db
        with open_wire(target(into)) as wire:
            pipeline = Pipeline(wire, policy, report, None if fallback is None else partial(fallback, db))
            for batch in _batches(page):
                restore_batch(
                    pipeline,
                    batch,
                    policy,
                    report,
                    dry=dry,
                    keep=None if keep is None else partial(keep, into),
                )
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
