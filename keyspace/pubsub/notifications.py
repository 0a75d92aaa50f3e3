"""Keyspace notifications: events of keys as messages, when the server is told to send them."""

import contextlib
from dataclasses import dataclass

from redis import exceptions

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.errors import BadInput, explain
from keyspace.pubsub.nodes import other_nodes
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.servers import Client, Connection

SETTING = "notify-keyspace-events"
WANTED = "AKE"
FLAGS = {
    "K": "events by key (__keyspace@<db>__)", "E": "events by operation (__keyevent@<db>__)",
    "g": "DEL, EXPIRE, RENAME and others of any type", "$": "strings", "l": "lists", "s": "sets", "h": "hashes",
    "z": "sorted sets", "x": "expired keys", "e": "evicted keys", "t": "streams", "d": "module types", "m": "misses",
    "n": "new keys", "A": "all but misses and new keys",
}  # fmt: skip


@dataclass(frozen=True)
class Notifications:
    """`flags` as the server has them, None when it does not say (`problem` tells why); `others` those of the other nodes of its
    cluster that answered, replicas too: after a failover it is their turn.
    """

    flags: str | None
    problem: str = ""
    others: tuple[str, ...] = ()

    @property
    def by_key(self) -> bool:
        return self._all_have("K")

    @property
    def by_operation(self) -> bool:
        return self._all_have("E")

    def _all_have(self, letter: str) -> bool:
        return all(letter in flags and set(flags) - {"K", "E"} for flags in (self.flags or "", *self.others))

    @property
    def on(self) -> bool:
        return self.by_key or self.by_operation

    @property
    def uneven(self) -> int:
        """How many other nodes are set otherwise."""
        return sum(set(flags) != set(self.flags or "") for flags in self.others)


@performs(Permission.SUBSCRIBE)
def get_notifications(connection: Connection) -> Notifications:
    """What CONFIG GET says; many hosted servers refuse it."""
    try:
        return Notifications(_flags_of(connection.redis), others=_of_others(connection))
    except exceptions.ResponseError as error:
        return Notifications(None, explain(error).sentence)


def _flags_of(client: Client) -> str:
    found = client.execute_command("CONFIG", "GET", SETTING)
    pairs = dict(zip(found[::2], found[1::2], strict=True)) if isinstance(found, list) else found
    value = pairs.get(SETTING, pairs.get(SETTING.encode(), b""))
    return value.decode() if isinstance(value, bytes) else str(value)


def _of_others(connection: Connection) -> tuple[str, ...]:
    """Of the nodes that answer."""
    found = []
    for client in other_nodes(connection):
        with contextlib.suppress(exceptions.RedisError):
            found.append(_flags_of(client))
    return tuple(found)


@performs(Permission.CONFIGURE)
def set_notifications(connection: Connection, *, flags: str) -> Notifications:
    """CONFIG SET on the server, and on the other nodes of its cluster that answer; the audit keeps the old and the new value, and
    the old one comes back as `flags` of the answer. Raises BadInput.
    """
    if set(flags) - set(FLAGS):
        raise BadInput(f"{SETTING} is made of the letters {''.join(FLAGS)}.")
    before = get_notifications(connection)
    audit.tell(setting=SETTING, old=before.flags, new=flags)
    connection.redis.execute_command("CONFIG", "SET", SETTING, flags)
    if others := other_nodes(connection):
        audit.tell(nodes=1 + sum(_is_set(client, flags) for client in others))
    return before


def _is_set(client: Client, flags: str) -> bool:
    try:
        client.execute_command("CONFIG", "SET", SETTING, flags)
    except exceptions.RedisError:
        return False
    return True


def key_events(db: int, *, name: bytes | None = None) -> list[Subscription]:
    """What to subscribe to for the events of a db: of all keys by operation, or of one key."""
    if name is None:
        return [Subscription(Kind.PATTERN, b"__keyevent@%d__:*" % db)]
    return [Subscription(Kind.CHANNEL, b"__keyspace@%d__:%s" % (db, name))]
