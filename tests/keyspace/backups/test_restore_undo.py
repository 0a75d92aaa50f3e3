"""Undo of a restore, and what a restore does with keys that are there."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import restore_back, restore_services
from keyspace.backups.restore_services import RestoreOrder
from keyspace.backups.restore_undo import undo_restore
from keyspace.errors import Conflict, Denied, NotFound
from keyspace.models import Job, MadeKey, TrashEntry
from tests.keyspace.backups.samples import contents, fill
from tests.keyspace.backups.test_restoring import back_up, finish, restore
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)


def take_back(connection: Any, job: Job) -> Job:
    return finish(undo_restore(connection, job_id=str(job.pk)))


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_undo_takes_every_type_back(
    kind: str, any_server: RunningServer, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """What was overwritten is as it was, with its TTL; what was new is gone."""
    connection = connection_as("admin", server=make_server(any_server))
    with any_server.client() as client:
        fill(client)
        backup = back_up(connection, kind)
        if backup.state == "unverifiable":
            return
        client.delete("list", "stream", b"bin\xff\x00\n:name")
        client.set("plain", "later", px=900_000)
        client.sadd("set", "later")
        client.set("hash", "another type")
        before = contents(client)
        job = restore(connection, backup, existing="different")
        assert (job.state, job.result["restored"], job.result["failed"]) == ("done", 6, 0), job.result
        assert job.result["undo"] == {"new": 3, "overwritten": 3, "beyond": False}
        undone = take_back(connection, job)
        assert undone.result["counts"] == {"put_back": 3, "removed": 3}
        assert contents(client) == before
        job.refresh_from_db()
        assert job.result["undone"] == str(undone.pk)


def test_undo_leaves_alone_what_changed_since(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.mset({"new": 1, "new-changed": 1, "new-gone": 1, "old": 1, "old-changed": 1, "old-gone": 1})
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.delete("new", "new-changed", "new-gone")
    redis.mset({"old": 2, "old-changed": 2, "old-gone": 2})
    job = restore(connection, backup, existing="overwrite")
    redis.mset({"new-changed": 3, "old-changed": 3})
    redis.delete("new-gone", "old-gone")
    undone = take_back(connection, job)
    assert undone.result["counts"] == {"put_back": 1, "removed": 1, "changed": 2, "gone": 2}
    assert sorted(undone.result["examples"]["changed"]) == ["new-changed", "old-changed"]
    assert contents(redis).keys() == {b"old", b"new-changed", b"old-changed"}
    assert redis.mget("old", "new-changed", "old-changed") == [b"2", b"3", b"3"]
    with pytest.raises(Conflict, match="nothing left"):
        MadeKey.objects.all().delete()
        TrashEntry.objects.all().delete()
        undo_restore(connection, job_id=str(job.pk))


def test_undo_of_a_key_whose_time_has_passed(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("k", "old")
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.set("k", "short", px=60_000)
    job = restore(connection, backup, existing="different")
    assert redis.get("k") == b"old"
    assert TrashEntry.objects.filter(job=job).update(expires_at=1000) == 1
    assert take_back(connection, job).result["counts"] == {"expired": 1}
    assert not redis.exists("k")


def test_undo_twice_is_once(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("k", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.delete("k")
    job = restore(connection, backup)
    first = undo_restore(connection, job_id=str(job.pk))
    assert undo_restore(connection, job_id=str(job.pk)).pk == first.pk
    finish(first)
    assert not redis.exists("k")
    for role in ("viewer", "operator"):
        with pytest.raises(Denied):
            undo_restore(connection_as(role), job_id=str(job.pk))
    with pytest.raises(NotFound):
        undo_restore(connection, job_id=str(first.pk))


def test_an_undo_that_is_killed_goes_on(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.mset({f"key:{number}": number for number in range(1200)})
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.flushall()
    job = restore(connection, backup)
    assert job.result["undo"]["new"] == 1200
    undo = undo_restore(connection, job_id=str(job.pk))
    MadeKey.objects.filter(pk__in=list(MadeKey.objects.values_list("pk", flat=True)[:500])).delete()
    redis.delete(*redis.keys()[:7])
    assert finish(undo).state == "done"
    assert undo.result["counts"]["removed"] + undo.result["counts"].get("gone", 0) == 700
    assert not MadeKey.objects.exists()


def test_more_new_keys_than_undo_takes_back(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_back, "UNDO_KEYS", 300)
    redis.mset({f"key:{number}": number for number in range(1000)})
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.flushall()
    redis.set("key:1", "other")
    job = restore(connection, backup, existing="different")
    assert job.result["undo"] == {"new": 0, "overwritten": 1, "beyond": True}
    assert take_back(connection, job).result["counts"] == {"put_back": 1}
    assert (redis.get("key:1"), redis.dbsize()) == (b"other", 1000)


@pytest.mark.parametrize("limit", ["TRASH_KEY_BYTES", "TRASH_BYTES"])
def test_what_does_not_fit_the_trash_is_left_alone_unless_asked(
    limit: str, redis: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    redis.mset({"large": "x", "small": "x"})
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.config_set("rdbcompression", "no")
    redis.mset({"large": b"y" * 40_000, "small": "y"})
    setattr(settings, limit, 20_000)
    for chosen, dry in (({}, "too_large"), ({"beyond_trash": True}, "lost")):
        looked = restore(connection, backup, existing="overwrite", dry=True, **chosen)
        assert looked.result[dry] == 1
        assert looked.result["examples"][dry] == ["large"]
    job = restore(connection, backup, existing="overwrite")
    assert (job.result["too_large"], job.result["restored"], job.result["skipped"]) == (1, 1, 1)
    assert redis.strlen("large") == 40_000
    assert [bytes(entry.name) for entry in TrashEntry.objects.all()] == [b"small"]
    job = restore(connection, backup, existing="overwrite", beyond_trash=True)
    assert (job.result["lost"], redis.get("large")) == (1, b"x")


def test_only_older_leaves_what_was_used_since(
    new_server: Callable[..., RunningServer], redis: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    other = new_server("valkey8")
    with other.client() as there:
        there.mset({"used": "theirs", "unused": "theirs"})
        time.sleep(2.5)
        redis.mset({"used": "ours", "unused": "ours", "new": "ours"})
        backup = back_up(connection_as("admin"), "export")
        time.sleep(2.1)
        there.get("used")
        into = connection_as("admin", server=make_server(other, "other"))
        looked = restore(into, backup, existing="older", dry=True)
        job = restore(into, backup, existing="older")
        for found in (looked, job):
            assert (found.result["newer"], found.result["skipped"]) == (1, 1)
        assert there.mget("used", "unused", "new") == [b"theirs", b"ours", b"ours"]
        assert take_back(into, job).result["counts"] == {"put_back": 1, "removed": 1}
        there.config_set("maxmemory-policy", "allkeys-lfu")
        with pytest.raises(Conflict, match="counts how often"):
            restore(into, backup, existing="older")


def test_only_older_is_refused_where_a_look_counts_as_use(
    new_server: Callable[..., RunningServer], redis: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set("a", 1)
    backup = back_up(connection_as("admin"), "export")
    into = connection_as("admin", server=make_server(new_server("redis7"), "other"))
    with pytest.raises(Conflict, match="our own look"):
        restore(into, backup, existing="older")


def test_a_key_that_is_written_all_the_time_is_not_lost(
    server: RunningServer, redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our look and our write somebody writes: that write is looked at again, and ends in the trash."""
    redis.mset({"busy": "backup", "calm": "backup"})
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.mset({"busy": "before", "calm": "before"})
    keep, times = restore_back.TrashBack.keep, []

    def keep_slowly(back: Any, lost: Any) -> Any:
        times.append([old.name for old in lost])
        if len(times) == 1:
            redis.set("busy", "meanwhile")
        return keep(back, lost)

    monkeypatch.setattr(restore_back.TrashBack, "keep", keep_slowly)
    job = restore(connection, backup, existing="overwrite")
    assert (job.result["restored"], job.result["different"]) == (2, 2)
    assert TrashEntry.objects.count() == 2
    take_back(connection, job)
    assert redis.mget("busy", "calm") == [b"meanwhile", b"before"]


