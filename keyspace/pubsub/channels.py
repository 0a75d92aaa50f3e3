"""Which channels have subscribers."""

from dataclasses import dataclass

from keyspace.access import Permission, performs
from keyspace.pubsub.guard import Guard, guard_of
from keyspace.pubsub.limits import limit
from keyspace.pubsub.subscriptions import Kind
from keyspace.servers import Connection

NUMSUB_AT_ONCE = 500


@dataclass(frozen=True)
class Channel:
    """`subscribers` as the server counts them: clients, this console's own connection among them."""

    kind: Kind
    name: bytes
    subscribers: int


@dataclass(frozen=True)
class Channels:
    """The channels with the most subscribers first; `total` how many there are, `patterns` how many patterns clients hold."""

    channels: list[Channel]
    total: int
    patterns: int


@performs(Permission.SUBSCRIBE)
def list_channels(connection: Connection, *, match: bytes = b"") -> Channels:
    """PUBSUB CHANNELS, SHARDCHANNELS (where the server has it), NUMSUB and NUMPAT of this node.

    At most `limits.CHANNELS` rows; `match` is a glob. Channels outside the grant are absent.
    """
    guard = guard_of(connection.access)
    plain = _names(connection, "CHANNELS", match, guard)
    shard = _names(connection, "SHARDCHANNELS", match, guard) if connection.supports("SSUBSCRIBE") else []
    rows = _counted(connection, Kind.CHANNEL, plain) + _counted(connection, Kind.SHARD, shard)
    rows.sort(key=lambda row: (-row.subscribers, row.name))
    return Channels(
        rows[: limit("CHANNELS")], len(rows), int(connection.redis.execute_command("PUBSUB", "NUMPAT"))
    )


def _names(connection: Connection, what: str, match: bytes, guard: Guard) -> list[bytes]:
    pattern = (match,) if match else ()
    names: list[bytes] = connection.redis.execute_command("PUBSUB", what, *pattern)
    return [name for name in names if guard.covers(name)]


def _counted(connection: Connection, kind: Kind, names: list[bytes]) -> list[Channel]:
    command = "SHARDNUMSUB" if kind is Kind.SHARD else "NUMSUB"
    rows: list[Channel] = []
    with connection.redis.pipeline(transaction=False) as pipe:
        for at in range(0, len(names), NUMSUB_AT_ONCE):
            pipe.execute_command("PUBSUB", command, *names[at : at + NUMSUB_AT_ONCE])
        for reply in pipe.execute():
            pairs = reply if isinstance(reply[0], tuple | list) else zip(reply[::2], reply[1::2], strict=True)
            rows += [Channel(kind, name, int(count)) for name, count in pairs]
    return rows
