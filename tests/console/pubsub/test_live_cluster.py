"""Shard channels of a cluster whose slots move, and whose nodes go away."""

import asyncio
from typing import Any

from asgiref.sync import sync_to_async
from redis.crc import key_slot

from tests.topologies import RunningCluster, wait_until


def channel_of(cluster: RunningCluster, node: int) -> str:
    """A channel whose slot is on this node."""
    share = 16_384 // len(cluster.nodes)
    return next(name for at in range(1000) if key_slot((name := f"c{at}").encode()) // share == node)


def hand_over(cluster: RunningCluster, name: str, *, to: int, alive: list[int]) -> None:
    """What a resharding ends with, said to every node that lives."""
    identity = cluster.nodes[to].client().execute_command("CLUSTER MYID")
    for at in [to, *(each for each in alive if each != to)]:
        node = cluster.nodes[at].client()
        node.execute_command("CLUSTER", "SETSLOT", key_slot(name.encode()), "NODE", identity)


def spublish(cluster: RunningCluster, name: str, payload: str, *, node: int) -> None:
    """Once the hub is there."""
    client = cluster.nodes[node].client()
    wait_until(lambda: client.execute_command("SPUBLISH", name, payload), "a subscriber of the shard channel")


async def open_on(cluster: RunningCluster, open_live: Any, make_person: Any, make_server: Any) -> Any:
    row = await sync_to_async(make_server)(cluster.nodes[0], name="ring")
    return await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="ring")


async def test_a_shard_channel_is_followed_when_its_slot_moves(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=3)
    socket = await open_on(cluster, open_live, make_person, make_server)
    name = channel_of(cluster, 1)
    await socket.watch(("shard", name))
    await asyncio.to_thread(spublish, cluster, name, "before", node=1)
    assert await socket.messages(1) == ["before"]
    await asyncio.to_thread(hand_over, cluster, name, to=2, alive=[0, 1, 2])
    await asyncio.to_thread(spublish, cluster, name, "after", node=2)
    assert await socket.messages(1) == ["after"]


async def test_a_node_that_goes_away_is_told_and_its_channels_are_looked_for_elsewhere(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=3, **{"cluster-require-full-coverage": "no"})
    socket = await open_on(cluster, open_live, make_person, make_server)
    lost, kept = channel_of(cluster, 2), channel_of(cluster, 1)
    await socket.watch(("shard", lost), ("shard", kept), ("channel", "plain"))
    await asyncio.to_thread(cluster.nodes[2].stop)
    gap = await socket.until("gap", until=None)
    await asyncio.to_thread(hand_over, cluster, lost, to=0, alive=[0, 1])
    await asyncio.to_thread(spublish, cluster, lost, "found again", node=0)
    back = await socket.until("gap", since=gap["since"])
    assert back["until"] and back["what"] == "the slot moved to another node"
    assert await socket.messages(1) == ["found again"]
    await asyncio.to_thread(spublish, cluster, kept, "never lost", node=1)
    assert await socket.messages(1) == ["never lost"]
