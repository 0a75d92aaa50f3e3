"""The nodes of a cluster: subscribers are counted by each for itself, and a shard channel lives on one of them."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import redis
from redis.exceptions import MovedError

from keyspace.server_info import state_of
from keyspace.servers import Client, Connection, Endpoint, endpoint_of, open_client

NODE_SECONDS = 1.0  # of patience with a node: the others have answered


def every_node(connection: Connection) -> list[Client]:
    """A client for each node of the cluster, replicas too; of a server that is no cluster, its own.

    A node that failed is among them as long as it has slots: what it knows is missing then.
    """
    nodes = _nodes(connection)
    return [_client_of_node(connection, host, port) for host, port, _ in nodes] or [connection.redis]


def other_nodes(connection: Connection) -> list[Client]:
    """As `every_node`, without the one that is connected to."""
    return [_client_of_node(connection, host, port) for host, port, own in _nodes(connection) if not own]


def _nodes(connection: Connection) -> list[tuple[str, int, bool]]:
    """Host, port, and whether it is the one that is asked; nothing where there is no cluster."""
    if not state_of(connection.server).cluster:
        return []
    nodes: dict[str, dict[str, Any]] = connection.redis.execute_command("CLUSTER NODES")
    places = [(address.rpartition(":"), facts) for address, facts in nodes.items() if _counts(facts)]
    return [(host, int(port), "myself" in facts["flags"]) for (host, _, port), facts in places]


def _counts(facts: dict[str, Any]) -> bool:
    flags = facts["flags"].split(",")
    if "noaddr" in flags or "handshake" in flags:
        return False
    return "fail" not in flags or bool(facts["slots"])


def node_that_owns(connection: Connection, moved: MovedError) -> Client:
    """Where a node says that a slot is."""
    return _client_of_node(connection, moved.host, moved.port)


def _client_of_node(connection: Connection, host: str, port: int) -> Client:
    return _open_impatiently(node_at(endpoint_of(connection.server), host, port))


def node_at(own: Endpoint, host: str, port: int) -> Endpoint:
    """Another node of the cluster of `own`, with the same user and certificates."""
    return replace(own, socket="", host=host or own.host, port=port)


@dataclass(frozen=True)
class Primary:
    """A node that has slots; `id` as CLUSTER MYID tells it."""

    id: str
    endpoint: Endpoint


def find_primaries(own: Endpoint, others: Iterable[Endpoint]) -> tuple[Primary, ...] | None:
    """The primaries of the cluster of `own`, asked of it or else of another; empty for what is no cluster or does not say; None
    where nobody answers.
    """
    for endpoint in dict.fromkeys((own, *others)):
        try:
            nodes = _open_impatiently(endpoint).execute_command("CLUSTER NODES")
        except redis.ResponseError:
            return ()
        except (redis.RedisError, OSError):
            continue
        return tuple(
            Primary(facts["node_id"], node_at(own, host, int(port)))
            for address, facts in nodes.items()
            for host, _, port in [address.rpartition(":")]
            if facts["slots"] and "master" in facts["flags"] and "noaddr" not in facts["flags"]
        )
    return None


def _open_impatiently(endpoint: Endpoint) -> Client:
    return _open(replace(endpoint, timeout=NODE_SECONDS, connect_timeout=NODE_SECONDS))


@functools.lru_cache(maxsize=256)
def _open(endpoint: Endpoint) -> Client:
    return open_client(endpoint, max_connections=8)
