"""Lives in an opened backup: as of the backup's moment wherever one is told, and never less on the next look."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from keyspace import keys, ttl, values
from keyspace.backups import opening, services
from keyspace.backups.moment import moment_of
from keyspace.encoding import key_id
from keyspace.keys import Filter
from keyspace.models import Backup, OpenBackup
from keyspace.servers import Connection, open_connection
from tests.keyspace.backups.test_restoring import back_up, finish

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = 3_600_000
BINARY = b"bin\xff\x00name"


@pytest.fixture(autouse=True)
def _close_all() -> Any:
    yield
    for opened in OpenBackup.objects.all():
        opening.close(opened)


def opened_from(connection: Connection, backup: Backup) -> Connection:
    job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
    assert job.state == "done", job.problem
    return open_connection(connection.actor, job.result["server"])


def fill(redis: Any) -> int:
    """Keys that stay, that live long, and one that is over before the backup is opened; the last one's end in Unix ms."""
    now = int(time.time() * 1000)
    redis.set("stays", 1)
    redis.set(BINARY, 1, pxat=now + HOUR)
    redis.set("gone", 1, pxat=now + 3000)
    redis.hset("hash", mapping={"field": 1, "stays": 2, "over": 3})
    redis.execute_command("HPEXPIREAT", "hash", now + HOUR, "FIELDS", 1, "field")
    redis.execute_command("HPEXPIREAT", "hash", now + 3000, "FIELDS", 1, "over")
    return now + 3000


def wait_for(moment: int) -> None:
    time.sleep(max(0.0, moment / 1000 - time.time()) + 0.05)


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_ttls_stand_still(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    end = fill(redis)
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    moment = moment_of(backup)
    assert 0 <= end - moment < 5000
    wait_for(end)
    opened = opened_from(connection, backup)
    looks = []
    for _ in range(2):
        rows, problems = keys.describe_keys(opened, names=[b"stays", BINARY, b"gone", b"hash"])
        assert problems == []
        fields = values.read_value(opened, b"hash", kind="hash", query={}).rows
        looks.append(
            [
                {row.name: row.ttl for row in rows},
                {row.field.text: row.ttl for row in fields},
                ttl.get_ttl(opened, b"gone"),
                values.get_key(opened, b"gone").ttl.value,
                opened.redis.pttl(BINARY),
            ]
        )
        time.sleep(0.05)
    assert looks[0] == looks[1]
    lives, fields, expiry, fact, told = looks[0]
    assert lives == {b"stays": None, BINARY: end - 3000 + HOUR - moment, b"gone": end - moment, b"hash": None}
    assert (expiry.expires_at, expiry.ttl, fact, told) == (end, end - moment, end - moment, lives[BINARY])
    assert fields["field"] == lives[BINARY] and fields["stays"] is None
    if kind == "pull":
        assert fields["over"] == end - moment


def test_filters_by_ttl_go_by_the_moment(redis: Any, connection_as: Callable[..., Any]) -> None:
    end = fill(redis)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    wait_for(end)
    opened = opened_from(connection, backup)
    found = {
        name: set(keys.scan_keys(opened, filter=Filter(ttl=name)).names) for name in ("none", "any", "hour")
    }
    assert found == {"none": {b"stays", b"hash"}, "any": {BINARY, b"gone"}, "hour": {b"gone"} | found["hour"]}


def test_the_pages_do_not_tick(redis: Any, connection_as: Callable[..., Any], admin_client: Client) -> None:
    end = fill(redis)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    wait_for(end)
    opened = opened_from(connection, backup)
    for name in (b"gone", b"hash"):
        page = admin_client.get(
            reverse("key", args=[opened.server.name, 0, name]) + "?view=list"
        ).content.decode()
        assert "data-expires-at" not in page and ">expired" not in page
        assert page.count("as of the backup") >= 2
        assert key_id(BINARY) in page
        assert "from a backup: TTLs stand still" in page


def test_an_ordinary_server_counts_on(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1, px=HOUR)
    connection = connection_as("viewer")
    assert connection.frozen_at is None
    first = connection.redis.pttl("a")
    time.sleep(0.02)
    assert connection.redis.pttl("a") < first


def test_what_a_file_says_of_its_moment_is_not_believed_blindly(
    connection_as: Callable[..., Any], redis: Any
) -> None:
    redis.set("a", 1)
    backup = back_up(connection_as("admin"), "export")
    assert moment_of(backup) >= int(backup.created_at.timestamp() * 1000)
    backup.files = []
    assert moment_of(backup) == int(backup.created_at.timestamp() * 1000)
