"""A whole server back from a temporary primary: within a family, and refused in words where it would end badly."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, NoPermissionError

from keyspace import job_worker
from keyspace.backups import restore_primary, restore_services
from keyspace.backups.releases import Release, release_of
from keyspace.backups.restore_offer import make_offer, parse_place
from keyspace.backups.restore_services import RestoreOrder
from keyspace.errors import BadInput, Conflict
from keyspace.models import Backup, Job
from keyspace.secrets import encrypt
from tests.keyspace.backups.samples import contents, fill, fill_hash_field_ttl
from tests.keyspace.backups.test_restoring import back_up, finish
from tests.servers import RunningServer, find_binary
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
WHOLE = RestoreOrder(dry=False, empty=True, method="primary")


@pytest.fixture(autouse=True)
def _more_binaries(settings: Any) -> None:
    settings.SCRATCH_BINARIES = [str(find_binary(kind)) for kind in ("valkey8", "redis7", "redis8")]


def copy(connection: Any, backup: Backup, **more: Any) -> Job:
    order = RestoreOrder(**({"dry": False, "empty": True, "method": "primary"} | more))
    name = connection.server.name
    return finish(
        restore_services.restore_backup(connection, backup_id=str(backup.pk), order=order, confirmed=name)
    )


def _rewrites(client: Any) -> bool:
    facts = client.info("persistence")
    return bool(facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])


@pytest.mark.parametrize("kind", ["valkey9", "valkey8", "redis7", "redis8"])
def test_a_server_is_copied_whole(
    kind: str, new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """Every type, TTLs, functions, several dbs; and afterwards it is a primary again with its own settings."""
    server = new_server(kind, masterauth="own", masteruser="self")
    connection = connection_as("admin", server=make_server(server))
    with server.client() as client, server.client(db=3) as third:
        fill(client)
        fill_hash_field_ttl(client)
        third.set(b"other\xff", 1, ex=1000)
        client.set("short", 1, px=2500)
        client.function_load("#!lua name=lib\nredis.register_function('one', function() return 1 end)")
        backup = back_up(connection, "pull")
        wait_until(lambda: not client.exists("short"), "its end")
        before = contents(client), contents(third)
        client.flushall()
        client.function_flush()
        client.set("later", 1)
        job = copy(connection, backup)
        assert (job.state, job.problem) == ("done", "")
        assert (contents(client), contents(third)) == before
        assert client.fcall("one", 0) == 1
        assert job.result["counts"] == {"0": len(before[0]), "3": 1}
        assert job.result["restored"] == len(before[0]) + 1
        assert job.result["expired"] == 1
        assert client.info("replication")["role"] == "master"
        assert client.config_get("master*")["masterauth"] == "own"
        assert client.config_get("master*")["masteruser"] == "self"
        assert Job.objects.get(pk=job.pk).checkpoint == {"safety": job.result["safety"]}
        safety = Backup.objects.get(pk=job.result["safety"])
        assert (safety.state, safety.keys) == ("loaded", {"0": 1})


def test_a_target_with_a_password_and_an_aof(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """What was copied is in its AOF: it is there after a restart."""
    server = new_server("valkey9", requirepass="secret", appendonly="yes")
    connection = connection_as("admin", server=make_server(server, password="secret"))
    with server.client(password="secret") as client:
        fill(client)
        before = contents(client)
        backup = back_up(connection, "pull")
        client.flushall()
        assert copy(connection, backup).state == "done"
        wait_until(lambda: not _rewrites(client), "the rewrite")
    server.restart()
    with server.client(password="secret") as client:
        assert contents(client) == before


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ("-replicaof", "may not REPLICAOF"),
        ("-config", "CONFIG is refused"),
        ("-config|set", "may not CONFIG"),
    ],
)
def test_a_user_who_may_not(
    rules: str, reason: str, redis: Any, new_server: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set("a", 1)
    backup = back_up(connection_as("admin"), "pull")
    server = new_server("valkey9", acl=[f"narrow on >pw ~* &* +@all {rules}"])
    row = make_server(server, "narrow", username="narrow", password="pw")
    assert reason in make_offer(connection_as("admin", server=row), backup).reason


def test_nobody_else_gets_at_the_primary(
    server: RunningServer,
    redis: Any,
    connection_as: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    listen, seen = restore_primary._listen, []

    def look(*given: Any) -> Any:
        primary = listen(*given)
        place = {"host": primary.host, "port": primary.port, "protocol": 2}
        user = {"username": restore_primary._USER, "password": primary.password}
        with server.client(**place) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        with server.client(**place, **user) as replica, pytest.raises(NoPermissionError):
            replica.dbsize()
        seen.append(primary.scratch)
        return primary

    monkeypatch.setattr(restore_primary, "_listen", look)
    assert copy(connection, backup).state == "done"
    assert seen[0].process.poll() is not None
    assert not seen[0].directory.exists()


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("valkey9", "valkey8", "Valkey 8.1 does not read VALKEY080"),
        ("valkey9", "redis7", "Redis 7.0 does not read VALKEY080"),
        ("redis8", "valkey9", "was not loaded|does not read REDIS0012"),
        ("valkey8", "redis7", "does not read REDIS0011"),
        ("redis7", "valkey9", ""),
    ],
)
def test_across_generations(
    source: str,
    target: str,
    reason: str,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    connection_as: Callable[..., Any],
) -> None:
    """Refused before anything is changed; or it works."""
    here, there = new_server(source), new_server(target)
    with here.client() as client, there.client() as other:
        client.set("a", 1)
        other.set("b", 1)
        backup = back_up(connection_as("admin", server=make_server(here, "from")), "pull")
        into = connection_as("admin", server=make_server(there, "to"))
        if not reason:
            assert copy(into, backup).state == "done"
            assert other.keys() == [b"a"]
            return
        with pytest.raises(Conflict, match=reason):
            copy(into, backup)
        assert other.keys() == [b"b"]
        assert not Job.objects.filter(kind="restore_backup").exists()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"databases": 2}, "2 dbs"), ({"maxmemory": "900kb"}, "maxmemory"), ({"rename-command": 'CONFIG ""'}, "CONFIG is refused"),
        ({"cluster-enabled": "yes"}, "cluster"), ({"replicaof": "127.0.0.1 1"}, "replica itself"),
    ],
)  # fmt: skip
def test_refusals_of_the_target(
    config: dict[str, Any],
    reason: str,
    server: RunningServer,
    redis: Any,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    connection_as: Callable[..., Any],
) -> None:
    with server.client(db=3) as third:
        third.set("a", 1)
    backup = back_up(connection_as("admin"), "pull")
    target = new_server("valkey9", config=config)
    offer = make_offer(connection_as("admin", server=make_server(target, "to")), backup)
    assert reason in offer.reason


def test_not_with_replicas_or_sentinel(
    server: RunningServer, redis: Any, new_server: Callable[..., RunningServer], connection_as: Any
) -> None:
    connection = connection_as("admin")
    redis.set("a", 1)
    backup = back_up(connection, "pull")
    watcher = server.client().pubsub()
    watcher.subscribe("__sentinel__:hello")
    watcher.get_message(timeout=30)
    assert "Sentinel" in make_offer(connection, backup).reason
    watcher.close()
    replica = new_server("valkey9", replicaof=f"127.0.0.1 {server.port}")
    while redis.info("replication")["connected_slaves"] == 0:
        time.sleep(0.05)
    assert "has replicas" in make_offer(connection, backup).reason
    replica.stop()


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_only_an_rdb(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    assert "one RDB" in make_offer(connection, back_up(connection, kind)).reason


@pytest.mark.parametrize(
    "chosen",
    [{"match": b"a*"}, {"db": 0}, {"to_db": 1}, {"ttl": "none"}, {"expired": True}, {"empty": False}],
)
def test_it_copies_everything_or_nothing(chosen: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="copies everything"):
        RestoreOrder(**({"empty": True, "method": "primary"} | chosen)).check()


def test_a_target_that_does_not_reach_us_is_as_it_was(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_primary, "SILENT_SECONDS", 0.6)
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.set("b", 1)
    job = copy(connection, backup, reach="192.0.2.1:7400")
    assert job.state == "failed"
    assert "does not copy from 192.0.2.1:7400" in job.problem
    assert restore_primary.AS_IT_WAS in job.problem
    assert job.result["safety"]
    assert sorted(redis.keys()) == [b"a", b"b"]
    assert redis.info("replication")["role"] == "master"
    assert redis.config_get("masterauth")["masterauth"] == ""


def test_a_primary_that_ends_half_way_is_said_and_the_safety_backup_helps(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_primary, "SILENT_SECONDS", 1.5)
    redis.execute_command("DEBUG", "POPULATE", 4000, "k", 500)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    redis.flushall()
    redis.set("mine", 1)
    listen = restore_primary._listen

    def slowly(*given: Any) -> Any:
        primary = listen(*given)
        primary.client.config_set("rdb-key-save-delay", 5000)
        return primary

    watch = restore_primary._await_copy

    def kill(run: Any, target: Any, primary: Any, told: Any) -> None:
        while not target.info("replication").get("master_sync_in_progress"):
            time.sleep(0.02)
        told["far"] = restore_primary.BEGUN
        primary.scratch.process.kill()
        watch(run, target, primary, told)

    monkeypatch.setattr(restore_primary, "_listen", slowly)
    monkeypatch.setattr(restore_primary, "_await_copy", kill)
    job = copy(connection, backup)
    assert job.state == "failed"
    assert restore_primary.BEGUN in job.problem
    assert "safety backup" in job.problem
    assert redis.info("replication")["role"] == "master"
    monkeypatch.undo()
    safety = Backup.objects.get(pk=job.result["safety"])
    assert copy(connection, safety).state == "done"
    assert redis.keys() == [b"mine"]


def test_the_address_is_said_where_ours_is_not_the_one(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    listen, places = restore_primary._listen, []

    def look(*given: Any) -> Any:
        places.append(given[1:])
        return listen(*given)

    monkeypatch.setattr(restore_primary, "_listen", look)
    for reach in ("127.0.0.9", "localhost"):
        assert copy(connection, backup, reach=reach).state == "done"
    assert places == [("127.0.0.9", "127.0.0.9", 0), ("127.0.0.1", "localhost", 0)]


def test_after_kill_9_of_the_console_the_target_is_put_right_and_the_copy_made(
    redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    job = restore_services.restore_backup(connection, backup_id=str(backup.pk), order=WHOLE, confirmed="test")
    kept = {"masteruser": "", "masterauth": encrypt("own")}
    Job.objects.filter(pk=job.pk).update(
        state="running", worker="nobody 0 0 x", beat_at="2020-01-01T00:00:00Z",
        checkpoint={"safety": str(backup.pk), "primary": kept},
    )  # fmt: skip
    redis.config_set("masterauth", "one that is gone")
    redis.execute_command("REPLICAOF", "127.0.0.1", 1)
    assert job_worker.recover_jobs() == 1
    assert finish(job).state == "done", job.problem
    assert redis.info("replication")["role"] == "master"
    assert redis.config_get("masterauth")["masterauth"] == "own"


def test_cancel_while_the_target_copies(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")

    def cancel(run: Any, *_: Any) -> None:
        run.cancelled.set()
        run.check()

    monkeypatch.setattr(restore_primary, "_await_copy", cancel)
    job = copy(connection, backup)
    assert job.state == "cancelled"
    assert job.result["far"]
    assert redis.info("replication")["role"] == "master"


def test_places() -> None:
    assert parse_place("10.0.0.7") == ("10.0.0.7", 0)
    assert parse_place(" console.internal:7400 ") == ("console.internal", 7400)
    assert parse_place("[::1]:7400") == ("::1", 7400)
    assert parse_place("fe80::1") == ("fe80::1", 0)
    for bad in ("", "a b", "x:99999", "x:-1", "; REPLICAOF", "x:1:2\n"):
        with pytest.raises(BadInput):
            parse_place(bad)


def test_releases() -> None:
    assert release_of(find_binary("valkey9")) == Release("valkey", (9, 1))
    assert release_of(find_binary("redis7")) == Release("redis", (7, 0))
    assert Release("valkey", (9, 0)).reads(11)
    assert not Release("valkey", (9, 0)).reads(12)
    assert not Release("valkey", (8, 1)).reads(80)
    assert Release("redis", (8, 2)).reads(12)
