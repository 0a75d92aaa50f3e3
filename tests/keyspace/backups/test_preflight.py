"""What is said before a backup begins, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import making, preflight, store
from keyspace.errors import Conflict, Unavailable
from keyspace.models import Backup, Job
from tests.servers import RunningServer
from tests.topologies import lose, start_replica, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
GB = 1_000_000_000
ALL = ("pull", "export", "readable", "snapshot", "aof")


def said(kind: str, **info: Any) -> list[tuple[str, bool]]:
    return [(check.sentence, check.refuses) for check in preflight.refusals(info, kind)]


@pytest.mark.parametrize("kind", ["pull", "export", "readable", "snapshot"])
def test_nothing_stands_in_the_way_of_a_healthy_server(kind: str, redis: Any) -> None:
    assert preflight.refusals(redis.info(), kind) == []


@pytest.mark.parametrize("kind", ALL)
def test_a_loading_server_is_refused(kind: str) -> None:
    assert ("The server is loading its data; wait until it is done.", True) in said(kind, loading=1)


@pytest.mark.parametrize(
    ("free", "sentence", "refuses"),
    [
        (0.1 * GB, "The store's disk has 100 MB free; about 1217 MB more are needed.", True),
        (
            3 * GB,
            "The store's disk has 3000 MB free and the data take 5000 MB of memory: it may become tight.",
            False,
        ),
    ],
)
def test_a_small_disk(free: float, sentence: str, refuses: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: int(free))
    assert preflight._room(5 * GB) == [preflight.Check(sentence, refuses)]


@pytest.mark.parametrize("kind", ALL)
def test_what_stays_on_the_server_needs_no_room_here(
    kind: str, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: 0)
    found = [check.sentence for check in preflight.checks_of(connection_as("admin"), kind)]
    assert ("disk has 0 MB free" in " ".join(found)) == (kind in ("pull", "export", "readable"))


def test_saves_and_rewrites_that_run() -> None:
    assert said("snapshot", rdb_bgsave_in_progress=1) == [("The server is saving a snapshot already.", True)]
    assert said("pull", rdb_bgsave_in_progress=1) == [
        ("The server is saving a snapshot: the pull begins after it.", False)
    ]
    for kind in ("snapshot", "pull"):
        assert said(kind, aof_rewrite_in_progress=1) == [
            ("The server is rewriting its AOF, and saves after that.", False)
        ]
    assert said("aof", aof_enabled=1, aof_rewrite_in_progress=1) == [
        ("The server is rewriting its AOF already.", True)
    ]
    assert said("aof", aof_enabled=1, rdb_bgsave_in_progress=1) == [
        ("The server is saving a snapshot, and rewrites after that.", False)
    ]
    assert said("export", rdb_bgsave_in_progress=1, aof_rewrite_in_progress=1) == []


def test_a_rewrite_of_an_aof_that_is_off() -> None:
    assert "has its AOF off" in said("aof", aof_enabled=0)[0][0]


@pytest.mark.parametrize("kind", ["pull", "snapshot", "aof"])
def test_the_risk_of_a_fork(kind: str) -> None:
    more = {"aof_enabled": 1, "total_system_memory": 16 * GB}
    assert said(kind, used_memory_rss=2 * GB, **more) == []
    assert "writes may need as much again" in said(kind, used_memory_rss=9 * GB, **more)[0][0]
    assert "grow beyond half of its machine" in said(kind, maxmemory=10 * GB, **more)[0][0]
    slow = said(kind, latest_fork_usec=1_400_000, **more)
    assert slow == [("The server stood still for 1.4 s at its last fork, and will again.", False)]


def test_a_replica_that_lost_its_primary(new_server: Callable[..., RunningServer]) -> None:
    primary = new_server("valkey9")
    with start_replica(primary) as replica:
        client = replica.client()
        primary.stop()
        wait_until(lambda: client.info("replication")["master_link_status"] == "down", "the link to break")
        sentence = "The server is a replica that has lost its primary: the backup would be of old data."
        for kind, refuses in (("pull", True), ("export", False), ("snapshot", False)):
            found = [(check.sentence, check.refuses) for check in preflight.refusals(client.info(), kind)]
            assert (sentence, refuses) in found


def test_a_refusal_starts_nothing(connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: 0)
    with pytest.raises(Conflict, match="more are needed"):
        making.begin_backup(connection_as("admin"), "pull")
    assert not Backup.objects.exists()
    assert not Job.objects.exists()


def sentences(connection: Any, kind: str, **more: bool) -> list[tuple[str, bool]]:
    return [(check.sentence, check.refuses) for check in preflight.checks_of(connection, kind, **more)]


def test_every_node_of_a_cluster_is_asked_and_named(
    new_cluster: Callable[..., Any],
    make_server: Any,
    connection_as: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = new_cluster(primaries=3, **{"cluster-node-timeout": 30_000})
    connection = connection_as("admin", server=make_server(cluster.nodes[0]))
    assert sentences(connection, "pull") == []
    saving = cluster.nodes[2]
    saving.client().execute_command("DEBUG", "POPULATE", 2000, "key", 10)
    saving.client().config_set("rdb-key-save-delay", 5000)
    saving.client().bgsave()
    who = f"The primary {saving.host}:{saving.port}"
    assert sentences(connection, "pull") == [
        (f"{who} is saving a snapshot: the pull begins after it.", False)
    ]
    with pytest.raises(Conflict, match=f"{who} is saving a snapshot already"):
        making.begin_backup(connection, "snapshot")
    assert sentences(connection, "export") == []
    assert len(sentences(connection, "aof")) == 3
    saving.client().execute_command("DEBUG", "POPULATE", 200_000, "more", 1000)
    monkeypatch.setattr(store, "free_bytes", lambda: 65 * 1024 * 1024)
    [(room, refused)] = sentences(connection, "export")
    assert ("more are needed" in room, refused) == (True, True)


def test_the_replica_that_will_be_read_is_asked(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    primary = new_server("valkey9")
    connection = connection_as("admin", server=make_server(primary))
    with start_replica(primary) as replica:
        replica.client().execute_command("DEBUG", "POPULATE", 2000, "key", 10)
        replica.client().config_set("rdb-key-save-delay", 5000)
        replica.client().bgsave()
        saves = f"The replica {replica.host}:{replica.port} is saving a snapshot"
        assert sentences(connection, "pull") == [(f"{saves}: the pull begins after it.", False)]
        assert sentences(connection, "snapshot", replicas=True) == [(f"{saves} already.", True)]
        assert sentences(connection, "snapshot") == []


def test_a_cluster_that_lacks_a_shard_is_refused(
    new_cluster: Callable[..., Any], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    cluster = new_cluster(primaries=3)
    connection = connection_as("admin", server=make_server(cluster.nodes[0]))
    lose(cluster, 2)
    gone = f"{cluster.nodes[2].host}:{cluster.nodes[2].port}"
    wait_until(
        lambda: "fail" in connection.redis.execute_command("CLUSTER NODES")[gone]["flags"].split(","),
        "the others to notice",
    )
    with pytest.raises(Unavailable, match="its keys would be missing"):
        making.begin_backup(connection, "pull")
    assert not Backup.objects.exists()
