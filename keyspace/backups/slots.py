"""Slots that move between the shards of a cluster: of keys in them a backup holds none, or two, when the shards are read meanwhile.

Each primary is asked for itself: only it knows what it gives away and takes, and what others say of it comes late. A slot that moved has
another owner afterwards; one that moved there and back leaves a later config epoch with the primary that has it again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from keyspace.backups.sources import cluster_shards, info_of
from keyspace.errors import Conflict, Problem, explain
from keyspace.servers import Client, Connection, endpoint_of, open_client

SLOTS = 16_384
_ENDED = (b"success", b"failed", b"cancelled")


@dataclass
class Layout:
    """Who has which slots: `owners` slot -> primary, `epochs` of the primaries, `shards` node -> its primary, all by id; `moving` slots."""

    owners: dict[int, str] = field(default_factory=dict)
    epochs: dict[str, str] = field(default_factory=dict)
    shards: dict[str, str] = field(default_factory=dict)
    moving: set[int] = field(default_factory=set)


def layout_of(connection: Connection) -> Layout | None:
    """The cluster's layout now; None where the server is no cluster."""
    client, endpoint = connection.redis, endpoint_of(connection.server)
    if not info_of(client).get("cluster_enabled"):
        return None
    layout = Layout()
    for shard in cluster_shards(client):
        host, port, _ = shard[0]
        with open_client(replace(endpoint, host=host or endpoint.host, port=port, socket="")) as primary:
            _add(layout, primary)
    return layout


def _add(layout: Layout, primary: Client) -> None:
    for facts in primary.execute_command("CLUSTER NODES").values():
        node = facts["node_id"]
        layout.shards[node] = facts["master_id"] if "slave" in facts["flags"] else node
        if "myself" not in facts["flags"]:
            continue
        layout.epochs[node] = facts["epoch"]
        for first, last in ((each[0], each[-1]) for each in facts["slots"]):
            for slot in range(int(first), int(last) + 1):
                if slot in layout.owners:
                    layout.moving.add(slot)  # two have it: one has not heard yet that it gave it away
                layout.owners[slot] = node
        layout.moving |= {int(each["slot"]) for each in facts["migrations"]}
    layout.moving |= set(_atomic(primary))


def _atomic(primary: Client) -> Iterator[int]:
    """Slots that Valkey 9 moves in one piece; they are not marked in CLUSTER NODES."""
    try:
        told = primary.execute_command("CLUSTER", "GETSLOTMIGRATIONS")
    except redis.ResponseError:
        return  # not known, or not allowed
    for job in told:
        facts: dict[bytes, Any] = (
            job if isinstance(job, dict) else dict(zip(job[::2], job[1::2], strict=False))
        )
        if facts[b"state"] not in _ENDED:
            for piece in facts[b"slot_ranges"].split():
                first, _, last = piece.partition(b"-")
                yield from range(int(first), int(last or first) + 1)


def moved(before: Layout, after: Layout) -> set[int]:
    """Slots that have changed their shard, or are about to. That a replica takes over its shard is no move."""
    slots = before.owners.keys() | after.owners.keys()
    left = {
        slot for slot in slots if before.shards.get(after.owners.get(slot, "")) != before.owners.get(slot)
    }
    return left | before.moving | after.moving


def came_back(before: Layout, after: Layout) -> bool:
    """Whether a primary has a later config epoch, as one that takes slots, and no slot more than before."""
    later = {node for node, epoch in before.epochs.items() if after.epochs.get(node, epoch) != epoch}
    return bool(later - {node for slot, node in after.owners.items() if before.owners.get(slot) != node})


class SlotWatch:
    """Look before a backup, and ask after it. Raises Conflict at the start where slots are moving."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._before = layout_of(connection)
        if self._before is not None and (sentence := moving_now(self._before)):
            raise Conflict(sentence, "Wait until the resharding has ended; nothing was started.")

    def what_moved(self) -> str:
        """A sentence where slots moved since; empty where none did."""
        if self._before is None:
            return ""
        try:
            after = layout_of(self._connection)
        except (redis.RedisError, Problem) as error:
            return f"Whether slots moved between the shards while they were read could not be asked: {explain(error).sentence}"
        return _said(self._before, after or Layout())


def _said(before: Layout, after: Layout) -> str:
    if slots := moved(before, after):
        what = f"slots moved between them ({told(slots)})"
    elif came_back(before, after):
        what = "slots moved from one to another and back"
    else:
        return ""
    return f"While the shards were read, {what}: keys of those slots may be missing here, or be here twice."


def moving_now(layout: Layout) -> str:
    return (
        f"Slots are moving between the shards of this cluster: {told(layout.moving)}."
        if layout.moving
        else ""
    )


def told(slots: set[int]) -> str:
    """`5` or `10–4000` or `3992 of 16384`."""
    ordered = sorted(slots)
    first, last = ordered[0], ordered[-1]
    if len(ordered) == 1:
        return str(first)
    return f"{first}–{last}" if last - first + 1 == len(ordered) else f"{len(ordered)} of {SLOTS}"
