"""Keyspace notifications: events of keys as messages, when the server is told to send them."""

from dataclasses import dataclass

from redis import exceptions

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.errors import BadInput, explain
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.servers import Connection

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
    """`flags` as the server has them, None when it does not say (`problem` tells why)."""

    flags: str | None
    problem: str = ""

    @property
    def by_key(self) -> bool:
        return bool(self.flags) and "K" in self.flags and self._any  # type: ignore[operator]

    @property
    def by_operation(self) -> bool:
        return bool(self.flags) and "E" in self.flags and self._any  # type: ignore[operator]

    @property
    def _any(self) -> bool:
        return bool(set(self.flags or "") - {"K", "E"})

    @property
    def on(self) -> bool:
        return self.by_key or self.by_operation


@performs(Permission.SUBSCRIBE)
def get_notifications(connection: Connection) -> Notifications:
    """What CONFIG GET says; many hosted servers refuse it."""
    try:
        found = connection.redis.execute_command("CONFIG", "GET", SETTING)
    except exceptions.ResponseError as error:
        return Notifications(None, explain(error).sentence)
    pairs = dict(zip(found[::2], found[1::2], strict=True)) if isinstance(found, list) else found
    value = pairs.get(SETTING, pairs.get(SETTING.encode(), b""))
    return Notifications(value.decode() if isinstance(value, bytes) else value)


@performs(Permission.CONFIGURE)
def set_notifications(connection: Connection, *, flags: str) -> Notifications:
    """CONFIG SET; the audit keeps the old and the new value, and the old one comes back as `flags` of the answer. Raises BadInput."""
    if set(flags) - set(FLAGS):
        raise BadInput(f"{SETTING} is made of the letters {''.join(FLAGS)}.")
    before = get_notifications(connection)
    audit.tell(setting=SETTING, old=before.flags, new=flags)
    connection.redis.execute_command("CONFIG", "SET", SETTING, flags)
    return before


def key_events(db: int, *, name: bytes | None = None) -> list[Subscription]:
    """What to subscribe to for the events of a db: of all keys by operation, or of one key."""
    if name is None:
        return [Subscription(Kind.PATTERN, b"__keyevent@%d__:*" % db)]
    return [Subscription(Kind.CHANNEL, b"__keyspace@%d__:%s" % (db, name))]
