"""The job that changes many keys: page after page, at its pace, going on after a crash, a pause, or a server that went away."""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Protocol

import redis

from keyspace import audit
from keyspace.access import Permission, check_permission
from keyspace.bulk.choice import Choice, Page, choice_of, read_pages
from keyspace.bulk.deleting import Delete, DeleteIntoTrash
from keyspace.bulk.expiring import Expire, Extend, Persist, reader_of_ends
from keyspace.bulk.pace import Pace
from keyspace.bulk.plan import Planned, PlanWriter, read_plan, remove_plan
from keyspace.bulk.tally import Tally, tally_of
from keyspace.errors import explain
from keyspace.jobs import Run, job
from keyspace.servers import Client, endpoint_of, open_client
from keyspace.wire import Wire, open_wire

RIGHTS_SECONDS, TELL_SECONDS = 5.0, 0.4
SOCKET_SECONDS = 60.0
GIVE_UP_SECONDS = 15 * 60.0
NOT_YOURS = "your role does not cover it"


class Act(Protocol):
    """What is done to a batch of keys."""

    def apply(self, wire: Wire, names: list[bytes], tally: Tally) -> None: ...


class Work:
    """One run of the job: its connection, pace, and what it has done, also before a restart."""

    def __init__(self, run: Run) -> None:
        self.run, self.connection = run, run.connection
        self.choice: Choice = choice_of(run.params["choice"])
        self.tally = tally_of(run.checkpoint.get("tally"))
        self.place: dict[str, Any] = dict(run.checkpoint)
        self._told = 0.0
        self.client: Client = open_client(
            endpoint_of(self.connection.server), db=self.connection.db, socket_timeout=SOCKET_SECONDS
        )
        self.pace: Pace | None = None
        self._rights_seen = 0.0
        self._lost_since: float | None = None

    def close(self) -> None:
        self.client.close()

    def check_rights(self) -> None:
        """The person's role as it is now: who lost it does not go on deleting. Raises Denied, NotFound."""
        if time.monotonic() - self._rights_seen >= RIGHTS_SECONDS:
            self.connection = self.run.connection
            check_permission(self.connection, Permission.BULK)
            self._rights_seen = time.monotonic()

    def keep_up(self, **place: Any) -> None:
        """Remember where to go on, and tell how far it is now and then. Raises Cancelled."""
        self.place |= place
        if time.monotonic() - self._told >= TELL_SECONDS:
            self.tell()
        self.run.check()

    def tell(self) -> None:
        self._told = time.monotonic()
        run, tally = self.run, self.tally
        tally.yielded = self.pace.yielded if self.pace else tally.yielded
        parts = [
            self.run.params["doing"],
            *(f"{n} {word}" for word, n in (("skipped", tally.skipped), ("failed", tally.failed)) if n),
        ]
        checkpoint = self.place | {"tally": tally.brief()}
        run.report(
            done=tally.handled,
            total=max(run.job.total or 0, tally.handled),
            phase=", ".join(parts),
            checkpoint=checkpoint,
            now=True,
        )

    def settle(self) -> None:
        """However it ends, the row says what was done, and where it would go on."""
        self.tally.yielded = self.pace.yielded if self.pace else self.tally.yielded
        job = self.run.job
        job.result, job.done = self.tally.as_dict(), self.tally.handled
        job.checkpoint = self.place | {"tally": self.tally.brief()}

    def until_done(self, step: Callable[[Wire, Pace], None]) -> None:
        """Run `step`, again and again while the server is away; it goes on from the checkpoint. Raises the last error in the end."""
        while True:
            try:
                self.check_rights()
                self.pace = self.pace or Pace(self.run, self.client, rate=self.run.params["rate"])
                with open_wire(self.client) as wire:
                    step(wire, self.pace)
                return
            except (redis.ConnectionError, redis.TimeoutError) as error:
                self._back_off(error)

    def answered(self) -> None:
        self._lost_since = None

    def _back_off(self, error: Exception) -> None:
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        away = now - self._lost_since
        if away > GIVE_UP_SECONDS:
            raise error
        wait = min(10.0, max(0.5, away / 2))
        self.run.report(
            phase=f"waiting for the server, {away:.0f} s so far: {explain(error).sentence}", now=True
        )
        end = time.monotonic() + wait
        while time.monotonic() < end:
            self.run.sleep(0.2)
            self.run.check()


