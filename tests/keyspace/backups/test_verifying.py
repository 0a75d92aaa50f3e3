"""Proving a backup: what a scratch server may use, that nothing of it is left, and what becomes of the row."""

from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import services
from keyspace.backups.scratch import scratch_root
from keyspace.models import Backup
from tests.keyspace.backups.test_restoring import back_up, finish

pytestmark = pytest.mark.django_db(transaction=True)


def verified(connection: Any, backup: Backup) -> Backup:
    finish(services.verify_backup(connection, backup_id=str(backup.pk)))
    backup.refresh_from_db()
    return backup


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_memory_is_bounded_whatever_the_file_says(
    kind: str, redis: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    """The row says the file needs little; it is the server's real size that ends the load."""
    redis.execute_command("DEBUG", "POPULATE", 200_000, "key", 400)
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    assert backup.state == "loaded"
    backup.files[0]["used_memory"] = 0
    backup.save()
    settings.SCRATCH_MEMORY = 40 * 1024 * 1024
    assert verified(connection, backup).state == "unverifiable"
    assert "more memory than may be used here" in backup.state_note
    settings.SCRATCH_MEMORY = 0
    assert verified(connection, backup).state == "loaded"


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_nothing_is_left_of_a_scratch_server(
    kind: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set(b"a\xff", 1)
    before = set(scratch_root().iterdir())
    backup = back_up(connection_as("admin"), kind)
    assert (backup.state, backup.keys) == ("loaded", {"0": 1})
    assert verified(connection_as("admin"), backup).state == "loaded"
    assert set(scratch_root().iterdir()) == before


def test_keys_by_db_are_counted_as_loaded(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.mset({"a": 1, "b": 2})
    connection_as("admin", db=5).redis.set("c", 3)
    for kind in ("pull", "export"):
        assert back_up(connection_as("admin"), kind).keys == {"0": 2, "5": 1}


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_what_was_loaded_is_compared_with_what_the_server_said(
    kind: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    """A server goes on working while it is read, so another number is a remark and not damage."""
    redis.mset({"a": 1, b"b\xff": 2})
    connection = connection_as("admin")
    connection_as("admin", db=3).redis.set("c", 3)
    backup = back_up(connection, kind)
    assert (backup.server_keys, backup.keys, backup.state_note) == ({"0": 2, "3": 1}, {"0": 2, "3": 1}, "")
    backup.server_keys = {"0": 7, "3": 1}
    backup.save()
    assert verified(connection, backup).state == "loaded"
    assert backup.state_note == "Every key of the file was loaded: 3. The server said 8 a moment before."
