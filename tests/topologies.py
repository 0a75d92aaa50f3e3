"""Several servers that belong together: a replica of a primary, and a cluster, all on loopback."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.servers import RunningServer, Setting, start_server

SLOTS = 16_384


def start_replica(primary: RunningServer, kind: str | None = None, **config: Setting) -> RunningServer:
    """A replica that has caught up with `primary`."""
    config = {"replicaof": f"{primary.host} {primary.port}", **config}
    replica = start_server(kind or primary.kind, config={n.replace("_", "-"): v for n, v in config.items()})
    wait_until(
        lambda: replica.client().info("replication")["master_link_status"] == "up", "the replica to catch up"
    )
    wait_until(lambda: f"port={replica.port},state=online" in _replicas_of(primary), "its primary to know it")
    return replica


def _replicas_of(primary: RunningServer) -> str:
    with primary.client() as client:
        client.response_callbacks.clear()
        return str(client.execute_command("INFO", "replication"))


@dataclass
class RunningCluster:
    """Primaries that share the slots evenly, in order."""

    nodes: list[RunningServer]
    config: dict[str, Setting]

    def client(self, **options: Any) -> Any:
        """A redis-py cluster client of bytes."""
        from redis.cluster import RedisCluster

        return RedisCluster(host=self.nodes[0].host, port=self.nodes[0].port, **options)

    def move_slot(self, slot: int, source: RunningServer, target: RunningServer) -> None:
        """As a resharding does: its keys one after the other, then it belongs to `target` for everybody."""
        giver, taker = source.client(), target.client()
        ids = {side: side.execute_command("CLUSTER", "MYID").decode() for side in (giver, taker)}
        taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[giver])
        giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[taker])
        while names := giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            giver.execute_command("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *names)
        for side in (taker, giver):
            side.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[taker])

    def add_replica(self, primary: RunningServer) -> RunningServer:
        """One more node, which has all of `primary`."""
        node = self.add_node()
        client = node.client()
        client.execute_command("CLUSTER", "REPLICATE", primary.client().execute_command("CLUSTER", "MYID"))
        wait_until(
            lambda: client.info("replication").get("master_link_status") == "up", "the replica to catch up"
        )
        return node

    def add_node(self) -> RunningServer:
        """One more, without slots, that every node knows."""
        node = start_server(self.nodes[0].kind, config=self.config)
        _meet(node, self.nodes[0])
        self.nodes.append(node)
        wait_until(
            lambda: all(_knows(one, len(self.nodes)) for one in self.nodes), "the nodes to meet", seconds=25
        )
        return node

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _meet(node: RunningServer, other: RunningServer) -> None:
    bus = other.client().config_get("cluster-port")["cluster-port"]
    node.client().execute_command("CLUSTER", "MEET", other.host, other.port, bus)


def _knows(node: RunningServer, size: int) -> bool:
    nodes = node.client().execute_command("CLUSTER NODES")
    met = len(nodes) == size and not any("handshake" in facts["flags"] for facts in nodes.values())
    return met and node.client().execute_command("CLUSTER INFO")["cluster_state"] == "ok"


def start_cluster(kind: str = "valkey9", *, primaries: int = 3, **config: Setting) -> RunningCluster:
    """A cluster in which every node knows every other and all slots are served; about a second."""
    more: dict[str, Setting] = {"cluster-enabled": "yes", "cluster-node-timeout": 10_000, **config}
    nodes = [start_server(kind, config=more) for _ in range(primaries)]
    cluster = RunningCluster(nodes, more)
    for number, node in enumerate(nodes):
        client = node.client()
        client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first, last = number * SLOTS // primaries, (number + 1) * SLOTS // primaries - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
    for last_try in (False, False, True):
        _introduce(nodes)
        try:
            wait_until(
                lambda: all(_is_whole(node, primaries) for node in nodes), "the cluster to agree", seconds=25
            )
            break
        except AssertionError:  # a handshake that takes too long is given up by the nodes
            if last_try:
                raise
    return cluster


def _introduce(nodes: list[RunningServer]) -> None:
    for number, node in enumerate(nodes):
        for other in nodes[:number]:
            bus = other.client().config_get("cluster-port")["cluster-port"]
            node.client().execute_command("CLUSTER", "MEET", other.host, other.port, bus)


def lose(cluster: RunningCluster, number: int) -> None:
    """One node dies, and the others will notice soon; others than this would be patient, for a machine may be slow."""
    for node in cluster.nodes:
        node.client().config_set("cluster-node-timeout", 2000)
    cluster.nodes[number].kill()


def _is_whole(node: RunningServer, size: int) -> bool:
    info = node.client().execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_size"]) == size)


def wait_until(happened: Callable[[], Any], what: str, *, seconds: float = 60.0) -> Any:
    """The first true answer of `happened`, asked every 10 ms. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := happened():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")
