"""Kinds of jobs, and a job while it runs: what its function sees of it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from keyspace.access import Access, Actor, Permission, Right
from keyspace.errors import NotFound
from keyspace.models import Job, Server
from keyspace.servers import Connection, open_connection

State = Job.State


_WRITE_SECONDS = 0.5


_PAUSE_LOOK_SECONDS = 0.2


class Cancelled(Exception):
    """The person who started the job, or an admin, cancelled it; its text, if any, says what goes on nevertheless."""


class Interrupted(Exception):
    """What the job needs has been away for too long; its text says so. It may go on where it stopped."""


class LostClaim(Exception):
    """Another process took the job over, or the console stops: leave it as it is."""


@dataclass(frozen=True)
class JobKind:
    """What a kind of job does. A `resumable` one starts again from its checkpoint after a crash; `on_interrupt` cleans up
    after one that is not, or that was cancelled before it began; `on_remove` when the row goes, after a while."""

    name: str
    permission: Permission
    run: "Callable[[Run], dict[str, Any] | None]"
    resumable: bool = False
    on_interrupt: Callable[[Job], None] | None = None
    on_remove: Callable[[Job], None] | None = None


KINDS: dict[str, JobKind] = {}


def job(
    name: str,
    *,
    permission: Permission,
    resumable: bool = False,
    on_interrupt: Callable[[Job], None] | None = None,
    on_remove: Callable[[Job], None] | None = None,
) -> Callable[["Callable[[Run], dict[str, Any] | None]"], "Callable[[Run], dict[str, Any] | None]"]:
    """Declare a kind of job; the decorated function is run by a worker with a Run."""

    def declare(
        function: "Callable[[Run], dict[str, Any] | None]",
    ) -> "Callable[[Run], dict[str, Any] | None]":
        KINDS[name] = JobKind(name, permission, function, resumable, on_interrupt, on_remove)
        return function

    return declare


@dataclass
class Run:
    """A job while it runs: what its function sees of it."""

    job: Job
    cancelled: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    _written: float = 0.0
    _paused_seconds: float = 0.0

    @property
    def params(self) -> dict[str, Any]:
        return self.job.params  # type: ignore[no-any-return]

    @property
    def checkpoint(self) -> dict[str, Any]:
        """What was last reported as checkpoint; empty at the first start."""
        return self.job.checkpoint  # type: ignore[no-any-return]

    @property
    def actor(self) -> Actor:
        return Actor(self.job.user, self.job.person, self.job.address, self.job.request_id)

    @property
    def connection(self) -> Connection:
        """The person's connection to the job's server and db, with their rights as they are now."""
        return connect(self.actor, self.job.server, self.job.db)

    def check(self) -> None:
        """Cheap enough for every step. Raises Cancelled or LostClaim; waits while the job is paused."""
        if self.lost.is_set():
            raise LostClaim
        if self.cancelled.is_set():
            raise Cancelled
        if self.paused.is_set():
            self._wait_while_paused()

    def report(
        self, *, done: int | None = None, total: int | None = None, unit: str | None = None, phase: str | None = None,
        checkpoint: dict[str, Any] | None = None, now: bool = False,
    ) -> None:  # fmt: skip
        """Say how far it is; written at most every half second unless `now`. Also does `check`."""
        job = self.job
        job.done = job.done if done is None else done
        job.total = job.total if total is None else total
        job.unit = unit or job.unit
        changed = phase is not None and phase != job.phase
        job.phase = job.phase if phase is None else phase[:255]
        job.checkpoint = job.checkpoint if checkpoint is None else checkpoint
        if now or changed or time.monotonic() - self._written > _WRITE_SECONDS:
            self.write()
        self.check()

    def write(self) -> None:
        self._written = time.monotonic()
        job = self.job
        written = Job.objects.filter(
            pk=job.pk, worker=job.worker, state__in=(State.RUNNING, State.PAUSED)
        ).update(
            done=job.done,
            total=job.total,
            unit=job.unit,
            phase=job.phase,
            checkpoint=job.checkpoint,
            beat_at=timezone.now(),
        )
        if not written:
            self.lost.set()

    def sleep(self, seconds: float) -> None:
        """Wait, but not past a cancel."""
        if self.cancelled.wait(seconds):
            raise Cancelled

    def _wait_while_paused(self) -> None:
        self.write()
        Job.objects.filter(pk=self.job.pk, worker=self.job.worker, state=State.RUNNING).update(
            state=State.PAUSED
        )
        while self.paused.is_set() and not self.cancelled.is_set() and not self.lost.is_set():
            time.sleep(_PAUSE_LOOK_SECONDS)
        Job.objects.filter(pk=self.job.pk, worker=self.job.worker, state=State.PAUSED).update(
            state=State.RUNNING
        )
        self.check()


def connect(actor: Actor, server: str, db: int | None = None) -> Connection:
    """The actor's connection; the system itself (no user: a schedule, a command in a shell) may do what an admin may."""
    if actor.user is not None:
        return open_connection(actor, server, db)
    row = Server.objects.filter(name=server).first()
    if row is None:
        raise NotFound(f"There is no server {server[:64]}.", "Its name may have changed.")
    return Connection(actor, row, row.db if db is None else db, Access((Right("admin"),)))
