"""Saves that stay on the server: watched, refused, cancelled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keyspace import job_worker
from keyspace.backups import making
from keyspace.backups.sources import find_nodes
from keyspace.errors import Conflict
from keyspace.jobs import cancel_job
from keyspace.models import AuditEntry, Backup, Job
from keyspace.servers import Connection, Endpoint
from tests.jobs import in_thread
from tests.servers import RunningServer
from tests.topologies import start_replica, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
Maker = Callable[..., Any]
KEYS = 20_000  # the server tells its progress every thousand keys


@pytest.fixture
def slow(
    request: pytest.FixtureRequest, new_server: Maker, make_server: Maker, connection_as: Maker
) -> tuple[RunningServer, Connection]:
    """A server of the asked generation whose saves take ten seconds and more, and an admin there."""
    server = new_server(request.param)
    with server.client() as client:
        client.execute_command("DEBUG", "POPULATE", KEYS, "key", 100)
        client.config_set("rdb-key-save-delay", 500)
    return server, connection_as("admin", server=make_server(server))


@contextmanager
def running(backup: Backup) -> Iterator[Job]:
    """The backup's job at work beside the block; ended after it."""
    assert backup.job is not None
    job = backup.job
    thread = in_thread(job)
    try:
        yield job
    finally:
        thread.join(60)
        backup.refresh_from_db()
        job.refresh_from_db()
    assert not thread.is_alive()


def is_saving(server: RunningServer, what: str = "rdb_bgsave_in_progress") -> bool:
    with server.client() as client:
        return bool(client.info("persistence")[what])


@pytest.mark.parametrize("slow", ["valkey9", "valkey8"], indirect=True)
def test_cancelling_a_snapshot_cancels_the_save_where_the_server_can(
    slow: tuple[RunningServer, Connection],
) -> None:
    server, connection = slow
    with running(making.begin_backup(connection, "snapshot")) as job:
        wait_until(lambda: is_saving(server), "the save")
        cancel_job(connection.actor, job.pk)
    wait_until(lambda: not is_saving(server), "its end")
    backup = Backup.objects.get()
    assert (backup.state, job.state) == ("cancelled", "cancelled")
    assert (
        backup.state_note
        == job.problem
        == "The server cancelled the save: its last snapshot is the one before."
    )
    entry = AuditEntry.objects.get(operation="cancel_save")
    assert (entry.outcome, entry.person) == ("done", connection.actor.name)


@pytest.mark.parametrize("slow", ["redis7"], indirect=True)
def test_a_server_that_cannot_cancel_goes_on_and_it_is_said(slow: tuple[RunningServer, Connection]) -> None:
    server, connection = slow
    with running(making.begin_backup(connection, "snapshot")) as job:
        wait_until(lambda: is_saving(server), "the save")
        cancel_job(connection.actor, job.pk)
    assert is_saving(server)
    backup = Backup.objects.get()
    assert (backup.state, job.state) == ("cancelled", "cancelled")
    assert backup.state_note == job.problem
    assert "cannot cancel a save: it goes on" in job.problem
    assert AuditEntry.objects.get(operation="cancel_save").outcome == "failed"


@pytest.mark.parametrize("slow", ["valkey9"], indirect=True)
def test_a_cancelled_rewrite_goes_on_and_it_is_said(slow: tuple[RunningServer, Connection]) -> None:
    server, connection = slow
    with running(making.begin_backup(connection, "aof")) as job:
        wait_until(lambda: is_saving(server, "aof_rewrite_in_progress"), "the rewrite")
        cancel_job(connection.actor, job.pk)
    assert is_saving(server, "aof_rewrite_in_progress")
    assert "cannot be cancelled: it goes on" in Backup.objects.get().state_note


@pytest.mark.parametrize("slow", ["valkey9"], indirect=True)
def test_a_save_that_somebody_else_stops_is_not_called_saved(slow: tuple[RunningServer, Connection]) -> None:
    server, connection = slow
    with running(making.begin_backup(connection, "snapshot")):
        wait_until(lambda: is_saving(server), "the save")
        with server.client() as client:
            client.execute_command("BGSAVE", "CANCEL")
    backup = Backup.objects.get()
    assert backup.state == "failed"
    assert "stopped on the server before its end" in backup.state_note


@pytest.mark.parametrize("slow", ["redis7", "valkey9"], indirect=True)
def test_a_killed_save_is_a_failure_in_the_servers_words(slow: tuple[RunningServer, Connection]) -> None:
    """The child that saves is killed, as by a machine without memory."""
    import subprocess

    server, connection = slow
    with running(making.begin_backup(connection, "snapshot")):
        wait_until(lambda: is_saving(server), "the save")
        subprocess.run(["pkill", "-KILL", "-P", str(server.process.pid)], check=True)
    backup = Backup.objects.get()
    assert (backup.state, backup.state_note) == (
        "failed",
        "The server says that the save failed; its log tells why.",
    )


