"""Jobs: the row is the truth. Claim, progress, cancel, pause, crash, recovery."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database
from django.utils import timezone

from keyspace import job_worker, jobs
from keyspace.access import Actor, Permission
from keyspace.errors import Conflict, Denied, NotFound
from keyspace.jobs import KINDS, JobKind, Run
from keyspace.models import Job
from tests.jobs import in_thread

pytestmark = pytest.mark.django_db(transaction=True)


def _count(run: Run) -> dict[str, Any]:
    """Counts to params["to"], one a step, going on from its checkpoint; at params["hold"] until a test lets it go."""
    at = run.checkpoint.get("at", 0)
    while at < run.params["to"]:
        while at == run.params.get("hold") and not _let_go.is_set():
            run.report(done=at)
            run.sleep(0.02)
        at += 1
        run.report(done=at, total=run.params["to"], checkpoint={"at": at}, now=True)
        run.sleep(run.params.get("seconds", 0))
    return {"counted": at, "from": run.checkpoint.get("from", 0)}


def _fail(run: Run) -> None:
    raise Conflict("It cannot be done.", "Try less.")


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    KINDS["count"] = JobKind("count", Permission.BULK, _count, resumable=True)
    KINDS["once"] = JobKind(
        "once", Permission.BULK, _count, on_interrupt=lambda job: _interrupted.append(job.pk)
    )
    KINDS["fail"] = JobKind("fail", Permission.BULK, _fail)
    _let_go.clear()
    yield
    for name in ("count", "once", "fail"):
        KINDS.pop(name)


_interrupted: list[Any] = []
_let_go = threading.Event()
SYSTEM = Actor(None, "tests")


def start(kind: str = "count", actor: Actor = SYSTEM, **params: Any) -> Job:
    return jobs.start_job(actor, kind, title=kind, params={"to": 3} | params)


def wait_for(job: Job, state: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job.refresh_from_db()
        if job.state == state:
            return
        time.sleep(0.02)
    raise AssertionError(f"{job.state} instead of {state}")


def test_runs_once_and_keeps_its_report() -> None:
    job = start()
    assert job_worker.run_job(job.pk)
    assert not job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.done, job.total, job.result["counted"]) == ("done", 3, 3, 3)


def test_two_workers_never_run_the_same_job() -> None:
    job = start(seconds=0.05)
    threads = [in_thread(job) for _ in range(4)]
    for thread in threads:
        thread.join()
    job.refresh_from_db()
    assert (job.state, job.done) == ("done", 3)


def test_a_failure_is_a_sentence() -> None:
    job = start("fail")
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.problem) == ("failed", "It cannot be done. Try less.")


def test_cancel_within_a_second() -> None:
    job = start(to=10_000, seconds=0.01)
    thread = in_thread(job)
    wait_for(job, "running")
    began = time.monotonic()
    jobs.cancel_job(SYSTEM, job.pk)
    wait_for(job, "cancelled")
    assert time.monotonic() - began < 10.0  # all of it would take 100; on an idle machine it is half a second
    thread.join()
    with pytest.raises(Conflict, match="ended already"):
        jobs.cancel_job(SYSTEM, job.pk)


def test_a_waiting_job_is_cancelled_at_once() -> None:
    job = start()
    jobs.cancel_job(SYSTEM, job.pk)
    assert not job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_pause_and_go_on() -> None:
    job = start(to=40, hold=20)
    thread = in_thread(job)
    wait_for(job, "running")
    jobs.pause_job(SYSTEM, job.pk)
    wait_for(job, "paused")
    _let_go.set()
    time.sleep(0.5)
    job.refresh_from_db()
    assert (job.state, job.done) == ("paused", 20)
    jobs.pause_job(SYSTEM, job.pk, pause=False)
    thread.join()
    job.refresh_from_db()
    assert (job.state, job.done) == ("done", 40)


def test_once_means_once() -> None:
    first = jobs.start_job(SYSTEM, "count", title="a", params={"to": 1}, once="form-1")
    assert jobs.start_job(SYSTEM, "count", title="a", params={"to": 1}, once="form-1").pk == first.pk


def _died(job: Job) -> None:
    """As a process leaves it that was killed: running, with a worker that is no more."""
    Job.objects.filter(pk=job.pk).update(
        state="running",
        worker=f"{os.uname().nodename} 999999 1 x",
        beat_at=timezone.now(),
        checkpoint={"at": 2, "from": 2},
    )


def test_a_resumable_job_goes_on_from_its_checkpoint() -> None:
    job = start(to=5)
    _died(job)
    assert job_worker.recover_jobs() == 1
    job.refresh_from_db()
    assert job.state == "waiting"
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["counted"]) == ("done", 5)


def test_another_job_is_marked_interrupted_and_cleaned_up() -> None:
    job = start("once")
    _died(job)
    job_worker.recover_jobs()
    job.refresh_from_db()
    assert job.state == "interrupted"
    assert job.pk in _interrupted


def test_a_job_of_another_machine_is_left_until_it_stops_beating() -> None:
    job = start()
    Job.objects.filter(pk=job.pk).update(state="running", worker="elsewhere 1 1 x", beat_at=timezone.now())
    assert job_worker.recover_jobs() == 0
    Job.objects.filter(pk=job.pk).update(beat_at=timezone.now() - timedelta(minutes=2))
    assert job_worker.recover_jobs() == 1


def test_a_run_that_lost_its_claim_writes_nothing_more() -> None:
    job = start(to=1000, seconds=0.01)
    thread = in_thread(job)
    wait_for(job, "running")
    Job.objects.filter(pk=job.pk).update(worker="somebody else", state="waiting", done=7)
    thread.join(60)
    job.refresh_from_db()
    assert (job.state, job.done, job.worker) == ("waiting", 7, "somebody else")


def test_go_on_with_a_cancelled_job() -> None:
    job = start(to=4)
    jobs.cancel_job(SYSTEM, job.pk)
    jobs.restart_job(SYSTEM, job.pk)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done"


def test_one_persons_job_is_not_anothers(connection_as: Callable[..., Any]) -> None:
    ana, bob, admin = connection_as("operator"), connection_as("operator"), connection_as("admin")
    job = jobs.start_job(ana.actor, "count", title="hers", server="test", params={"to": 1})
    assert [found.pk for found in jobs.my_jobs(ana.actor)] == [job.pk]
    assert jobs.my_jobs(bob.actor) == []
    with pytest.raises(NotFound):
        jobs.cancel_job(bob.actor, job.pk)
    assert jobs.find_job(admin.actor, job.pk)
    jobs.cancel_job(admin.actor, job.pk)


def test_an_admin_of_some_keys_sees_no_report_of_others(connection_as: Callable[..., Any]) -> None:
    whole, some = connection_as("admin"), connection_as("admin", patterns=["app:*"])
    job = jobs.start_job(whole.actor, "count", title="count", server="test", params={"to": 1})
    assert job not in jobs.my_jobs(some.actor) and not jobs.may_control(some.actor, job)
    with pytest.raises(NotFound):
        jobs.cancel_job(some.actor, job.pk)
    assert job in jobs.my_jobs(connection_as("admin").actor)


def test_a_viewer_does_not_see_the_systems_jobs(connection_as: Callable[..., Any]) -> None:
    viewer = connection_as("viewer")
    job = jobs.start_job(SYSTEM, "count", title="the system's", server="test", params={"to": 1})
    with pytest.raises((NotFound, Denied)):
        jobs.find_job(viewer.actor, job.pk)


@contextmanager
def working(threads: int) -> Iterator[job_worker.Worker]:
    """A worker that begins with an empty queue, and leaves no thread that takes the jobs of the next test."""
    job_worker.huey.flush()
    worker = job_worker.start_worker(threads)
    try:
        yield worker
    finally:
        worker.stop()
        for _, thread in worker._consumer.worker_threads:
            thread.join(60)


def test_the_worker_takes_jobs_from_the_queue() -> None:
    with working(threads=1):
        job = start(to=2)
        wait_for(job, "done")


def test_a_worker_that_has_long_been_idle_looks_again_soon() -> None:
    with working(threads=2) as worker:
        threads = worker._consumer.worker_threads
        assert len(threads) == 2 and all(thread.max_delay <= 0.5 for thread, _ in threads)


KILLED = """
import os, sys, time, uuid
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from django.conf import settings
from django.db import connections
connections["default"].close()
connections["default"].settings_dict["NAME"] = sys.argv[1]
from keyspace import job_worker, jobs
from tests.keyspace.test_jobs import _count
from keyspace.access import Permission
jobs.KINDS["count"] = jobs.JobKind("count", Permission.BULK, _count, resumable=True)
print("ready", flush=True)
job_worker.run_job(uuid.UUID(sys.argv[2]))
"""


def test_kill_9_in_the_middle_then_resume() -> None:
    """The process that ran it is killed; the next one goes on, and counts nothing twice."""
    job = start(to=60, hold=20)
    name = str(database.settings_dict["NAME"])
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, name, str(job.pk)], cwd=root, stdout=subprocess.PIPE
    )
    try:
        wait_for(job, "running")
        while job.done < 20:
            job.refresh_from_db()
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    _let_go.set()
    assert job_worker.recover_jobs() == 1
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["counted"]) == ("done", 60)