@job("run_bulk", permission=Permission.BULK, resumable=True)
def run_bulk(run: Run) -> dict[str, Any]:
    """Doing any part of it again does no harm, so a restart goes on from the last checkpoint."""
    began = time.monotonic()
    work = Work(run)
    outcome = "failed"
    with closing(work):
        try:
            (_extend if run.params["do"] == "extend" else _change)(work)
            outcome = "done"
        finally:
            work.settle()
            _record(work, outcome)
    remove_plan(run.job.pk)
    return work.tally.as_dict() | {"do": run.params["do"], "seconds": round(time.monotonic() - began, 2)}


def _record(work: Work, outcome: str) -> None:
    run, tally = work.run, work.tally
    detail = {
        "job": str(run.job.pk),
        "what": run.params["doing"],
        "keys": work.choice.words,
        "done": tally.done,
    }
    detail |= {"skipped": tally.skipped, "failed": tally.failed, "in_trash": tally.trashed}
    if run.cancelled.is_set():
        detail["problem"] = "It was cancelled before its end."
    elif run.lost.is_set():
        return  # whoever took it over will tell
    audit.record(work.connection, "run_bulk", key=None, outcome=outcome, detail=detail)


def _act(work: Work) -> Act:
    params, connection = work.run.params, work.connection
    if params["do"] == "delete":
        return DeleteIntoTrash(connection) if params["trash"] else Delete(connection)
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

    def step(wire: Wire, pace: Pace) -> None:
        act = _act(work)
        for page in _pages(work, wire, pace.batch):
            for at in range(0, len(page.names), pace.batch):
                batch = page.names[at : at + pace.batch]
                act.apply(wire, batch, work.tally)
                pace.after(len(batch))
            work.tally.skip(page.foreign, NOT_YOURS)
            work.answered()
            work.keep_up(cursor=page.cursor)
            work.check_rights()
            pace.after(0)

    work.until_done(step)


def _pages(work: Work, wire: Wire, batch: int) -> Iterator[Page]:
    """From the checkpoint's cursor on where it is still good: the cursor of a server that restarted leads nowhere."""
    server_run = _server_run(wire)
    cursor = work.place.get("cursor", 0) if work.place.get("server_run") == server_run else 0
    work.keep_up(server_run=server_run, cursor=cursor)
    yield from read_pages(work.connection, work.choice, wire, cursor=cursor, count=batch)


def _server_run(wire: Wire) -> str:
    info: bytes = wire.call("INFO", "server")
    return next((line[7:].decode() for line in info.splitlines() if line.startswith(b"run_id:")), "")


def _extend(work: Work) -> None:
    run = work.run
    if not work.place.get("planned"):
        work.until_done(lambda wire, pace: _plan(work, wire, pace))

    def step(wire: Wire, pace: Pace) -> None:
        params = run.params
        act = Extend(work.connection, extend=params["ttl"], jitter=params["jitter"], seed=_seed(work))
        for planned, offset in read_plan(run.job.pk, at=work.place.get("offset", 0), count=pace.batch):
            act.apply(wire, planned, work.tally)
            work.answered()
            work.keep_up(offset=offset)
            work.check_rights()
            pace.after(len(planned))

    work.until_done(step)


def _plan(work: Work, wire: Wire, pace: Pace) -> None:
    """Phase one of moving TTLs: write down which keys end when. Begins anew after an interruption: nothing was changed yet."""
    work.tally, ends = Tally(), reader_of_ends(work.connection)
    with PlanWriter(work.run.job.pk) as plan:
        for page in read_pages(work.connection, work.choice, wire):
            found = [Planned(name, end) for name, end in zip(page.names, ends(wire, page.names), strict=True)]
            plan.add([each for each in found if each.expires_at > 0])
            work.tally.skip(
                [each.name for each in found if each.expires_at <= 0], "it has no TTL, or is gone"
            )
            work.tally.skip(page.foreign, NOT_YOURS)
            work.run.report(phase=f"planning: {plan.keys} keys", done=0)
            work.answered()
            pace.after(0)
        plan.finish()
    work.place["planned"] = True
    work.run.report(checkpoint=work.place | {"tally": work.tally.brief()}, now=True)
