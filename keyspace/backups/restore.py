"""Putting keys back: RESTORE with absolute times in pipelines, the typed form where a server cannot take the payload.

`restore_pages` is the engine for all of it: a dry run, a restore, a copy. It holds one page. Doing the same again does no harm.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import redis

from keyspace.backups.dumps import Dump
from keyspace.backups.restore_pipeline import Pipeline, wants
from keyspace.backups.restore_report import EXAMPLES, EXISTING, TTLS, Policy, Report
from keyspace.backups.restore_way import Keep, Kept, WayBack
from keyspace.backups.typed import TypedPiece
from keyspace.bulk.watched import in_halves
from keyspace.servers import Client
from keyspace.wire import Wire, open_wire

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
    alive = [dump for dump in batch if dump.expires is None or not policy.leaves_out(dump)]
    if len(alive) < len(batch):
        names = {dump.name for dump in alive}
        for dump in batch:
            if dump.name not in names:
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
    found = pipeline.looker.look(alive)
    for kind in ("new", "same", "different"):
        report.count_all(kind, [each.dump.name for each in found if each.kind == kind])
    for each in found:
        if each.kind == "new":
            continue
        name = each.dump.name
        if not wants(each, policy):
            report.skipped += 1
            if each.newer and policy.existing == "older":
                report.count("newer", name)
        elif each.large or (each.old and each.kind == "different" and not pipeline.back.fits(each.old)):
            report.count("lost" if policy.beyond_trash else "too_large", name)


def restore_pages(
    target: Callable[[int], Client], pages: Iterable[tuple[int, list[Dump]]], policy: Policy, *, progress: Callable[[Report], None],
    back: Callable[[int], WayBack] | None = None, fallback: Callable[[int, Dump], Iterable[TypedPiece]] | None = None,
    alike: Callable[[int, int, list[tuple[Dump, Dump]]], Collection[bytes]] | None = None,
    look: Callable[[int, Wire, list[Dump]], None] | None = None,
    dry: bool = False, to_db: int | None = None, report: Report | None = None,
) -> Report:  # fmt: skip
    """Put pages of (db, keys) into the dbs of a server (`to_db`: all into that one). `progress` is called after each batch.

    `back` gives the WayBack of a target's db; `fallback` and `alike` read a key of the source's db; `look` sees each batch, too.
    `report` is filled in, also when this ends half-way.
    """
    report = report or Report()
    for db, page in pages:
        into = db if to_db is None else to_db
        with open_wire(target(into)) as wire:
            pipeline = Pipeline(
                wire, policy, report, None if fallback is None else partial(fallback, db),
                back=back(into) if back else None, alike=None if alike is None else partial(alike, db, into),
            )  # fmt: skip
            with _settled(pipeline):
                for batch in _batches(page):
                    restore_batch(pipeline, batch, policy, report, dry=dry)
                    if look is not None:
                        look(db, wire, batch)
                    progress(report)
    return report


@contextmanager
def _settled(pipeline: Pipeline) -> Iterator[None]:
    """What is under way is read to its end, also when it is cancelled: the report and the way back know of every key."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError):
        raise
    except BaseException:
        with suppress(redis.RedisError):
            pipeline.settle()
        raise
    pipeline.settle()


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
