"""Round trips: every type through a backup and back, within a generation and across."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from keyspace import job_worker, trash
from keyspace.backups import making, restore_services, services, transfer
from keyspace.backups.page import get_backups
from keyspace.backups.restore_services import RestoreOrder
from keyspace.errors import BadInput, Conflict, Denied
from keyspace.import_fit import NO_FIELD_TTLS
from keyspace.models import Backup, Job, TrashEntry
from keyspace.trash import list_trash
from tests.keyspace.backups.samples import contents, fill, fill_hash_field_ttl
from tests.servers import RunningServer, find_binary
from tests.shared_servers import shared_server
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def finish(job: Job) -> Job:
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    return job


def back_up(connection: Any, kind: str) -> Backup:
    backup = making.begin_backup(connection, kind)
    assert backup.job is not None
    assert finish(backup.job).state == "done", backup.job.problem
    backup.refresh_from_db()
    return backup


def restore(connection: Any, backup: Backup, **order: Any) -> Job:
    return finish(
        restore_services.restore_backup(
            connection, backup_id=str(backup.pk), order=RestoreOrder(**({"dry": False} | order))
        )
    )


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_every_type_comes_back(
    kind: str, any_server: RunningServer, make_server: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    connection = connection_as("admin", server=make_server(any_server))
    with any_server.client() as client, any_server.client(db=3) as third:
        fill(client)
        fill_hash_field_ttl(client)
        third.hset(b"other\xff", b"f\xfe", b"\x00")
        third.expire(b"other\xff", 3600)
        before, before_3 = contents(client), contents(third)
        backup = back_up(connection, kind)
        assert (backup.state, backup.keys) == ("loaded", {"0": len(before), "3": 1}), backup.state_note
        client.flushall()
        job = restore(connection, backup)
        assert (job.state, job.problem, job.result.get("failed")) == ("done", "", 0), job.result
        after = contents(client)
        assert after.keys() == before.keys()
        assert {name: after[name] for name in after if after[name] != before[name]} == {}
        assert contents(third) == before_3
        if b"hash-ttl" in before:
            assert client.execute_command("HPTTL", "hash-ttl", "FIELDS", 1, "goes")[0] > 3_500_000


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("redis7", "valkey9"), ("valkey9", "redis7"), ("valkey8", "redis8"), ("valkey9", "valkey8"), ("redis8", "valkey9"),
        ("valkey9", "redis8"),
    ],
)  # fmt: skip
def test_across_generations(
    kind: str, source: str, target: str, make_server: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    """Payloads that the target does not take go by their typed form; what it cannot have at all is said by name."""
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    here, there = shared_server(source), shared_server(target)
    with here.client() as client, there.client() as other, here.client(db=3) as third:
        fill(client)
        field_ttl = fill_hash_field_ttl(client)
        third.set(b"other\xff", 1)
        backup = back_up(connection_as("admin", server=make_server(here, "from")), kind)
        into = connection_as("admin", server=make_server(there, "to"))
        dry = restore(into, backup, dry=True)
        job = restore(into, backup)
        expected = contents(client)
        if field_ttl and target in ("redis7", "valkey8"):
            del expected[b"hash-ttl"]
            assert job.result["examples"]["failed"] == ["hash-ttl"]
            assert job.result["problems"][0].endswith("the server does not know the command HPEXPIREAT")
            assert (
                dry.result["fit"]["examples"]["no"] == [["hash-ttl", "hash", NO_FIELD_TTLS]]
                or kind == "readable"
            )
        assert (job.state, job.result["failed"]) == ("done", len(client.keys()) - len(expected)), job.problem
        assert contents(other) == expected
        with there.client(db=3) as copied:
            assert contents(copied) == contents(third)
        if job.result["typed"] and kind != "readable":
            assert dry.result["fit"]["counts"]["readable"] >= job.result["typed"]


def test_dry_run_counts_and_writes_nothing(
    server: RunningServer, redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.mset({"same": 1, "differs": 2, "gone": 3})
    redis.set("expires", 1, px=2500)
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.set("differs", "other")
    redis.delete("gone")
    wait_until(lambda: not redis.exists("expires"), "its end")
    before = contents(redis)
    job = restore(connection, backup, dry=True)
    found = {name: job.result[name] for name in ("new", "same", "different", "expired", "restored")}
    assert found == {"new": 1, "same": 1, "different": 1, "expired": 1, "restored": 0}
    assert job.result["examples"]["different"] == ["differs"]
    assert contents(redis) == before


@pytest.mark.parametrize(
    ("existing", "value"), [("skip", b"new"), ("different", b"old"), ("overwrite", b"old")]
)
def test_existing_keys(existing: str, value: bytes, redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set(b"a\xff", "old")
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.set(b"a\xff", "new")
    job = restore(connection, backup, existing=existing)
    assert redis.get(b"a\xff") == value
    if existing != "skip":
        entry = TrashEntry.objects.get()
        assert (entry.why, entry.operation, entry.job_id) == ("overwritten", "restore_backup", job.pk)
        assert [kept.name for kept in list_trash(connection).kept] == [b"a\xff"]
        trash.restore_key(connection, b"a\xff", entry_id=entry.pk, replace=True)
        assert redis.get(b"a\xff") == b"new"


def test_ttl_policies(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("k", 1, ex=1000)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    Backup.objects.filter(pk=backup.pk).update(created_at=backup.created_at)
    original = redis.execute_command("PEXPIRETIME", "k")
    redis.delete("k")
    restore(connection, backup, ttl="original")
    assert redis.execute_command("PEXPIRETIME", "k") == original
    redis.delete("k")
    restore(connection, backup, ttl="none")
    assert redis.ttl("k") == -1
    redis.delete("k")
    restore(connection, backup, ttl="remaining")
    assert 990_000 < redis.pttl("k") <= 1_001_000


def test_what_expired_comes_back_only_when_asked(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("short", 1, px=2500)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    wait_until(lambda: not redis.exists("short"), "its end")
    assert restore(connection, backup).result["expired"] == 1
    assert not redis.exists("short")
    restore(connection, backup, expired=True)
    assert redis.exists("short")


def test_chosen_keys_into_another_db(
    server: RunningServer, redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.mset({"session:1": 1, "session:2": 2, "other": 3})
    connection = connection_as("admin")
    for kind in ("pull", "export", "readable"):
        backup = back_up(connection, kind)
        restore(connection, backup, match=b"session:*", to_db=7)
        with server.client(db=7) as other:
            assert sorted(other.keys()) == [b"session:1", b"session:2"]
            other.flushdb()
        restore(connection, backup, names=(b"other",), to_db=7)
        with server.client(db=7) as other:
            assert other.keys() == [b"other"]
            other.flushdb()


def test_whole_server_restore_keeps_a_safety_backup(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.mset({"a": 1, "b": 2})
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.delete("a")
    redis.set("later", 1)
    with pytest.raises(BadInput, match="type its name"):
        restore_services.restore_backup(
            connection, backup_id=str(backup.pk), order=RestoreOrder(dry=False, empty=True)
        )
    assert redis.exists("later")
    job = finish(
        restore_services.restore_backup(
            connection, backup_id=str(backup.pk), order=RestoreOrder(dry=False, empty=True), confirmed="test"
        )
    )
    assert job.state == "done", job.problem
    assert sorted(redis.keys()) == [b"a", b"b"]
    assert job.result["counts"] == {"0": 2}
    safety = Backup.objects.get(pk=job.result["safety"])
    assert safety.state == "loaded"
    assert safety.reason == "before a restore"
    restore(connection, safety)
    assert redis.exists("later")


def test_restore_into_a_cluster(
    new_cluster: Callable[..., Any], redis: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    redis.mset({f"key:{number}": number for number in range(200)})
    backup = back_up(connection_as("admin"), "pull")
    cluster = new_cluster(primaries=3)
    job = restore(connection_as("admin", server=make_server(cluster.nodes[1], "cluster")), backup)
    assert (job.state, job.result["restored"]) == ("done", 200), job.problem
    assert cluster.client().get("key:77") == b"77"


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins(role: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    backup = back_up(connection_as("admin"), "export")
    weak = connection_as(role)
    assert [found.pk for found in get_backups(weak).history.backups] == [backup.pk]
    for refused in (
        lambda: services.start_backup(weak, kind="pull"), lambda: services.open_backup(weak, backup_id=str(backup.pk)),
        lambda: services.delete_backup(weak, backup_id=str(backup.pk)), lambda: transfer.download_backup(weak, backup_id=str(backup.pk)),
        lambda: restore_services.restore_backup(weak, backup_id=str(backup.pk), order=RestoreOrder()),
        lambda: services.compare_backup(weak, backup_id=str(backup.pk)), lambda: services.verify_backup(weak, backup_id=str(backup.pk)),
    ):  # fmt: skip
        with pytest.raises(Denied):
            refused()


def test_the_last_verified_backup_stays(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    first = back_up(connection, "pull")
    with pytest.raises(Conflict, match="last verified"):
        services.delete_backup(connection, backup_id=str(first.pk))
    back_up(connection, "pull")
    services.delete_backup(connection, backup_id=str(first.pk))
    assert Backup.objects.count() == 1


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_function_libraries_come_back(
    kind: str, any_server: RunningServer, make_server: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    """None that is there is overwritten, but where the server was emptied."""
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    connection = connection_as("admin", server=make_server(any_server))
    library = "#!lua name=lib\nredis.register_function('one', function() return %d end)"
    with any_server.client() as client:
        client.function_load(library % 1)
        client.set("a", 1)
        backup = back_up(connection, kind)
        client.function_flush()
        client.flushall()
        job = restore(connection, backup)
        assert job.result["functions"] == "The function libraries were restored."
        assert client.fcall("one", 0) == 1
        client.function_load(library % 2, replace=True)
        again = restore(connection, backup, existing="overwrite")
        assert "already exists" in again.result["functions"]
        assert client.fcall("one", 0) == 2
        order = RestoreOrder(dry=False, empty=True)
        finish(
            restore_services.restore_backup(
                connection, backup_id=str(backup.pk), order=order, confirmed="test"
            )
        )
        assert client.fcall("one", 0) == 1


def test_a_restore_that_is_killed_is_resumed(redis: Any, connection_as: Callable[..., Any]) -> None:
    """Nothing is lost or done twice: what is there is skipped, what was emptied is not emptied again."""
    redis.mset({f"key:{number}": number for number in range(500)})
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    order = RestoreOrder(dry=False, empty=True)
    job = restore_services.restore_backup(connection, backup_id=str(backup.pk), order=order, confirmed="test")
    checkpoint = {"safety": str(backup.pk), "emptied": True}
    died = f"{os.uname().nodename} 999999 1 x"
    Job.objects.filter(pk=job.pk).update(state="running", worker=died, checkpoint=checkpoint)
    redis.delete("key:7")
    redis.set("written meanwhile", 1)
    assert job_worker.recover_jobs() == 1
    assert finish(job).state == "done"
    assert redis.get("key:7") == b"7"
    assert redis.exists("written meanwhile")


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_a_selection_of_keys_and_folders(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.mset({"a:1": 1, "a:2": 2, "a[x]:3": 3, b"\xff:4": 4, "b": 5, "c": 6})
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    for names, folders, expected in (
        ((b"b", b"a:1"), (), [b"a:1", b"b"]),
        (None, (b"a:", b"\xff:"), [b"a:1", b"a:2", b"\xff:4"]),
        ((b"a[x]:3", b"a:1"), (b"a[x]:", b"a:"), [b"a:1", b"a:2", b"a[x]:3"]),
    ):
        redis.flushall()
        job = restore(connection, backup, names=names, folders=folders)
        assert (job.state, sorted(redis.keys())) == ("done", expected), job.problem
