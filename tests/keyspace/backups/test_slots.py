"""Slots that move between the shards of a cluster while it is backed up: noticed, said, and never called whole."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.crc import key_slot

from keyspace.backups import making, saving, slots, store
from keyspace.backups.sources import find_nodes
from keyspace.errors import Conflict, Unavailable
from keyspace.models import Backup, Job, Schedule
from keyspace.servers import Connection, endpoint_of
from tests.keyspace.backups.test_saving import run
from tests.servers import RunningServer
from tests.topologies import RunningCluster, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
Maker = Callable[..., Any]
TAG = b"{mov\xff\x00}"
PATIENT = {"cluster-node-timeout": 30_000}  # a busy machine is no failure here
SLOT, MOVING, OTHERS = key_slot(TAG), 20, 100


@pytest.fixture
def cluster(new_cluster: Maker, request: pytest.FixtureRequest) -> RunningCluster:
    made = new_cluster(getattr(request, "param", "valkey9"), primaries=2, **PATIENT)
    client = made.client()
    for number in range(MOVING):
        client.set(TAG + b"%d" % number, number)
    for number in range(OTHERS):
        client.set(f"key:{number}", number)
    return made  # type: ignore[no-any-return]


@pytest.fixture
def connection(cluster: RunningCluster, make_server: Maker, connection_as: Maker) -> Connection:
    return connection_as("admin", server=make_server(cluster.nodes[0]))  # type: ignore[no-any-return]


def in_order(cluster: RunningCluster, connection: Connection) -> list[RunningServer]:
    """The nodes as a backup reads them."""
    found = find_nodes(connection.redis, endpoint_of(connection.server), replicas=False)
    by_port = {node.port: node for node in cluster.nodes}
    return [by_port[node.endpoint.port] for node in found]


def owner(cluster: RunningCluster) -> RunningServer:
    return next(
        node for node in cluster.nodes if node.client().execute_command("CLUSTER", "COUNTKEYSINSLOT", SLOT)
    )


def after_the_first_shard(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    commit, done = store.Part.commit, []

    def then(part: store.Part) -> store.StoredFile:
        kept = commit(part)
        done.append(part)
        if len(done) == 1:
            act()
        return kept

    monkeypatch.setattr(store.Part, "commit", then)


@pytest.mark.parametrize("cluster", ["valkey9", "redis7"], indirect=True)
@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_a_slot_that_moves_to_a_shard_that_was_read_makes_it_not_whole(
    kind: str, cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are in no file: what is there loads and counts, and would be called good."""
    first, second = in_order(cluster, connection)
    if owner(cluster) is first:
        cluster.move_slot(SLOT, first, second)
    after_the_first_shard(monkeypatch, lambda: cluster.move_slot(SLOT, second, first))
    backup = run(making.begin_backup(connection, kind))
    assert (backup.state, backup.keys) == ("torn", {"0": OTHERS})
    assert backup.torn.startswith(f"While the shards were read, slots moved between them ({SLOT}):")
    assert backup.usable
    again = run(making.begin_backup(connection, kind))
    assert (again.state, again.torn, again.keys) == ("loaded", "", {"0": OTHERS + MOVING})


def test_a_slot_that_moves_to_a_shard_that_comes_later_is_said_too(
    cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are in two files."""
    first, second = in_order(cluster, connection)
    if owner(cluster) is second:
        cluster.move_slot(SLOT, second, first)
    after_the_first_shard(monkeypatch, lambda: cluster.move_slot(SLOT, first, second))
    backup = run(making.begin_backup(connection, "pull"))
    assert (backup.state, backup.keys) == ("torn", {"0": OTHERS + 2 * MOVING})


def test_a_slot_that_moves_there_and_back_is_noticed(
    cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = owner(cluster)
    other = next(node for node in cluster.nodes if node is not there)

    def move() -> None:
        cluster.move_slot(SLOT, there, other)
        cluster.move_slot(SLOT, other, there)

    after_the_first_shard(monkeypatch, move)
    backup = run(making.begin_backup(connection, "pull"))
    assert (backup.state, "moved from one to another and back" in backup.torn) == ("torn", True)


def test_slots_that_move_in_one_piece_are_noticed_too(
    cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Valkey 9 does it."""
    there = owner(cluster)
    other = next(node for node in cluster.nodes if node is not there)
    name = other.client().execute_command("CLUSTER", "MYID")

    def move() -> None:
        there.client().execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT + 2, "NODE", name)
        wait_until(lambda: slots.layout_of(connection).owners[SLOT] == name.decode(), "the move")  # type: ignore[union-attr]
        wait_until(lambda: not slots.layout_of(connection).moving, "its end")  # type: ignore[union-attr]

    after_the_first_shard(monkeypatch, move)
    backup = run(making.begin_backup(connection, "snapshot"))
    assert (backup.state, backup.torn) == ("saved", "")  # nothing moved yet
    backup = run(making.begin_backup(connection, "export"))
    assert (backup.state, f"({SLOT}–{SLOT + 2})" in backup.torn) == ("torn", True)


