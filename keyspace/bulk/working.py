"""The job that changes many keys: page after page, at its pace, going on after a crash, a pause, or a server that went away."""

import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol

from redis.exceptions import NoPermissionError

from keyspace import audit
from keyspace.access import Permission
from keyspace.bulk.choice import Page, read_pages
from keyspace.bulk.copying import target_of
from keyspace.bulk.deleting import Delete, DeleteIntoTrash
from keyspace.bulk.expiring import NO_TTL, Expire, Extend, Persist, reader_of_ends
from keyspace.bulk.pace import Pace
from keyspace.bulk.plan import Planned, PlanWriter, read_plan, remove_plan
from keyspace.bulk.tally import Tally
from keyspace.bulk.work import Work
from keyspace.jobs import Run, job
from keyspace.wire import Wire

NOT_YOURS = "your role does not cover it"


class Act(Protocol):
    """What is done to a batch of keys."""

    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None: ...


@job("run_bulk", permission=Permission.BULK, resumable=True, on_remove=lambda job: remove_plan(job.pk))
def run_bulk(run: Run) -> dict[str, Any]:
    """Doing any part of it again does no harm, so a restart goes on from the last checkpoint."""
    began = time.monotonic()
    work = Work(run)
    outcome = "failed"
    with closing(work):
        try:
            (_extend if run.params["do"] == "extend" else _change)(work)
            work.count_missing()
            outcome = "done"
        finally:
            done = work.settle()
            _record(work, done, outcome)
    remove_plan(run.job.pk)
    return done.as_dict() | {"do": run.params["do"], "seconds": round(time.monotonic() - began, 2)}


def _record(work: Work, tally: Tally, outcome: str) -> None:
    run = work.run
    detail = {
        "job": str(run.job.pk),
        "what": run.params["doing"],
        "keys": work.choice.words,
        "done": tally.done,
    }
    detail |= {"skipped": tally.skipped, "failed": tally.failed, "in_trash": tally.trashed}
    detail |= {"unknown": tally.unknown} if tally.unknown else {}
    if run.cancelled.is_set():
        detail["problem"] = "It was cancelled before its end."
    elif run.lost.is_set():
        return  # whoever took it over will tell
    if work.copies:
        to = run.params["copy"]
        audit.record(
            target_of(run), "run_bulk", key=None, outcome=outcome,
            detail=detail | {"copied_from": work.connection.server.name, "from_db": work.connection.db},
        )  # fmt: skip
        detail |= {"copied_to": to["server"], "to_db": to["db"]}
    audit.record(work.connection, "run_bulk", key=None, outcome=outcome, detail=detail)


def _act(work: Work) -> Act:
    params, connection = work.run.params, work.connection
    if work.copies:
        return work.copier
    if params["do"] == "delete":
        return DeleteIntoTrash(connection, work.run.job) if params["trash"] else Delete(connection)
    if params["do"] == "persist":
        return Persist()
    at = params["at"] or work.place["began"] + params["ttl"]
    return Expire(at=at, jitter=params["jitter"], seed=_seed(work), condition=params["condition"])


def _seed(work: Work) -> int:
    return zlib.crc32(work.run.job.pk.bytes)


def _change(work: Work) -> None:
    if "began" not in work.place:
        work.place["began"] = int(time.time() * 1000)
        work.run.report(checkpoint=work.place, phase="starting", now=True)

    if work.place.get("searched"):
        return  # it stopped at its very end

    def step(wire: Wire, pace: Pace) -> None:
        act = _act(work)
        for page in _pages(work, wire, pace.batch):
            for at in range(0, len(page.names), pace.batch):
                batch = page.names[at : at + pace.batch]
                act.apply(wire, batch, work.here)
                pace.after(len(batch))
            work.here.skip(page.foreign, NOT_YOURS)
            work.end_page(cursor=page.cursor, searched=not page.cursor)
            work.check_rights()
            pace.after(0)

    work.until_done(step)


def _pages(work: Work, wire: Wire, batch: int) -> Iterator[Page]:
    """From the checkpoint's cursor on where it is still good: the cursor of a server that restarted leads nowhere. One that does not
    tell may have restarted."""
    server_run, known = _server_run(wire), work.place.get("server_run")
    if known is not None and known != (server_run or None):
        work.begin_anew()
        work.place["cursor"] = 0
    cursor = work.place.setdefault("cursor", 0)
    work.end_page(server_run=server_run)
    yield from read_pages(
        work.connection, work.choice, wire, cursor=cursor, count=batch, again=work.again, permission=work.permission
    )  # fmt: skip


def _server_run(wire: Wire) -> str:
    """Its number for as long as it runs; "" where INFO is refused."""
    try:
        info: bytes = wire.call("INFO", "server")
    except NoPermissionError:
        return ""
    return next((line[7:].decode() for line in info.splitlines() if line.startswith(b"run_id:")), "")


def _extend(work: Work) -> None:
    run = work.run
    if not work.place.get("planned"):
        work.until_done(lambda wire, pace: _plan(work, wire, pace))

    def step(wire: Wire, pace: Pace) -> None:
        params = run.params
        act = Extend(work.connection, extend=params["ttl"], jitter=params["jitter"], seed=_seed(work))
        for planned, offset in read_plan(run.job.pk, at=work.place.get("offset", 0), count=pace.batch):
            act.apply(wire, planned, work.here)
            work.end_page(offset=offset)
            work.check_rights()
            pace.after(len(planned))

    work.until_done(step)


def _plan(work: Work, wire: Wire, pace: Pace) -> None:
    """Phase one of moving TTLs: write down which keys end when. Begins anew after an interruption: nothing was changed yet."""
    work.here, ends = Tally(), reader_of_ends(work.connection)
    with PlanWriter(work.run.job.pk) as plan:
        for page in read_pages(work.connection, work.choice, wire):
            found = [Planned(name, end) for name, end in zip(page.names, ends(wire, page.names), strict=True)]
            plan.add([each for each in found if each.expires_at > 0])
            work.here.skip([each.name for each in found if each.expires_at <= 0], NO_TTL)
            work.here.skip(page.foreign, NOT_YOURS)
            if pace.time_to_tell():
                work.run.report(phase=f"planning: {plan.keys} keys", done=0)
            pace.after(0)
        plan.finish()
    work.end_page(planned=True)
    work.tell()
