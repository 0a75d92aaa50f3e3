"""Events of the keys of a cluster: each node tells its own to who is connected to it, so the hub listens to every primary."""

import asyncio
from typing import Any

import pytest
from django.urls import reverse

from keyspace.models import AuditEntry
from keyspace.pubsub.notifications import get_notifications, set_notifications
from tests.console.pubsub.test_live_cluster import channel_of, hand_over, open_on
from tests.people import sign_in
from tests.topologies import RunningCluster, wait_until

EVENTS = {"notify-keyspace-events": "AKE"}
BY_OPERATION = ("pattern", "__keyevent@0__:*")


def set_on(cluster: RunningCluster, node: int, *names: str) -> None:
    with cluster.nodes[node].client() as client:
        for name in names:
            client.set(name, b"\xff")


def listeners(cluster: RunningCluster, node: int) -> int:
    clients = cluster.nodes[node].client().client_list()
    return sum(client["name"] == "keyspace-console-live" for client in clients)


async def test_events_of_every_primary_come_and_each_once(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=3, **EVENTS)
    socket = await open_on(cluster, open_live, make_person, make_server)
    await socket.watch(BY_OPERATION, ("pattern", "__key*"), ("channel", "plain"))
    names = [channel_of(cluster, node) for node in range(3)]
    for node, name in enumerate(names):
        await asyncio.to_thread(set_on, cluster, node, name)
    await asyncio.to_thread(cluster.nodes[1].client().publish, "__key-is-no-event", "to all")
    await asyncio.to_thread(cluster.nodes[2].client().publish, "plain", "the last")
    got = await socket.messages(11)
    # Of each key by operation, and by operation and by key through the wider pattern; what is no event once.
    expected = [*names * 2, *["set"] * 3, "to all", "the last"]
    assert sorted(got) == sorted(expected) and await socket.is_quiet()
    assert socket.counts["received"] == socket.counts["shown"] == 11
    assert [await asyncio.to_thread(listeners, cluster, node) for node in range(3)] == [1, 1, 1]
    await socket.watch(("channel", "plain"))
    for node, expected_there in enumerate([1, 0, 0]):
        await asyncio.to_thread(
            wait_until, lambda at=node, n=expected_there: listeners(cluster, at) == n, "the others to be left"
        )


async def test_one_primarys_lost_connection_is_a_gap_of_that_node_alone(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=3, **EVENTS)
    socket = await open_on(cluster, open_live, make_person, make_server)
    await socket.watch(BY_OPERATION)
    lost = cluster.nodes[1]
    await asyncio.to_thread(lost.client().execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
    gap = await socket.until("gap", until=None)
    assert gap["what"].startswith(f"{lost.host}:{lost.port}: the server closed the connection")
    back = await socket.until("gap", since=gap["since"])
    assert back["until"] >= gap["since"]
    for node in (1, 0):
        await asyncio.to_thread(set_on, cluster, node, channel_of(cluster, node))
        assert await socket.messages(1) == [channel_of(cluster, node)]


@pytest.mark.parametrize("lost", [0, 1], ids=["the configured node", "another node"])
async def test_a_replica_that_takes_over_is_listened_to(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any, lost: int
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=3, **EVENTS)
    name, other = channel_of(cluster, lost), channel_of(cluster, 2)
    replica = await asyncio.to_thread(cluster.add_replica, cluster.nodes[lost])
    socket = await open_on(cluster, open_live, make_person, make_server)
    await socket.watch(BY_OPERATION, ("channel", "plain"))
    await asyncio.to_thread(set_on, cluster, lost, name)
    assert await socket.messages(1) == [name]  # the replica, which tells the same, is not asked
    await asyncio.to_thread(cluster.nodes[lost].kill)
    gap = await socket.until("gap", until=None)
    await asyncio.to_thread(set_on, cluster, 2, other)
    assert await socket.messages(1) == [other]
    await asyncio.to_thread(replica.client().execute_command, "CLUSTER", "FAILOVER", "TAKEOVER")
    back = await socket.until("gap", since=gap["since"])
    assert back["until"] and back["what"] == "slots moved to another node"
    await asyncio.to_thread(set_on, cluster, 3, name)
    assert await socket.messages(1) == [name]
    await asyncio.to_thread(cluster.nodes[lost].restart)
    await asyncio.to_thread(
        wait_until, lambda: cluster.nodes[lost].client().info("replication")["role"] == "slave", "a replica"
    )
    here = int(lost == 0)  # for the sake of the channel; of events a replica repeats what its primary says
    await asyncio.to_thread(wait_until, lambda: listeners(cluster, lost) == here, "the hub to be back")
    await asyncio.to_thread(set_on, cluster, 3, name)
    assert await socket.messages(1) == [name] and await socket.is_quiet()


async def test_a_node_that_gets_slots_is_listened_to_and_what_may_be_missing_is_marked(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=2, **EVENTS)
    socket = await open_on(cluster, open_live, make_person, make_server)
    await socket.watch(BY_OPERATION)
    name = channel_of(cluster, 1)
    node = await asyncio.to_thread(cluster.add_node)
    await asyncio.to_thread(hand_over, cluster, name, to=2, alive=[0, 1, 2])
    gap = await socket.until("gap", until=None)
    assert gap["what"] == f"{node.host}:{node.port} has slots now"
    assert (await socket.until("gap", since=gap["since"]))["until"]
    await asyncio.to_thread(set_on, cluster, 2, name)
    assert await socket.messages(1) == [name]


@pytest.mark.django_db
def test_notifications_are_read_and_set_on_every_node(
    new_cluster: Any, make_server: Any, connection_as: Any
) -> None:
    cluster = new_cluster(primaries=2)
    row = make_server(cluster.nodes[0], name="ring")
    admin, viewer = connection_as("admin", server=row), connection_as("viewer", server=row)
    cluster.nodes[0].client().config_set("notify-keyspace-events", "AKE")
    found = get_notifications(viewer)
    assert (found.on, found.uneven) == (False, 1)
    page = sign_in(viewer.actor.user).get(reverse("pubsub_events", args=["ring"])).content.decode()
    assert "not on everywhere" in page and "on 1 other node of the cluster; an admin can" in page
    before = set_notifications(admin, flags="AKE")
    assert before.flags and set(before.flags) == set("AKE")
    assert AuditEntry.objects.get(operation="set_notifications").detail["nodes"] == 2
    found = get_notifications(viewer)
    assert (found.on, found.uneven) == (True, 0)
    cluster.nodes[1].kill()
    assert get_notifications(viewer).on  # of the nodes that answer