@pytest.mark.parametrize("slow", ["valkey9", "redis7"], indirect=True)
def test_progress_counts_keys_of_all_keys(slow: tuple[RunningServer, Connection]) -> None:
    server, connection = slow
    with running(making.begin_backup(connection, "snapshot")) as job:

        def is_told() -> bool:
            job.refresh_from_db()
            return job.done > 1000

        wait_until(is_told, "the server's count")
        seen = (job.total, job.unit, job.phase.partition(" 127")[0])
        told_left, told_rate = job.seconds_left, job.rate
        with server.client() as client:
            client.config_set("rdb-key-save-delay", 0)
        cancel_job(connection.actor, job.pk)
    assert seen == (KEYS, "keys", "saving on primary")
    assert told_rate
    assert told_left


@pytest.mark.parametrize("slow", ["valkey9"], indirect=True)
def test_a_running_save_refuses_another(slow: tuple[RunningServer, Connection]) -> None:
    server, connection = slow
    with server.client() as client:
        client.bgsave()
    with pytest.raises(Conflict, match="saving a snapshot already"):
        making.begin_backup(connection, "snapshot")
    assert not Backup.objects.exists()


@pytest.mark.parametrize("slow", ["valkey9", "redis7"], indirect=True)
def test_a_snapshot_waits_behind_a_rewrite(slow: tuple[RunningServer, Connection]) -> None:
    server, connection = slow
    with server.client() as client:
        client.config_set("rdb-key-save-delay", 200)
        client.bgrewriteaof()
        with running(making.begin_backup(connection, "snapshot")) as job:
            wait_until(
                lambda: Job.objects.get(pk=job.pk).phase.startswith("waiting for the server"), "its turn"
            )
            client.config_set("rdb-key-save-delay", 0)
    backup = Backup.objects.get()
    assert backup.state == "saved", backup.state_note
    assert backup.keys == {"0": KEYS}


def run(backup: Backup) -> Backup:
    assert backup.job is not None
    job_worker.run_job(backup.job.pk)
    backup.refresh_from_db()
    return backup


@pytest.mark.parametrize("kind", ["snapshot", "aof"])
def test_a_cluster_is_one_row_with_a_part_a_primary(
    kind: str, new_cluster: Maker, make_server: Maker, connection_as: Maker
) -> None:
    cluster = new_cluster(primaries=3)
    client = cluster.client()
    for number in range(300):
        client.set(f"key:{number}", number)
    backup = run(making.begin_backup(connection_as("admin", server=make_server(cluster.nodes[0])), kind))
    assert (backup.state, backup.source, backup.keys) == ("saved", "3 primaries", {"0": 300}), (
        backup.state_note
    )
    assert len(backup.parts) == 3
    assert sum(part["keys"]["0"] for part in backup.parts) == 300
    assert {part["node"] for part in backup.parts} == {
        f"primary {node.host}:{node.port}" for node in cluster.nodes
    }
    directories = {f"{node.host}:{node.port}": str(node.directory) for node in cluster.nodes}
    assert all(part["place"].startswith(directories[part["address"]]) for part in backup.parts)


def test_a_snapshot_on_a_replica(new_server: Maker, make_server: Maker, connection_as: Maker) -> None:
    primary = new_server("valkey9")
    primary.client().set("a", 1)
    connection = connection_as("admin", server=make_server(primary))
    refused = run(making.begin_backup(connection, "snapshot", replicas=True))
    assert refused.state == "failed"
    assert refused.state_note == f"There is no healthy replica of the primary {primary.host}:{primary.port}."
    with start_replica(primary) as replica:
        before = primary.client().info("persistence")["rdb_last_save_time"]
        backup = run(making.begin_backup(connection, "snapshot", replicas=True))
        assert (backup.state, backup.source) == ("saved", f"replica {replica.host}:{replica.port}")
        assert backup.place.startswith(str(replica.directory))
        assert primary.client().info("persistence")["rdb_last_save_time"] == before


def test_cancel_in_a_cluster_tells_who_had_saved(
    new_cluster: Maker, make_server: Maker, connection_as: Maker
) -> None:
    cluster = new_cluster(primaries=2)
    for node in cluster.nodes:
        node.client().execute_command("DEBUG", "POPULATE", KEYS, "key", 10)
    here = cluster.nodes[0]
    order = find_nodes(here.client(), Endpoint(host=here.host, port=here.port), replicas=False)
    second = next(node for node in cluster.nodes if node.port == order[1].endpoint.port)
    second.client().config_set("rdb-key-save-delay", 500)
    connection = connection_as("admin", server=make_server(cluster.nodes[0]))
    with running(making.begin_backup(connection, "snapshot")) as job:
        wait_until(lambda: is_saving(second), "the second save")
        cancel_job(connection.actor, job.pk)
    assert Backup.objects.get().state_note.endswith("1 of the primaries had saved before.")
    wait_until(lambda: not is_saving(second), "its end")
