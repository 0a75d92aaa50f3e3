"""Running jobs: the queue (huey), the claim, the heartbeat, and what becomes of jobs whose process died.

huey forgets a task once it was handed out, so it only carries ids; the Job row decides. By default the queue is an SQLite file and the
workers are threads of the console's own process.
"""

import contextlib
import importlib
import logging
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone
from huey import RedisHuey, SqliteHuey
from huey.consumer import Consumer

from keyspace.children import birth_of
from keyspace.errors import explain
from keyspace.jobs import KINDS, Cancelled, Interrupted, LostClaim, Run
from keyspace.models import Job

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.4
IDLE_SECONDS = 0.4
"""The longest that a job waits for a worker that has nothing to do; huey's own idea is ten seconds."""
BEAT_SECONDS = 4.0
DEAD_SECONDS = 30.0
# Every module with a @job function stands here: a worker has to know it before it runs one.
KIND_MODULES = (
    "keyspace.backups.making",
    "keyspace.backups.opening",
    "keyspace.backups.restoring",
    "keyspace.backups.restore_undo",
    "keyspace.backups.comparing",
    "keyspace.backups.statistics",
    "keyspace.backups.uploads",
    "keyspace.bulk.looking",
    "keyspace.bulk.working",
    "keyspace.bulk.putting_back",
    "keyspace.exports",
    "keyspace.import_job",
    "keyspace.audit_check",
)
State = Job.State


def _make_huey() -> Any:
    url = getattr(settings, "JOBS_URL", "")
    if url:
        return RedisHuey("keyspace", url=url, results=False)
    return SqliteHuey("keyspace", filename=str(settings.DATA_DIR / "queue.sqlite3"), results=False)


huey = _make_huey()


@huey.task(name="run_job")  # type: ignore[untyped-decorator]
def _run_queued(job_id: str) -> None:
    try:
        close_old_connections()
        run_job(uuid.UUID(job_id))
    finally:
        close_old_connections()


def enqueue(job_id: uuid.UUID) -> None:
    _run_queued(str(job_id))


def worker_name() -> str:
    """This process, told apart from a later one with the same pid."""
    return f"{socket.gethostname()[:60]} {os.getpid()} {birth_of(os.getpid())}"


def run_job(job_id: uuid.UUID) -> bool:
    """Claim a waiting job and run it to its end; False when somebody else has it, or it is over."""
    now, worker = timezone.now(), f"{worker_name()} {uuid.uuid4().hex[:8]}"
    import_kinds()
    claimed = Job.objects.filter(pk=job_id, state=State.WAITING, wants_cancel=False).update(
        state=State.RUNNING, worker=worker, beat_at=now, started_at=now, finished_at=None
    )
    if not claimed:
        return False
    run = Run(Job.objects.get(pk=job_id))
    with _beating(run):
        _finish(run, *_outcome(run))
    return True


def _outcome(run: Run) -> tuple[str, dict[str, Any], str]:
    """State, report and problem of the run."""
    try:
        kind = KINDS[run.job.kind]
        report = kind.run(run) or {}
        return State.DONE, report, ""
    except Cancelled as stop:
        return State.CANCELLED, run.job.result, str(stop)
    except Interrupted as stop:
        return State.INTERRUPTED, run.job.result, str(stop)
    except LostClaim:
        return State.INTERRUPTED, {}, ""
    except BaseException as error:
        problem = explain(error)
        if problem.status == 500:
            log.exception("job %s failed", run.job.pk)
        return State.FAILED, run.job.result, str(problem)


def _finish(run: Run, state: str, report: dict[str, Any], problem: str) -> None:
    if run.lost.is_set() and state != State.DONE:
        return
    job = run.job
    Job.objects.filter(pk=job.pk, worker=job.worker).update(
        state=state, result=report, problem=problem, done=job.done, total=job.total, unit=job.unit,
        checkpoint=job.checkpoint, finished_at=timezone.now(), wants_pause=False,
    )  # fmt: skip


