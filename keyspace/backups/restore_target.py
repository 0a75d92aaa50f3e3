"""The server that takes the keys: one, or each key's shard of a cluster."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import redis

from keyspace.backups.dumps import Dump
from keyspace.backups.restore_source import Pages
from keyspace.backups.sources import cluster_shards
from keyspace.changes import is_cluster
from keyspace.errors import Conflict
from keyspace.servers import Client, Connection, endpoint_of, open_client


class Target:
    """The server that takes the keys; in a cluster each key goes to its shard through the cluster's own client."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clients: dict[int, Client] = {}
        self.shards = self._find_shards()
        self._turn = 0

    def _find_shards(self) -> list[Any]:
        if not is_cluster(self._connection):
            return []
        return cluster_shards(self._connection.redis)

    def client(self, db: int) -> Client:
        if self.shards:
            return self._shard_client(self._turn)
        if db not in self._clients:
            self._clients[db] = open_client(endpoint_of(self._connection.server), db=db, socket_timeout=120)
        return self._clients[db]

    def _shard_client(self, number: int) -> Client:
        from dataclasses import replace

        host, port, _ = self.shards[number][0]
        if number not in self._clients:
            endpoint = endpoint_of(self._connection.server)
            self._clients[number] = open_client(
                replace(endpoint, host=host or endpoint.host, port=port, socket=""), socket_timeout=120
            )
        return self._clients[number]

    def at(self, db: int, name: bytes) -> Client:
        """A client of the node that has this key."""
        if self.shards:
            self._turn = self._owner(name)
        return self.client(db)

    @cached_property
    def _owner(self) -> Callable[[bytes], int]:
        return _slot_owners(self._connection.redis, self.shards)

    def pages(self, pages: Pages) -> Pages:
        """As they come; for a cluster split by shard."""
        if not self.shards:
            yield from pages
            return
        for db, page in pages:
            parts: dict[int, list[Dump]] = {}
            for dump in page:
                parts.setdefault(self._owner(dump.name), []).append(dump)
            for number, part in parts.items():
                self._turn = number
                yield db, part

    def primaries(self) -> list[Client]:
        """A client of every node that takes writes."""
        shards = [self._shard_client(number) for number in range(len(self.shards))]
        return shards or [self._connection.redis]

    def counts(self) -> dict[int, int]:
        clients = self.primaries()
        counts: dict[int, int] = {}
        for client in clients:
            for name, facts in client.info("keyspace").items():
                counts[int(name[2:])] = counts.get(int(name[2:]), 0) + facts["keys"]
        return counts


def check_tells_use(connection: Connection) -> None:
    """Whether the target says when a key was last used, apart from our own looks at it. Raises Conflict."""
    client = connection.redis
    policy = client.info("memory").get("maxmemory_policy", "")
    if "lfu" in policy:
        raise Conflict(
            f"The target counts how often keys are used and not when ({policy}): which are older cannot be told.",
            "Overwrite what differs instead.",
        )
    try:
        client.execute_command("CLIENT", "NO-TOUCH", "ON")
    except redis.ResponseError:
        raise Conflict(
            "The target takes our own look at a key for a use of it: which are older cannot be told.",
            "That came with Redis 7.2 and Valkey; overwrite what differs instead.",
        ) from None


def _slot_owners(client: Client, shards: list[Any]) -> Callable[[bytes], int]:
    """name -> number of the shard that serves its slot."""
    from redis.crc import key_slot

    table: dict[int, int] = {}
    numbers = {(host, port): number for number, shard in enumerate(shards) for host, port, _ in shard}
    for first, last, primary, *_ in _slot_ranges(client):
        for slot in range(first, last + 1):
            table[slot] = numbers[primary]
    return lambda name: table[key_slot(name)]


def _slot_ranges(client: Client) -> list[tuple[int, int, tuple[str, int]]]:
    nodes = client.execute_command("CLUSTER NODES")
    ranges = []
    for address, facts in nodes.items():
        host, _, port = address.rpartition(":")
        for part in facts["slots"]:
            if str(part[0]).isdigit():
                ranges.append((int(part[0]), int(part[-1]), (host, int(port))))
    return ranges
