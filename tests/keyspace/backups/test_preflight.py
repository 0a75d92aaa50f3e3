"""What is said before a backup begins, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import making, preflight, store
from keyspace.errors import Conflict
from keyspace.models import Backup, Job
from tests.servers import RunningServer
from tests.topologies import start_replica, wait_until

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


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
@pytest.mark.parametrize(
    ("free", "sentence", "refuses"),
    [
        (0.1 * GB, "The store's disk has 100 MB free; about 1217 MB more are needed.", True),
        (
            3 * GB,
            "The store's disk has 3000 MB free and the server uses 5000 MB: it may become tight.",
            False,
        ),
    ],
)
def test_a_small_disk(
    kind: str, free: float, sentence: str, refuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: int(free))
    assert said(kind, used_memory=5 * GB) == [(sentence, refuses)]


@pytest.mark.parametrize("kind", ["snapshot", "aof"])
def test_what_stays_on_the_server_needs_no_room_here(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: 0)
    assert said(kind, used_memory=5 * GB, aof_enabled=1) == []


def test_saves_and_rewrites_that_run() -> None:
    assert said("snapshot", rdb_bgsave_in_progress=1) == [("The server is saving a snapshot already.", True)]
    assert said("pull", rdb_bgsave_in_progress=1) == [
        ("The server is saving a snapshot: the pull begins after it.", False)
    ]
    for kind in ("snapshot", "pull"):
        assert said(kind, aof_rewrite_in_progress=1) == [
            ("An AOF rewrite is running: the server saves after it.", False)
        ]
    assert said("aof", aof_enabled=1, aof_rewrite_in_progress=1) == [
        ("An AOF rewrite is running already.", True)
    ]
    assert said("aof", aof_enabled=1, rdb_bgsave_in_progress=1) == [
        ("A snapshot is being saved: the server rewrites after it.", False)
    ]
    assert said("export", rdb_bgsave_in_progress=1, aof_rewrite_in_progress=1) == []


def test_a_rewrite_of_an_aof_that_is_off() -> None:
    assert "AOF is off" in said("aof", aof_enabled=0)[0][0]


@pytest.mark.parametrize("kind", ["pull", "snapshot", "aof"])
def test_the_risk_of_a_fork(kind: str) -> None:
    more = {"aof_enabled": 1, "total_system_memory": 16 * GB}
    assert said(kind, used_memory_rss=2 * GB, **more) == []
    assert "writes may need as much again" in said(kind, used_memory_rss=9 * GB, **more)[0][0]
    assert "more than half of the machine" in said(kind, maxmemory=10 * GB, **more)[0][0]
    slow = said(kind, latest_fork_usec=1_400_000, **more)
    assert slow == [("The last fork took 1.4 s: the server stands still that long.", False)]


def test_a_replica_that_lost_its_primary(new_server: Callable[..., RunningServer]) -> None:
    primary = new_server("valkey9")
    with start_replica(primary) as replica:
        client = replica.client()
        primary.stop()
        wait_until(lambda: client.info("replication")["master_link_status"] == "down", "the link to break")
        sentence = "This replica has lost its primary: the backup would be of old data."
        for kind, refuses in (("pull", True), ("export", False), ("snapshot", False)):
            found = [(check.sentence, check.refuses) for check in preflight.refusals(client.info(), kind)]
            assert (sentence, refuses) in found


def test_a_refusal_starts_nothing(connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda: 0)
    with pytest.raises(Conflict, match="more are needed"):
        making.begin_backup(connection_as("admin"), "pull")
    assert not Backup.objects.exists()
    assert not Job.objects.exists()
