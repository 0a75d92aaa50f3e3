"""Which nodes of a server a backup reads from: the server itself, a healthy replica of it, or one node of each shard of a cluster."""

from dataclasses import dataclass, replace
from typing import Any

import redis

from keyspace.servers import Client, Endpoint, open_client

_LAG_SECONDS = 10
_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Node:
    """One node to read from: `label` for people ("replica 10.0.4.12:6379"), `primary` where its shard is written."""

    label: str
    endpoint: Endpoint
    primary: Endpoint


def find_nodes(client: Client, endpoint: Endpoint, *, replicas: bool = True) -> list[Node]:
    """One node for each shard; with `replicas` a healthy replica where there is one that answers."""
    info = client.info()
    if info.get("cluster_enabled"):
        return [_shard(endpoint, shard, replicas) for shard in cluster_shards(client)]
    if info.get("role") == "slave":
        return [Node(f"replica {_place(endpoint)}", endpoint, endpoint)]
    found = _healthy_replica(endpoint, info) if replicas else None
    return [
        Node(f"replica {_place(found)}", found, endpoint)
        if found
        else Node(f"primary {_place(endpoint)}", endpoint, endpoint)
    ]


def _place(endpoint: Endpoint) -> str:
    return "by its unix socket" if endpoint.socket else endpoint.address


def _healthy_replica(endpoint: Endpoint, info: dict[str, Any]) -> Endpoint | None:
    for number in range(int(info.get("connected_slaves", 0))):
        facts = info.get(f"slave{number}")
        if (
            isinstance(facts, dict)
            and facts.get("state") == "online"
            and int(facts.get("lag", 99)) <= _LAG_SECONDS
        ):
            found = replace(endpoint, host=str(facts["ip"]), port=int(facts["port"]), socket="")
            if int(facts["port"]) and _is_synced(found):
                return found
    return None


def _is_synced(endpoint: Endpoint) -> bool:
    """Whether we can reach the replica, and it has its primary's data."""
    try:
        with open_client(replace(endpoint, timeout=_PROBE_SECONDS, connect_timeout=_PROBE_SECONDS)) as client:
            info = client.info("replication")
            return (
                info.get("role") == "slave"
                and info.get("master_link_status") == "up"
                and not info.get("master_sync_in_progress")
            )
    except (redis.RedisError, OSError):
        return False


def cluster_shards(client: Client) -> list[list[tuple[str, int, bool]]]:
    """For each shard that serves slots: (host, port, is primary) of its nodes, the primary first."""
    shards: dict[str, list[tuple[str, int, bool]]] = {}
    nodes = client.execute_command("CLUSTER NODES")
    rows = [
        (address, facts)
        for address, facts in nodes.items()
        if facts["connected"] or "myself" in facts["flags"]
    ]
    for primary in (True, False):
        for address, facts in rows:
            host, _, port = address.rpartition(":")
            flags = facts["flags"]
            if (
                "fail" in flags.replace("fail?", "").split(",")
                or "noaddr" in flags
                or ("master" in flags) != primary
            ):
                continue
            owner = facts["node_id"] if primary else facts["master_id"]
            if not primary and owner in shards or primary and facts["slots"]:
                shards.setdefault(owner, []).append((host, int(port), primary))
    return list(shards.values())


def _shard(endpoint: Endpoint, shard: list[tuple[str, int, bool]], replicas: bool) -> Node:
    endpoints = [
        (replace(endpoint, host=host or endpoint.host, port=port, socket=""), primary)
        for host, port, primary in shard
    ]
    primary = endpoints[0][0]
    for candidate, is_primary in endpoints[1:] if replicas else []:
        if not is_primary and _is_synced(candidate):
            return Node(f"replica {candidate.address}", candidate, primary)
    return Node(f"primary {primary.address}", primary, primary)


def product_of(info: dict[str, Any]) -> str:
    """`Valkey 9.1.2`, from INFO."""
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', '')}".strip()
