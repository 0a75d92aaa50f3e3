"""Opening a backup: as of its moment, read-only, bounded; and comparing."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import opening, restore_services, services
from keyspace.backups.restore_services import RestoreOrder
from keyspace.errors import Denied
from keyspace.models import OpenBackup, Server
from keyspace.servers import open_connection
from tests.keyspace.backups.samples import fill
from tests.keyspace.backups.test_restoring import back_up, finish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _close_all() -> Any:
    yield
    for opened in OpenBackup.objects.all():
        opening.close(opened)


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_opened_backup_stands_still(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    fill(redis)
    redis.set("gone", "soon", px=1500)
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    size = redis.dbsize()
    time.sleep(1.5)
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