def test_a_set_in_another_order_is_the_same(
    new_server: Callable[..., RunningServer], redis: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """Each server keeps large sets and hashes in an order of its own."""
    fill(redis)
    backup = back_up(connection_as("admin"), "pull")
    other = new_server("valkey9")
    into = connection_as("admin", server=make_server(other, "other"))
    restore(into, backup)
    again = restore(into, backup, dry=True)
    assert (again.result["new"], again.result["different"], again.result["same"]) == (0, 0, backup.total_keys)
    with other.client() as there:
        there.srem("set", b"m5\xff")
        there.hset("hash-big", "f7", "other")
        there.xack("stream", "group", "2-1")
    again = restore(into, backup, dry=True)
    assert sorted(again.result["examples"]["different"]) == ["hash-big", "set", "stream"]


def test_a_string_that_is_only_compressed_there_is_the_same(
    redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.mset({"long": "x" * 5000, "other": "y" * 5000, "number": 17})
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.config_set("rdbcompression", "no")
    redis.set("other", "z" * 5000)
    looked = restore(connection, backup, dry=True)
    assert (looked.result["same"], looked.result["examples"]["different"]) == (2, ["other"])


def test_overwriting_in_a_cluster(
    new_cluster: Callable[..., Any], redis: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    redis.mset({f"key:{number}": number for number in range(60)})
    backup = back_up(connection_as("admin"), "export")
    cluster = new_cluster(primaries=3)
    client = cluster.client()
    for number in range(30):
        client.set(f"key:{number}", "other")
    into = connection_as("admin", server=make_server(cluster.nodes[1], "cluster"))
    job = restore(into, backup, existing="different")
    assert (job.state, job.problem) == ("done", "")
    assert client.get("key:7") == b"7"
    assert take_back(into, job).result["counts"] == {"put_back": 30, "removed": 30}
    assert client.get("key:7") == b"other"
    assert not client.exists("key:40")


def test_a_restore_into_an_emptied_server_has_its_safety_backup(
    redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    order = RestoreOrder(dry=False, empty=True)
    job = finish(
        restore_services.restore_backup(connection, backup_id=str(backup.pk), order=order, confirmed="test")
    )
    assert job.result["safety"]
    assert "undo" not in job.result
    with pytest.raises(Conflict, match="nothing left"):
        undo_restore(connection, job_id=str(job.pk))


def test_a_readable_export_that_no_server_here_loads(
    json_server: RunningServer, json_redis: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """JSON documents need their module: they go line by line, with the same policies and the same way back."""
    json_redis.execute_command("JSON.SET", "doc", "$", '{"a": 1}')
    json_redis.set("text", "backup")
    connection = connection_as("admin", server=make_server(json_server))
    backup = back_up(connection, "readable")
    assert backup.state == "unverifiable"
    json_redis.execute_command("JSON.SET", "doc", "$", '{"a": 2}')
    json_redis.delete("text")
    looked = restore(connection, backup, dry=True)
    assert (looked.result["new"], looked.result["different"], json_redis.exists("text")) == (1, 1, 0)
    looked.delete()
    assert restore(connection, backup).result["skipped"] == 1
    take_back(connection, Job.objects.get(kind="restore_backup"))
    job = restore(connection, backup, existing="overwrite")
    assert (job.state, job.result["restored"], job.result["typed"]) == ("done", 2, 2)
    assert json_redis.execute_command("JSON.GET", "doc") == b'{"a":1}'
    assert take_back(connection, job).result["counts"] == {"put_back": 1, "removed": 1}
    assert json_redis.execute_command("JSON.GET", "doc") == b'{"a":2}'
    assert not json_redis.exists("text")
