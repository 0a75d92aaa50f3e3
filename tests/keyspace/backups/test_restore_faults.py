"""A restore that is cut short: the server killed, the console killed, memory or disk full. It says how far it got, and goes on."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection as database

from keyspace import job_worker
from keyspace.backups import restore_back, restore_services, store
from keyspace.backups.restore_services import RestoreOrder
from keyspace.backups.scratch import scratch_root
from keyspace.errors import Unavailable
from keyspace.jobs import cancel_job, restart_job
from keyspace.models import Backup, Job, MadeKey, TrashEntry
from tests.keyspace.backups.test_killed import ROOT, WORK
from tests.keyspace.backups.test_restore_undo import take_back
from tests.keyspace.backups.test_restoring import back_up, finish
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = 25_000


def start(connection: Any, backup: Backup, **order: Any) -> Job:
    chosen = RestoreOrder(**({"dry": False} | order))
    return restore_services.restore_backup(
        connection, backup_id=str(backup.pk), order=chosen, confirmed=connection.server.name
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_target_killed_and_started_again(
    share: float,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    connection_as: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says how far it got; going on puts back what is missing."""
    server = new_server("valkey9")
    connection = connection_as("admin", server=make_server(server))
    with server.client() as client:
        client.execute_command("DEBUG", "POPULATE", KEYS, "k", 10)
        backup = back_up(connection, "export")
        client.flushall()
    wrote, counted = restore_back.TrashBack.wrote, []

    def kill(back: Any, written: Any) -> None:
        wrote(back, written)
        counted.append(len(written))
        if KEYS * share <= sum(counted) < KEYS and server.process.poll() is None:
            server.kill()

    monkeypatch.setattr(restore_back.TrashBack, "wrote", kill)
    monkeypatch.setattr("keyspace.backups.restore._BATCH", 50)
    job = finish(start(connection, backup))
    assert job.state == "failed"
    assert share * KEYS <= job.result["restored"] < KEYS
    assert "refuses connections" in job.problem or "connection" in job.problem.lower()
    monkeypatch.undo()
    server.restart()
    restart_job(connection.actor, job.pk)
    assert finish(job).state == "done", job.problem
    with server.client() as client:
        assert client.dbsize() == KEYS


@pytest.fixture
def no_scratch_is_left() -> Iterator[None]:
    """A console that is killed leaves the directory of its scratch server for a later cleaning: here it goes at once."""
    before = set(scratch_root().iterdir())
    yield
    for place in set(scratch_root().iterdir()) - before:
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize(
    ("kind", "share"), [("export", 0.1), ("export", 0.5), ("export", 0.99), ("pull", 0.5)]
)
def test_console_killed(
    no_scratch_is_left: None,
    kind: str,
    share: float,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    connection_as: Callable[..., Any],
) -> None:
    """kill -9 in the middle: the job is taken up, every key comes back once, and Undo still knows what was overwritten."""
    server = new_server("valkey9")
    connection = connection_as("admin", server=make_server(server))
    with server.client() as client:
        client.execute_command("DEBUG", "POPULATE", KEYS, "k", 10)
        client.set("theirs", "backup")
        backup = back_up(connection, kind)
        client.flushall()
        client.set("theirs", "before")
        job = start(connection, backup, existing="different")
        arguments = [
            sys.executable, "-c", WORK, str(database.settings_dict["NAME"]), str(django_settings.DATA_DIR), str(job.pk),
        ]  # fmt: skip
        process = subprocess.Popen(arguments, cwd=ROOT)
        try:
            while client.dbsize() < KEYS * share and process.poll() is None:
                time.sleep(0.001)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        job.refresh_from_db()
        if job.state == "running":
            assert job_worker.recover_jobs() == 1
            finish(job)
        assert job.state == "done", job.problem
        assert client.dbsize() == KEYS + 1
        assert client.get("theirs") == b"backup"
        assert [entry.left != "" for entry in TrashEntry.objects.filter(job=job, name=b"theirs")].count(
            True
        ) == 1
        assert take_back(connection, job).result["counts"]["put_back"] == 1
        assert client.get("theirs") == b"before"


def test_cancelled_and_undone(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled within a second; what was put back until then can be taken back, or gone on with."""
    redis.execute_command("DEBUG", "POPULATE", 5000, "k", 10)
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.flushall()
    job = start(connection, backup)
    wrote = restore_back.TrashBack.wrote

    def cancel(back: Any, written: Any) -> None:
        wrote(back, written)
        if not job.wants_cancel:
            cancel_job(connection.actor, job.pk)
            job.refresh_from_db()
        time.sleep(0.5)

    monkeypatch.setattr(restore_back.TrashBack, "wrote", cancel)
    assert finish(job).state == "cancelled"
    done = redis.dbsize()
    assert 0 < done < 5000
    assert job.result["undo"]["new"] == done
    monkeypatch.undo()
    assert take_back(connection, job).result["counts"] == {"removed": done}
    restart_job(connection.actor, job.pk)
    assert finish(job).state == "done"
    assert redis.dbsize() == 5000
    assert take_back(connection, job).result["counts"] == {"removed": 5000}
    assert redis.dbsize() == 0


def test_a_target_whose_memory_is_full(redis: Any, connection_as: Callable[..., Any]) -> None:
    """What was emptied has its safety backup, and the job says so."""
    redis.execute_command("DEBUG", "POPULATE", 10_000, "k", 1000)
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.execute_command("FLUSHALL", "SYNC")  # else what is being freed counts as used below
    redis.set("mine", 1)
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + 3_000_000)
    job = finish(start(connection, backup, empty=True))
    assert job.state == "failed"
    assert "OOM" in job.problem or "memory" in job.problem
    assert f"{job.result['restored']} keys had been put back" in job.problem
    assert "safety backup" in job.problem
    redis.config_set("maxmemory", 0)
    safety = Backup.objects.get(pk=job.result["safety"])
    assert finish(start(connection, safety, empty=True)).state == "done"
    assert redis.keys() == [b"mine"]


def test_no_disk_for_the_safety_backup_no_harm(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.set("mine", 1)

    def full(*_: Any) -> None:
        raise Unavailable("The disk of the backup store is full.")

    monkeypatch.setattr(store.Part, "commit", full)
    for method in ("keys", "primary"):
        job = finish(start(connection, backup, empty=True, method=method))
        assert (job.state, sorted(redis.keys())) == ("failed", [b"a", b"mine"])
        assert "disk of the backup store is full" in job.problem
    monkeypatch.undo()
    assert not MadeKey.objects.exists()


@pytest.mark.parametrize("how", ["cut", "flipped"])
@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_a_file_that_has_rotted_since_changes_nothing(
    kind: str, how: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    """It was whole when it was verified. It is read once more before anything is emptied or written."""
    redis.execute_command("DEBUG", "POPULATE", 300, "k", 300)
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    path = store.directory() / backup.files[0]["name"]
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(bytes(data[: len(data) * 2 // 3] if how == "cut" else data))
    redis.delete("k:1")
    before = redis.dbsize()
    for chosen in ({}, {"empty": True}, {"existing": "overwrite"}):
        job = finish(start(connection, backup, **chosen))
        assert job.state == "failed"
        assert "damaged" in job.problem
        assert "Nothing was changed" in job.problem
        assert redis.dbsize() == before