def test_a_snapshot_of_a_cluster_is_not_whole_either(
    cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = owner(cluster)
    other = next(node for node in cluster.nodes if node is not there)
    save, done = saving._SAVES["snapshot"], []

    def then(*given: Any) -> Any:
        saved = save(*given)
        done.append(saved)
        if len(done) == 1:
            cluster.move_slot(SLOT, there, other)
        return saved

    monkeypatch.setitem(saving._SAVES, "snapshot", then)
    backup = run(making.begin_backup(connection, "snapshot"))
    assert (backup.state, len(backup.parts), f"({SLOT})" in backup.torn) == ("torn", 2, True)
    assert not backup.usable


def test_that_a_slot_is_still_moving_at_the_end_is_noticed(
    cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_first_shard(monkeypatch, lambda: mark(cluster))
    backup = run(making.begin_backup(connection, "export"))
    assert (backup.state, f"({SLOT})" in backup.torn) == ("torn", True)


def mark(cluster: RunningCluster) -> None:
    """A resharding begins: the slot is marked where it is, and nothing moves yet."""
    there = owner(cluster)
    other = next(node for node in cluster.nodes if node is not there)
    name = other.client().execute_command("CLUSTER", "MYID")
    there.client().execute_command("CLUSTER", "SETSLOT", SLOT, "MIGRATING", name)


@pytest.mark.parametrize("kind", ["pull", "export", "snapshot"])
def test_while_slots_move_nothing_is_started(
    kind: str, cluster: RunningCluster, connection: Connection
) -> None:
    mark(cluster)
    with pytest.raises(Conflict, match=f"Slots are moving between the shards of this cluster: {SLOT}"):
        making.begin_backup(connection, kind)
    assert not Backup.objects.exists()
    assert not Job.objects.exists()


def test_slots_that_begin_to_move_before_the_job_begins_end_it(
    cluster: RunningCluster, connection: Connection
) -> None:
    waiting = making.begin_backup(connection, "pull")
    mark(cluster)
    backup = run(waiting)
    assert (backup.state, backup.files) == ("failed", [])
    assert "Slots are moving" in backup.state_note


def test_slots_that_move_in_one_piece_are_seen(cluster: RunningCluster, connection: Connection) -> None:
    """Valkey 9 does not mark them in CLUSTER NODES."""
    there = owner(cluster)
    other = next(node for node in cluster.nodes if node is not there)
    name = other.client().execute_command("CLUSTER", "MYID")
    there.client().config_set("rdb-key-save-delay", 200_000)
    there.client().execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", name)
    layout = slots.layout_of(connection)
    assert layout is not None
    assert layout.moving == {SLOT}
    there.client().execute_command("CLUSTER", "CANCELSLOTMIGRATIONS")
    wait_until(lambda: not slots.layout_of(connection).moving, "the migration to end")  # type: ignore[union-attr]


def test_that_a_replica_takes_over_is_no_move(cluster: RunningCluster, connection: Connection) -> None:
    first = cluster.nodes[1]
    replica = cluster.add_replica(first)
    before = wait_until(lambda: knows(connection, 3), "everybody to know the replica")
    replica.client().execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    wait_until(lambda: replica.client().info("replication")["role"] == "master", "the replica to take over")
    wait_until(lambda: first.client().info("replication")["role"] == "slave", "the other to follow")
    after = wait_until(lambda: knows(connection, 3), "everybody to know it")
    assert slots.moved(before, after) == set()
    assert not slots.came_back(before, after)


def knows(connection: Connection, nodes: int) -> slots.Layout | None:
    try:
        layout = slots.layout_of(connection)
    except Unavailable:
        return None
    return layout if layout and len(layout.shards) == nodes and len(layout.owners) == slots.SLOTS else None


def test_a_torn_one_is_told_and_counts_as_no_backup(
    cluster: RunningCluster, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule.objects.create(server=connection.server, name="nightly")
    first, second = in_order(cluster, connection)
    there, other = (first, second) if owner(cluster) is first else (second, first)
    after_the_first_shard(monkeypatch, lambda: cluster.move_slot(SLOT, there, other))
    backup = run(making.begin_backup(connection, "pull", schedule=schedule))
    schedule.refresh_from_db()
    assert backup.torn in schedule.last_problem
    monkeypatch.undo()
    assert backup.job is not None
    assert backup.job.result["torn"] == backup.torn
    checked = run_again(backup, connection)
    assert (checked.state, checked.torn) == ("torn", backup.torn)


def run_again(backup: Backup, connection: Connection) -> Backup:
    """It is verified once more, as it is every week."""
    from keyspace import job_worker
    from keyspace.backups import services

    job_worker.run_job(services.verify_backup(connection, backup_id=str(backup.pk)).pk)
    backup.refresh_from_db()
    return backup


@pytest.mark.parametrize(
    ("given", "words"),
    [({5}, "5"), ({10, 11, 12}, "10–12"), ({1, 3, 9}, "3 of 16384"), (set(range(16_384)), "0–16383")],
)
def test_slots_in_words(given: set[int], words: str) -> None:
    assert slots.told(given) == words