@contextlib.contextmanager
def _beating(run: Run) -> Iterator[None]:
    """A thread that says we live, and hears of cancel and pause, while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(run, stop), name=f"beat {run.job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


def _beat(run: Run, stop: threading.Event) -> None:
    beats = 0
    while not stop.wait(LOOK_SECONDS):
        try:
            _look(run)
            beats += 1
            if beats * LOOK_SECONDS >= BEAT_SECONDS:
                beats = 0
                Job.objects.filter(pk=run.job.pk, worker=run.job.worker).update(beat_at=timezone.now())
        except Exception:  # the database is busy: the next look will tell
            log.warning("job %s: no look at its row", run.job.pk, exc_info=True)
    close_old_connections()
    from django.db import connection

    connection.close()


def _look(run: Run) -> None:
    row = Job.objects.filter(pk=run.job.pk).values_list("wants_cancel", "wants_pause", "worker").first()
    if row is None or row[2] != run.job.worker:
        run.lost.set()
        return
    if row[0]:
        run.cancelled.set()
    (run.paused.set if row[1] else run.paused.clear)()


def recover_jobs() -> int:
    """Take up the jobs of processes that died: a resumable one waits again, another is marked interrupted. Returns how many."""
    found = 0
    old = timezone.now() - timedelta(seconds=DEAD_SECONDS)
    for job in Job.objects.filter(state__in=(State.RUNNING, State.PAUSED)):
        if _lives(job) and (job.beat_at is None or job.beat_at > old):
            continue
        found += _recover(job)
    return found


def _lives(job: Job) -> bool:
    """Whether the process that claimed the job is there; taken as given on another machine."""
    host, pid, born = (job.worker.split(" ") + ["", "", ""])[:3]
    return host != socket.gethostname()[:60] or (pid.isdigit() and birth_of(int(pid)) == born)


def _recover(job: Job) -> bool:
    kind = KINDS.get(job.kind)
    mine = Job.objects.filter(pk=job.pk, worker=job.worker, state=job.state)
    if kind is not None and kind.resumable and not job.wants_cancel:
        taken = mine.update(state=State.WAITING, worker="", phase="taken up after a restart")
        if taken:
            enqueue(job.pk)
        return bool(taken)
    state = State.CANCELLED if job.wants_cancel else State.INTERRUPTED
    taken = mine.update(
        state=state, finished_at=timezone.now(), problem="The console stopped while this ran.", worker=""
    )
    if taken and kind is not None and kind.on_interrupt is not None:
        kind.on_interrupt(job)
    return bool(taken)


class _Embedded(Consumer):  # type: ignore[misc]
    """huey's consumer inside our process: the signals stay ours."""

    def _set_signal_handlers(self) -> None:
        return None


class Worker:
    """The threads that run jobs, and one that looks after interrupted jobs and schedules every few seconds. `stop` it at the end."""

    def __init__(self, threads: int = 3) -> None:
        self._consumer = _Embedded(
            huey, workers=threads, periodic=False, check_worker_health=False, max_delay=IDLE_SECONDS
        )
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._tick, name="jobs clock", daemon=True)

    def start(self) -> "Worker":
        recover_jobs()
        for job_id in Job.objects.filter(state=State.WAITING).values_list("pk", flat=True):
            enqueue(job_id)  # handed out before a crash, or never queued; the claim makes doubles harmless
        self._consumer.start()
        self._clock.start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._consumer.stop()

    def join(self) -> None:
        """After `stop`: until the jobs under way have ended."""
        for thread in [*(thread for _, thread in self._consumer.worker_threads), self._clock]:
            thread.join()

    def _tick(self) -> None:
        from keyspace import (
            audit_check,
            audit_retention,
            exports,
            imports,
            job_retention,
            pending,
            trash_limits,
        )
        from keyspace.backups import schedule

        chores = (
            recover_jobs,
            schedule.run_due,
            schedule.close_idle,
            audit_retention.purge_audit,
            audit_check.verify_some,
            job_retention.purge_jobs,
            exports.remove_old_exports,
            imports.remove_old_imports,
            trash_limits.prune_aged,
            pending.settle_pending,
        )
        while not self._stopped.wait(5):
            for chore in chores:
                try:
                    close_old_connections()
                    chore()
                except Exception:
                    log.exception("%s failed", chore.__name__)


def import_kinds() -> None:
    """Import the modules that declare kinds of jobs."""
    for module in KIND_MODULES:
        importlib.import_module(module)


def start_worker(threads: int = 3) -> Worker:
    """Run jobs in this process, until the Worker is stopped. Call after Django is set up."""
    import_kinds()
    return Worker(threads).start()
