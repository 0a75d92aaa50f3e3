"""A replica that does not let itself be read is passed over, with the reason: for the next one, then for the primary."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from keyspace.backups import making, pulling, store
from keyspace.job_runs import Run
from keyspace.jobs import cancel_job
from keyspace.models import Backup
from tests.keyspace.backups.test_saving import run
from tests.servers import RunningServer
from tests.topologies import start_replica

pytestmark = pytest.mark.django_db(transaction=True)
Maker = Callable[..., Any]
KEYS = 500


def fill(server: RunningServer) -> None:
    server.client().mset({b"key:\xff%d" % number: os.urandom(2000) for number in range(KEYS)})


class Pair:
    """A primary with two replicas, in the order in which they are asked, and an admin there."""

    def __init__(self, stack: ExitStack, primary: RunningServer, connection: Any) -> None:
        fill(primary)
        self.primary, self.connection = primary, connection
        started = [stack.enter_context(start_replica(primary)) for _ in range(2)]
        info = primary.client().info("replication")
        ports = [info[f"slave{number}"]["port"] for number in range(2)]
        self.first, self.second = sorted(started, key=lambda replica: ports.index(replica.port))

    def pull(self) -> Backup:
        return run(making.begin_backup(self.connection, "pull"))


@pytest.fixture
def pair(new_server: Maker, make_server: Maker, connection_as: Maker) -> Iterator[Pair]:
    primary = new_server("valkey9")
    with ExitStack() as stack:
        yield Pair(stack, primary, connection_as("admin", server=make_server(primary)))


def name(server: RunningServer) -> str:
    return f"{server.host}:{server.port}"


def deny_sync(server: RunningServer) -> None:
    server.client().execute_command("ACL", "SETUSER", "default", "-sync", "-psync")


def test_a_replica_whose_acl_refuses_sync_gives_way_to_the_next(pair: Pair) -> None:
    deny_sync(pair.first)
    backup = pair.pull()
    assert (backup.state, backup.source) == ("loaded", f"replica {name(pair.second)}")
    assert (backup.keys, len(backup.files)) == ({"0": KEYS}, 1)
    assert backup.remark.startswith(f"The replica {name(pair.first)} was passed over: ")
    assert "+sync is missing" in backup.remark
    assert not list(store.parts_directory().iterdir())


def test_after_all_replicas_comes_the_primary(pair: Pair) -> None:
    deny_sync(pair.first)
    pair.second.client().config_set("requirepass", "another")
    backup = pair.pull()
    assert (backup.state, backup.source) == ("loaded", f"primary {name(pair.primary)}")
    assert backup.remark.count("was passed over") == 2
    assert f"The replica {name(pair.second)} was passed over: " in backup.remark
    assert "password" in backup.remark


def test_where_nobody_lets_itself_be_read_it_fails_and_all_reasons_are_told(pair: Pair) -> None:
    for server in (pair.first, pair.second, pair.primary):
        deny_sync(server)
    backup = pair.pull()
    assert (backup.state, backup.files) == ("failed", [])
    assert "+sync is missing" in backup.state_note
    assert backup.remark.count("was passed over") == 2


def test_a_replica_that_dies_in_the_middle_gives_way_and_leaves_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled, asked = pulling.pull_rdb, []
    pair.first.client().config_set("rdb-key-save-delay", 5000)

    def dying(endpoint: Any, *, write: Callable[..., None], **more: Any) -> Any:
        asked.append(endpoint.port)

        def first(data: memoryview) -> None:
            write(data)
            if endpoint.port == pair.first.port:
                pair.first.kill()

        return pulled(endpoint, write=first, **more)

    monkeypatch.setattr(pulling, "pull_rdb", dying)
    backup = pair.pull()
    assert asked == [pair.first.port, pair.second.port]
    assert (backup.state, backup.keys, len(backup.files)) == ("loaded", {"0": KEYS}, 1)
    assert "What it sent was not whole: the server closed the connection" in backup.remark
    assert not list(store.parts_directory().iterdir())


@pytest.mark.parametrize("how", ["hangs", "is loading", "was promoted"])
def test_a_replica_that_is_not_fit_is_passed_over(how: str, pair: Pair) -> None:
    if how == "hangs":
        pair.first.pause()
    elif how == "is loading":
        client = pair.first.client()
        client.config_set("key-load-delay", 20_000)
        client.config_set("loading-process-events-interval-bytes", 1024)
        client.execute_command("REPLICAOF", "NO", "ONE")
        client.execute_command("REPLICAOF", pair.primary.host, pair.primary.port)
    else:
        pair.first.client().execute_command("REPLICAOF", "NO", "ONE")
    backup = pair.pull()
    pair.first.resume()
    assert (backup.state, backup.keys) == ("loaded", {"0": KEYS}), backup.state_note
    assert backup.source != f"replica {name(pair.first)}"


def test_a_full_disk_is_no_reason_to_ask_the_next(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(part: store.Part, view: memoryview) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.Part, "_write_all", full)
    backup = pair.pull()
    assert (backup.state, backup.remark) == ("failed", "")
    assert "disk of the backup store is full" in backup.state_note


def test_a_cancel_is_no_reason_to_ask_the_next(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled, asked = pulling.pull_rdb, []

    def cancelled(endpoint: Any, *, write: Any, **more: Any) -> Any:
        asked.append(endpoint.port)
        backup = Backup.objects.get()
        assert backup.job is not None
        cancel_job(pair.connection.actor, backup.job.pk)
        raise_when_heard(more["progress"])
        return pulled(endpoint, write=write, **more)

    monkeypatch.setattr(pulling, "pull_rdb", cancelled)
    backup = pair.pull()
    assert (backup.state, backup.remark, asked) == ("cancelled", "", [pair.first.port])


def raise_when_heard(progress: Callable[[int, int | None], None]) -> None:
    import time

    for _ in range(500):
        progress(1, 2)
        time.sleep(0.02)


def test_a_shard_of_a_cluster_falls_back_on_its_own(
    new_cluster: Maker, make_server: Maker, connection_as: Maker
) -> None:
    cluster = new_cluster(primaries=2, **{"cluster-node-timeout": 30_000})
    client = cluster.client()
    for number in range(100):
        client.set(f"key:{number}", number)
    connection = connection_as("admin", server=make_server(cluster.nodes[0]))
    replicas = [cluster.add_replica(node) for node in cluster.nodes[:2]]
    deny_sync(replicas[1])
    backup = run(making.begin_backup(connection, "pull"))
    assert (backup.state, backup.keys, backup.source) == ("loaded", {"0": 100}, "2 shards"), backup.state_note
    assert sorted(stored["node"] for stored in backup.files) == sorted(
        [f"replica {name(replicas[0])}", f"primary {name(cluster.nodes[1])}"]
    )
    assert backup.remark.startswith(f"The replica {name(replicas[1])} was passed over: ")


def test_how_much_will_come_goes_by_last_time_unless_the_server_has_grown(
    new_server: Maker, make_server: Maker, connection_as: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, totals = new_server("valkey9"), []
    connection = connection_as("admin", server=make_server(server))
    report = Run.report

    def note(told: Run, **progress: Any) -> None:
        totals.append(progress.get("total") or 0)
        report(told, **progress)

    server.client().set("a", 1)
    small = run(making.begin_backup(connection, "pull"))
    monkeypatch.setattr(Run, "report", note)
    server.client().execute_command("DEBUG", "POPULATE", 30_000)
    large = run(making.begin_backup(connection, "pull"))
    assert small.size < 1000 < 100_000 < max(totals) and max(totals) > large.size
    totals.clear()
    run(making.begin_backup(connection, "pull"))
    assert max(totals) == large.size
