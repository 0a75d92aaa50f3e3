"""Opening a backup: as of its moment, read-only, bounded; and comparing."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keyspace.backups import opening, restore_services, services
from keyspace.backups.restore_services import RestoreOrder
from keyspace.backups.scratch import scratch_root
from keyspace.errors import Denied
from keyspace.models import OpenBackup, Server
from keyspace.servers import open_connection
from tests.keyspace.backups.samples import fill
from tests.keyspace.backups.test_restoring import back_up, finish
from tests.servers import find_binary
from tests.shared_servers import shared_server
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _close_all() -> Any:
    yield
    for opened in OpenBackup.objects.all():
        opening.close(opened)


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_opened_backup_stands_still(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    fill(redis)
    redis.set("gone", "soon", px=2500)
    connection, size = connection_as("admin"), redis.dbsize()
    backup = back_up(connection, kind)
    wait_until(lambda: not redis.exists("gone"), "its end")
    job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
    assert job.state == "done", job.problem
    opened = open_connection(connection.actor, job.result["server"])
    assert opened.redis.dbsize() == size
    assert opened.redis.get("gone") == b"soon"
    assert opened.server.read_only
    services.close_backup(connection, backup_id=str(backup.pk))
    assert not Server.objects.filter(name=job.result["server"]).exists()


def test_opened_backup_is_read_only(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
    opened = open_connection(connection.actor, job.result["server"])
    with pytest.raises(Denied, match="read-only"):
        restore_services.restore_backup(opened, backup_id=str(backup.pk), order=RestoreOrder())


def test_not_more_than_the_limit(redis: Any, connection_as: Callable[..., Any], settings: Any) -> None:
    settings.OPEN_BACKUPS = 1
    redis.set("a", 1)
    connection = connection_as("admin")
    first, second = back_up(connection, "pull"), back_up(connection, "pull")
    assert finish(services.open_backup(connection, backup_id=str(first.pk))).state == "done"
    job = finish(services.open_backup(connection, backup_id=str(second.pk)))
    assert (job.state, job.problem) == ("failed", "1 backups are open already. Close one first.")


def test_closed_when_idle(redis: Any, connection_as: Callable[..., Any], settings: Any) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    job = finish(services.open_backup(connection, backup_id=str(back_up(connection, "pull").pk)))
    opening.close_idle()
    settings.OPEN_BACKUP_MINUTES = 0
    assert open_connection(connection.actor, job.result["server"]).redis.get("a") == b"1"
    opening.close_idle()
    assert OpenBackup.objects.exists()  # it was read meanwhile
    time.sleep(0.05)
    opening.close_idle()
    assert not OpenBackup.objects.exists()


def test_two_that_load_at_the_same_moment_keep_the_limit(
    redis: Any, connection_as: Callable[..., Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is opened while the first is being loaded; it is the first that finds no room in the end."""
    settings.OPEN_BACKUPS = 1
    redis.set("a", 1)
    connection = connection_as("admin")
    first, second = back_up(connection, "pull"), back_up(connection, "pull")
    load = opening.load_backup

    def slowly(backup: Any, progress: Any) -> Any:
        scratch = load(backup, progress)
        if backup == first:
            assert finish(services.open_backup(connection, backup_id=str(second.pk))).state == "done"
        return scratch

    monkeypatch.setattr(opening, "load_backup", slowly)
    job = finish(services.open_backup(connection, backup_id=str(first.pk)))
    assert (job.state, job.problem) == ("failed", "1 backups are open already. Close one first.")
    opened = OpenBackup.objects.get()
    assert opened.backup == second
    assert {place.name for place in scratch_root().glob("s*")} == {Path(opened.directory).name}


def test_a_backup_that_is_opened_twice_is_one_server(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    jobs = [services.open_backup(connection, backup_id=str(backup.pk)) for _ in range(2)]
    assert [finish(job).result["server"] for job in jobs] == [OpenBackup.objects.get().row.name] * 2


def test_an_open_backup_of_a_console_that_died_is_cleared_away(
    redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    job = finish(services.open_backup(connection, backup_id=str(back_up(connection, "pull").pk)))
    opened = OpenBackup.objects.get()
    os.kill(opened.pid, signal.SIGKILL)

    def is_cleared_away() -> bool:
        opening.close_idle()
        return not OpenBackup.objects.exists()

    wait_until(is_cleared_away, "it to be cleared away")
    assert not Server.objects.filter(name=job.result["server"]).exists()
    assert not Path(opened.directory).exists()


def test_what_needs_more_memory_than_is_allowed_is_not_opened(
    redis: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    redis.set("a", "x" * 1000)
    connection = connection_as("admin")
    for kind in ("pull", "export"):
        backup = back_up(connection, kind)
        settings.SCRATCH_MEMORY = 1000
        job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
        settings.SCRATCH_MEMORY = 0
        assert job.state == "failed"
        assert "MB may be used here" in job.problem
    assert not OpenBackup.objects.exists()


def test_the_binary_of_the_settings_reads_what_ours_cannot(
    make_server: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    """Redis 8 writes a format that the embedded server does not read."""
    server = shared_server("redis8")
    with server.client() as client:
        client.flushall()
        client.set(b"bin\xff", 1)
        client.hset("hash", "field", 1)
    connection = connection_as("admin", server=make_server(server, "eight"))
    backup = back_up(connection, "pull")
    assert backup.state == "unverifiable"
    assert "cannot read it" in backup.state_note
    job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
    assert (job.state, "CONSOLE_SCRATCH_BINARIES" in job.problem) == ("failed", True)
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    finish(services.verify_backup(connection, backup_id=str(backup.pk)))
    backup.refresh_from_db()
    assert (backup.state, backup.keys) == ("loaded", {"0": 2})
    job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
    assert job.state == "done", job.problem
    opened = open_connection(connection.actor, job.result["server"])
    assert opened.redis.get(b"bin\xff") == b"1"
