"""Sending a message."""

from dataclasses import dataclass

from redis.exceptions import MovedError

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.encoding import to_text
from keyspace.errors import TooLarge
from keyspace.pubsub.guard import guard_of
from keyspace.pubsub.limits import limit
from keyspace.pubsub.nodes import node_that_owns
from keyspace.pubsub.subscriptions import MAX_NAME, Kind, Subscription
from keyspace.servers import Connection


@dataclass(frozen=True)
class Published:
    """`receivers`: clients of this node that got it (in a cluster others may have, too); a client with two subscriptions counts twice."""

    channel: bytes
    size: int
    receivers: int
    shard: bool


@performs(Permission.PUBLISH)
def publish_message(
    connection: Connection, channel: bytes, *, payload: bytes, shard: bool = False
) -> Published:
    """PUBLISH, or SPUBLISH for a shard channel. Raises Denied outside the grant's channel patterns, TooLarge."""
    kind = Kind.SHARD if shard else Kind.CHANNEL
    audit.tell(channel=to_text(channel)[:500], size=len(payload))
    guard_of(connection.access, Permission.PUBLISH).check(Subscription(kind, channel))
    if len(payload) > limit("PUBLISH_BYTES") or len(channel) > MAX_NAME:
        raise TooLarge(f"A message may be {limit('PUBLISH_BYTES')} bytes long.", "Send a smaller one.")
    command = ("SPUBLISH" if shard else "PUBLISH", channel, payload)
    try:
        receivers = connection.redis.execute_command(*command)
    except MovedError as moved:  # refused, so nothing was sent yet
        receivers = node_that_owns(connection, moved).execute_command(*command)
    audit.tell(receivers=receivers)
    return Published(channel, len(payload), int(receivers), shard)
