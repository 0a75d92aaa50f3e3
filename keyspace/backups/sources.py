"""Which nodes of a server a backup reads from: the server itself, a healthy replica of it, or one node of each shard of a cluster."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from keyspace.errors import Unavailable, explain
from keyspace.servers import Client, Endpoint, open_client
from keyspace.wire import Wire, open_wire

_LAG_SECONDS = 10
_PROBE_SECONDS = 2.0
MOST_DBS = 1024


@dataclass(frozen=True)
class Node:
    """One node to read from: `label` for people ("replica 10.0.4.12:6379"), `primary` where its shard is written."""

    label: str
    endpoint: Endpoint
    primary: Endpoint


@dataclass(frozen=True)
class Shard:
    """What one primary writes, and who else has it."""

    primary: Node
    replicas: tuple[Endpoint, ...] = ()

    def sources(self, passed: list[str] | None = None) -> Iterator[Node]:
        """Whom to read from: its healthy replicas, each asked when its turn comes, then the primary.

        Of replicas that are not healthy, or are kept from us, the reason is added to `passed`.
        """
        for endpoint in self.replicas:
            label = f"replica {_place(endpoint)}"
            if reason := _flaw(endpoint):
                if passed is not None:
                    passed.append(passed_over(label, reason))
            else:
                yield Node(label, endpoint, self.primary.endpoint)
        yield self.primary


def passed_over(label: str, reason: str) -> str:
    return f"The {label} was passed over: {reason}"


def find_shards(client: Client, endpoint: Endpoint, *, replicas: bool = True) -> list[Shard]:
    """What the server consists of: one shard, or those of a cluster; without `replicas` their primaries alone."""
    info = info_of(client)
    if info.get("cluster_enabled"):
        return [_shard(endpoint, shard, replicas) for shard in cluster_shards(client)]
    if info.get("role") == "slave":
        return [Shard(Node(f"replica {_place(endpoint)}", endpoint, endpoint))]
    primary = Node(f"primary {_place(endpoint)}", endpoint, endpoint)
    return [Shard(primary, tuple(_online(endpoint, info)) if replicas else ())]


def find_nodes(client: Client, endpoint: Endpoint, *, replicas: bool = True) -> list[Node]:
    """One node for each shard; with `replicas` a healthy replica where there is one that answers."""
    return [next(shard.sources()) for shard in find_shards(client, endpoint, replicas=replicas)]


def _place(endpoint: Endpoint) -> str:
    return "by its unix socket" if endpoint.socket else endpoint.address


def _online(endpoint: Endpoint, info: dict[str, Any]) -> Iterator[Endpoint]:
    """The replicas that are up to date, as their primary says."""
    for number in range(int(info.get("connected_slaves", 0))):
        facts = info.get(f"slave{number}")
        if (
            isinstance(facts, dict)
            and facts.get("state") == "online"
            and int(facts.get("lag", 99)) <= _LAG_SECONDS
            and int(facts["port"])
        ):
            yield replace(endpoint, host=str(facts["ip"]), port=int(facts["port"]), socket="")


def _flaw(endpoint: Endpoint) -> str:
    """Why a replica is not to be read: it cannot be reached, or has not its primary's data. Empty: it is healthy."""
    try:
        with open_client(replace(endpoint, timeout=_PROBE_SECONDS, connect_timeout=_PROBE_SECONDS)) as client:
            info = client.info("replication")
    except (redis.RedisError, OSError) as error:
        return explain(error).sentence
    if info.get("role") != "slave":
        return "It is no replica any more."
    if info.get("master_link_status") != "up" or info.get("master_sync_in_progress"):
        return "It has not all data of its primary."
    return ""


def cluster_shards(client: Client) -> list[list[tuple[str, int, bool]]]:
    """For each shard that serves slots: (host, port, is primary) of its nodes, the primary first.

    Raises Unavailable where slots belong to a primary that does not answer: without it a backup would look whole and lack a part.
    """
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
    _check_all_slots(nodes, shards.keys())
    return list(shards.values())


def _check_all_slots(nodes: dict[str, Any], found: Collection[str]) -> None:
    for address, facts in nodes.items():
        if facts["slots"] and "master" in facts["flags"] and facts["node_id"] not in found:
            raise Unavailable(
                f"The shard of {address} has no primary that answers: its keys would be missing.",
                "Bring it back, or let one of its replicas take over, then try again.",
            )


def _shard(endpoint: Endpoint, shard: list[tuple[str, int, bool]], replicas: bool) -> Shard:
    places = [replace(endpoint, host=host or endpoint.host, port=port, socket="") for host, port, _ in shard]
    primary = Node(f"primary {places[0].address}", places[0], places[0])
    others = [place for place, (_, _, is_primary) in zip(places, shard, strict=True) if not is_primary]
    return Shard(primary, tuple(others) if replicas else ())


def info_of(client: Client) -> dict[str, Any]:
    """INFO; where the ACL keeps it (it counts as dangerous), what HELLO tells everybody: product, version, role, cluster or not."""
    try:
        return client.info()
    except NoPermissionError:
        told = client.execute_command("HELLO")
    pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=False)
    hello = {name.decode(): value for name, value in pairs}
    roles = {b"master": "master", b"primary": "master"}
    return {
        f"{hello['server'].decode()}_version": hello["version"].decode(),
        "cluster_enabled": int(hello.get("mode") == b"cluster"),
        "role": roles.get(hello.get("role", b""), "slave"),
    }


def dbs_of(client: Client, info: dict[str, Any]) -> dict[int, int]:
    """db -> keys, of the dbs that hold any. Where INFO was refused each is asked."""
    if "used_memory" in info:
        told = {name[2:]: facts for name, facts in info.items() if name.startswith("db")}
        return {int(number): facts["keys"] for number, facts in told.items() if number.isdigit()}
    with open_wire(client) as wire:
        found = dict(_ask_dbs(wire))
        wire.call("SELECT", 0)
    return found


def _ask_dbs(wire: Wire) -> Iterator[tuple[int, int]]:
    for db in range(MOST_DBS):
        try:
            wire.call("SELECT", db)
        except NoPermissionError:
            raise
        except redis.ResponseError:
            return  # there is no db of this number
        if keys := wire.call("DBSIZE"):
            yield db, keys


def product_of(info: dict[str, Any]) -> str:
    """`Valkey 9.1.2`, from INFO."""
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', '')}".strip()
