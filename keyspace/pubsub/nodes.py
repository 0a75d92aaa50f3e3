"""The nodes of a cluster: subscribers are counted by each for itself, and a shard channel lives on one of them."""

import functools
from dataclasses import replace
from typing import Any

from redis.exceptions import MovedError

from keyspace.server_info import state_of
from keyspace.servers import Client, Connection, Endpoint, endpoint_of, open_client

NODE_SECONDS = 1.0  # of patience with a node: the others have answered


def every_node(connection: Connection) -> list[Client]:
    """A client for each node of the cluster, replicas too; of a server that is no cluster, its own.

    A node that failed is among them as long as it has slots: what it knows is missing then.
    """
    if not state_of(connection.server).cluster:
        return [connection.redis]
    nodes: dict[str, dict[str, Any]] = connection.redis.execute_command("CLUSTER NODES")
    places = [address.rpartition(":") for address, facts in nodes.items() if _counts(facts)]
    return [_client_of_node(connection, host, int(port)) for host, _, port in places] or [connection.redis]


def _counts(facts: dict[str, Any]) -> bool:
    flags = facts["flags"].split(",")
    if "noaddr" in flags or "handshake" in flags:
        return False
    return "fail" not in flags or bool(facts["slots"])


def node_that_owns(connection: Connection, moved: MovedError) -> Client:
    """Where a node says that a slot is."""
    return _client_of_node(connection, moved.host, moved.port)


def _client_of_node(connection: Connection, host: str, port: int) -> Client:
    own = endpoint_of(connection.server)
    return _open(
        replace(
            own,
            socket="",
            host=host or own.host,
            port=port,
            timeout=NODE_SECONDS,
            connect_timeout=NODE_SECONDS,
        )
    )


@functools.lru_cache(maxsize=256)
def _open(endpoint: Endpoint) -> Client:
    return open_client(endpoint, max_connections=8)
