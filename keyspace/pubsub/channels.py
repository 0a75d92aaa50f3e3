"""Which channels have subscribers."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import redis

from keyspace.access import Permission, performs
from keyspace.pubsub.guard import Guard, guard_of
from keyspace.pubsub.limits import limit
from keyspace.pubsub.nodes import every_node
from keyspace.pubsub.subscriptions import Kind
from keyspace.servers import Client, Connection

NUMSUB_AT_ONCE = 500


@dataclass(frozen=True)
class Channel:
    """`subscribers` as the server counts them: clients, this console's own connection among them."""

    kind: Kind
    name: bytes
    subscribers: int


@dataclass(frozen=True)
class Channels:
    """The channels with the most subscribers first; `total` how many there are, `patterns` how many patterns clients hold.

    `silent`: nodes of a cluster that did not answer; what only they know is missing.
    """

    channels: list[Channel]
    total: int
    patterns: int
    silent: int = 0


Counted = dict[tuple[Kind, bytes], int]


@performs(Permission.SUBSCRIBE)
def list_channels(connection: Connection, *, match: bytes = b"") -> Channels:
    """PUBSUB CHANNELS, SHARDCHANNELS (where the server has it), NUMSUB and NUMPAT, in a cluster summed over its nodes.

    At most `limits.CHANNELS` rows; `match` is a glob. Channels outside the grant, or of the events of a key outside it, are absent.
    """
    ask = _Question(match, guard_of(connection.access), connection.supports("SSUBSCRIBE"))
    clients = every_node(connection)
    answers = [ask(clients[0])] if len(clients) == 1 else ask.all_of(clients)
    sums: Counter[tuple[Kind, bytes]] = Counter()
    for counted, _ in answers:
        sums.update(counted)
    rows = [Channel(kind, name, count) for (kind, name), count in sums.items()]
    rows.sort(key=lambda row: (-row.subscribers, row.name))
    patterns = sum(patterns for _, patterns in answers)
    return Channels(rows[: limit("CHANNELS")], len(rows), patterns, len(clients) - len(answers))


@dataclass(frozen=True)
class _Question:
    """Subscribers of each channel of a node, and how many patterns its clients hold."""

    match: bytes
    guard: Guard
    shards: bool

    def __call__(self, client: Client) -> tuple[Counted, int]:
        counted = self._count(client, Kind.CHANNEL, "CHANNELS", "NUMSUB")
        if self.shards:
            counted |= self._count(client, Kind.SHARD, "SHARDCHANNELS", "SHARDNUMSUB")
        return counted, int(client.execute_command("PUBSUB", "NUMPAT"))

    def all_of(self, clients: list[Client]) -> list[tuple[Counted, int]]:
        """Side by side; a node that does not answer hides the others' channels from nobody."""
        with ThreadPoolExecutor(min(8, len(clients))) as pool:
            return [answer for answer in pool.map(self._quietly, clients) if answer is not None]

    def _quietly(self, client: Client) -> tuple[Counted, int] | None:
        try:
            return self(client)
        except redis.RedisError:
            return None

    def _count(self, client: Client, kind: Kind, listing: str, counting: str) -> Counted:
        found = client.execute_command("PUBSUB", listing, *([self.match] if self.match else []))
        names = [name for name in found if self.guard.lists(name)]
        counted: Counted = {}
        with client.pipeline(transaction=False) as pipe:
            for at in range(0, len(names), NUMSUB_AT_ONCE):
                pipe.execute_command("PUBSUB", counting, *names[at : at + NUMSUB_AT_ONCE])
            for reply in pipe.execute():
                pairs = (
                    reply if isinstance(reply[0], tuple | list) else zip(reply[::2], reply[1::2], strict=True)
                )
                counted |= {(kind, name): int(count) for name, count in pairs}
        return counted
