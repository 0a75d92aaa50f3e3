"""Pull, export, snapshot and AOF rewrite, from the service to a verified backup, on four generations."""

from collections.abc import Callable
from typing import Any

import pytest

from keyspace import job_worker
from keyspace.backups import making, store
from keyspace.errors import Conflict
from keyspace.models import Backup, Job
from tests.keyspace.backups.samples import fill, fill_hash_field_ttl
from tests.servers import GENERATIONS, RunningServer
from tests.topologies import lose, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def run(backup: Backup) -> Backup:
    assert backup.job is not None
    job_worker.run_job(backup.job.pk)
    backup.refresh_from_db()
    return backup


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_backup_is_whole_and_loaded(
    kind: str, any_server: RunningServer, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    with any_server.client() as client, any_server.client(db=5) as other:
        fill(client)
        fill_hash_field_ttl(client)
        other.set("far", "away")
        size, far = client.dbsize(), other.dbsize()
    connection = connection_as("admin", server=make_server(any_server))
    backup = run(making.begin_backup(connection, kind))
    foreign = any_server.kind == "redis8" and kind != "readable"
    assert backup.state == ("unverifiable" if foreign else "loaded"), backup.state_note
    assert Job.objects.get(pk=backup.job_id).state == "done"
    if not foreign:
        assert backup.keys == {"0": size, "5": far}
    else:
        assert "12" in backup.state_note or "cannot read" in backup.state_note
    path = store.directory() / backup.files[0]["name"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(store.parts_directory().iterdir())


@pytest.mark.parametrize("kind", ["snapshot", "aof"])
def test_save_stays_on_the_server(
    kind: str, any_server: RunningServer, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    with any_server.client() as client:
        fill(client)
        saves = client.info("persistence").get("rdb_saves", 0)
        backup = run(making.begin_backup(connection_as("admin", server=make_server(any_server)), kind))
        assert backup.state == "saved", backup.state_note
        assert str(any_server.directory) in backup.place
        if kind == "snapshot" and any_server.kind != "redis7":
            assert client.info("persistence")["rdb_saves"] > saves


def test_one_backup_a_server_at_a_time(connection_as: Callable[..., Any]) -> None:
    connection = connection_as("admin")
    making.begin_backup(connection, "pull")
    with pytest.raises(Conflict, match="running already"):
        making.begin_backup(connection, "export")


def test_a_repeated_form_starts_one_backup(connection_as: Callable[..., Any]) -> None:
    connection = connection_as("admin")
    first = making.begin_backup(connection, "pull", once="form-1")
    assert making.begin_backup(connection, "pull", once="form-1").pk == first.pk
    assert Backup.objects.count() == 1


def test_every_shard_of_a_cluster_is_in_one_backup(
    new_cluster: Callable[..., Any], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    cluster = new_cluster(primaries=3)
    client = cluster.client()
    for number in range(300):
        client.set(f"key:{number}", number)
    connection = connection_as("admin", server=make_server(cluster.nodes[0]))
    for kind in ("pull", "export"):
        backup = run(making.begin_backup(connection, kind))
        assert (backup.state, len(backup.files), backup.keys) == ("loaded", 3, {"0": 300}), backup.state_note


@pytest.mark.parametrize("kind", ["pull", "export", "snapshot"])
def test_a_cluster_that_lacks_a_shard_is_not_backed_up(
    kind: str, new_cluster: Callable[..., Any], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """What is left would verify and count, and a third of the keys would be missing."""
    cluster = new_cluster(primaries=3)
    cluster.client().set("a", 1)
    waiting = making.begin_backup(connection_as("admin", server=make_server(cluster.nodes[0])), kind)
    lose(cluster, 2)
    nodes = cluster.nodes[0].client()
    wait_until(lambda: "fail" in str(nodes.execute_command("CLUSTER NODES")), "the others to notice")
    backup = run(waiting)
    assert (backup.state, backup.files) == ("failed", [])
    assert "its keys would be missing" in backup.state_note, backup.state_note


assert GENERATIONS
