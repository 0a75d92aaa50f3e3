"""Statistics of a backup: every key counted once, by type, db and prefix; kept; bounded; for admins."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import opening, services, tally
from keyspace.backups.statistics import analyse_backup, get_statistics
from keyspace.backups.tally import Tally
from keyspace.encoding import key_id
from keyspace.errors import Denied, NotFound
from keyspace.models import AuditEntry, BackupStatistics, OpenBackup
from tests.keyspace.backups.samples import fill
from tests.keyspace.backups.test_restoring import back_up, finish

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture(autouse=True)
def _close_all(request: pytest.FixtureRequest) -> Any:
    yield
    if "redis" in request.fixturenames:
        for opened in OpenBackup.objects.all():
            opening.close(opened)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_statistics_of_a_backup(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    fill(redis)
    end = int(time.time() * 1000) + 2500
    redis.set(b"a\xff:b:1", "x" * 900_000, pxat=end)
    redis.set(b"a\xff:b:2", 1, px=2 * DAY)
    redis.set(b"a\xff:c", 1)
    connection_as("admin", db=3).redis.set("elsewhere", 1)
    connection, size = connection_as("admin"), redis.dbsize()
    backup = back_up(connection, kind)
    time.sleep(max(0.0, end / 1000 - time.time()))
    redis.flushall()  # nothing is asked of the server that the backup is of
    job = finish(analyse_backup(connection, backup_id=str(backup.pk)))
    assert (job.state, job.problem) == ("done", "")
    report = BackupStatistics.objects.get(backup=backup).report
    assert report["total"][0] == size + 1
    assert sum(report["total"][2:]) == report["total"][0]
    assert {row["db"]: row["sum"][0] for row in report["dbs"]} == {0: size, 3: 1}
    for rows in (report["types"], report["dbs"]):
        assert [sum(column) for column in zip(*(row["sum"] for row in rows), strict=True)] == report["total"]
    prefixes = {row["prefix"]: row["sum"] for row in report["prefixes"]}
    assert prefixes["a\\xff:"][0] == 3
    assert prefixes["a\\xff:"][2:] == [1, 1, 0, 1, 0]
    assert prefixes["a\\xff:b:"][0] == 2
    big = report["biggest"][0]
    assert (big["id"], big["type"], big["length"], big["noun"]) == (
        key_id(b"a\xff:b:1"),
        "string",
        900_000,
        "bytes",
    )
    assert 0 <= big["ttl"] <= 4000
    assert AuditEntry.objects.filter(operation="analyse_backup", outcome="done").count() == 1


@pytest.mark.django_db(transaction=True)
def test_statistics_stay_until_the_backup_goes(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    back_up(connection, "pull")
    assert get_statistics(connection, backup_id=str(backup.pk))[1:] == (None, None)
    first = analyse_backup(connection, backup_id=str(backup.pk))
    assert analyse_backup(connection, backup_id=str(backup.pk)) == first
    finish(first)
    for _ in range(2):
        assert get_statistics(connection, backup_id=str(backup.pk))[1].report["total"][0] == 1
        finish(analyse_backup(connection, backup_id=str(backup.pk)))
    services.delete_backup(connection, backup_id=str(backup.pk))
    assert not BackupStatistics.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_open_backup_is_not_loaded_twice(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    assert finish(services.open_backup(connection, backup_id=str(backup.pk))).state == "done"
    monkeypatch.setattr(opening, "load_backup", None)
    assert finish(analyse_backup(connection, backup_id=str(backup.pk))).problem == ""


@pytest.mark.django_db(transaction=True)
def test_statistics_are_for_admins(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    backup = back_up(connection_as("admin"), "pull")
    for role in ("viewer", "operator"):
        with pytest.raises(Denied):
            analyse_backup(connection_as(role), backup_id=str(backup.pk))
        with pytest.raises(Denied):
            get_statistics(connection_as(role), backup_id=str(backup.pk))
    with pytest.raises(NotFound):
        analyse_backup(connection_as("admin"), backup_id="nothing")


@pytest.mark.django_db(transaction=True)
def test_a_backup_that_cannot_be_read_says_so(
    redis: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    settings.SCRATCH_MEMORY = 1
    backup.files[0]["used_memory"] = 10**9
    backup.save()
    job = finish(analyse_backup(connection, backup_id=str(backup.pk)))
    assert job.state == "failed"
    assert "cannot be read here" in job.problem


def added(*names: bytes) -> dict[str, Any]:
    found = Tally()
    for name in names:
        found.add(0, name, "string", 10, None)
    return found.as_dict()


def test_ids_are_not_prefixes() -> None:
    """What has very many parts below it is one row with an exact sum."""
    report = added(*[b"user:%d:profile" % number for number in range(3 * tally.FANOUT)], b"user:x:y:z")
    assert [(row["prefix"], row["sum"][0]) for row in report["prefixes"]] == [("user:", 3 * tally.FANOUT + 1)]


def test_very_many_first_parts_are_one_row_of_their_own() -> None:
    report = added(*[b"%d:x" % number for number in range(tally.PREFIXES + 7)])
    assert report["rest"][0] == 7
    assert len(report["prefixes"]) <= tally.SHOWN
    assert report["total"][0] == tally.PREFIXES + 7


def test_a_chain_of_prefixes_is_one_row() -> None:
    report = added(b"a:b:c:1", b"a:b:c:2", b"a:b:d:1", b"plain")
    shown = {row["prefix"]: (row["depth"], row["sum"][0]) for row in report["prefixes"]}
    assert shown == {"a:b:": (0, 3), "a:b:c:": (1, 2), "a:b:d:": (1, 1), "": (0, 1)}


@pytest.mark.parametrize(
    "name", [b"", b":", b"::", b"\xff:\x00:", b"x" * 5000 + b":y", b"a:" + b"x" * 5000 + b":y:z"]
)
def test_odd_names_are_counted(name: bytes) -> None:
    report = added(name)
    assert sum(row["sum"][0] for row in report["prefixes"] if not row["depth"]) == 1
    assert all(len(row["prefix"]) <= 4 * tally.DEPTH * (tally.LONGEST_PART + 1) for row in report["prefixes"])
    assert report["biggest"][0]["id"] == (key_id(name) if len(name) <= 1000 else None)


def test_only_the_biggest_are_kept() -> None:
    found = Tally()
    for size in range(1000):
        found.add(0, b"%d" % size, "string", size, None)
    biggest = found.as_dict()["biggest"]
    assert [row["memory"] for row in biggest] == list(range(999, 999 - tally.BIGGEST, -1))


@pytest.mark.parametrize(("ttl", "life"), [(None, 0), (0, 1), (HOUR, 2), (DAY, 3), (7 * DAY, 4)])
def test_lives(ttl: int | None, life: int) -> None:
    assert tally.life_of(ttl) == life
