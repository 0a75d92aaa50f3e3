"""One connection of the hub to one node, kept up: subscriptions asked for and confirmed, losses told, back-off, back again."""

import asyncio
import contextlib
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis
import redis

from keyspace.errors import explain
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.pubsub.wire import Replies, Wire, open_wire
from keyspace.servers import Endpoint

BACK_OFF = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds
LOST = 1.0  # seconds that a lost link counts as late at least
PING_EVERY, SILENT_FOR = 5.0, 12.0  # seconds
_ROLES = {"master": "primary", "slave": "replica"}
_KIND_OF = {b"subscribe": Kind.CHANNEL, b"psubscribe": Kind.PATTERN, b"ssubscribe": Kind.SHARD}
_KIND_LEFT = {b"unsubscribe": Kind.CHANNEL, b"punsubscribe": Kind.PATTERN, b"sunsubscribe": Kind.SHARD}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Listener(Protocol):
    """What a link tells its hub."""

    def on_replies(self, link: "Link", replies: Replies) -> None: ...

    def on_subscribed(self, link: "Link", subscription: Subscription) -> None: ...

    def on_refused(self, link: "Link", subscription: Subscription, error: hiredis.ReplyError) -> None: ...

    def on_moved_away(self, link: "Link", subscription: Subscription) -> None: ...

    def on_lost(self, link: "Link", what: str, since: int) -> None: ...

    def on_back(self, link: "Link", what: str, since: int, until: int) -> None: ...


@dataclass(frozen=True)
class Vitals:
    """What tells one run of a server from the next, as far as INFO answers."""

    run_id: str = ""
    role: str = ""
    overflows: int = 0
    cluster: bool = True  # also where it does not tell
    node: str = ""  # its id in the cluster

    def changed(self, now: "Vitals") -> str:
        """Why the connection broke, judged by what is different now; empty when nothing is."""
        if self.run_id and now.run_id and self.run_id != now.run_id:
            return "the server restarted or another one took its place"
        if self.role and now.role and self.role != now.role:
            return f"a failover: the server is a {_ROLES.get(now.role, now.role)} now"
        if now.overflows > self.overflows:
            return "the server cut us off: its output buffer for the console ran over (client-output-buffer-limit pubsub)"
        return ""


class Link:
    """Keeps `wanted` subscribed at one endpoint until `close`."""

    def __init__(self, endpoint: Endpoint, listener: Listener) -> None:
        self.endpoint, self.listener = endpoint, listener
        self.wanted: set[Subscription] = set()
        self.on: set[Subscription] = set()
        self.lost_since: int | None = None
        self._why_lost = ""
        self._asked: deque[tuple[bool, Subscription]] = (
            deque()
        )  # (subscribe or unsubscribe, what), in the order sent
        self._wire: Wire | None = None
        self._vitals = Vitals()
        self._heard = 0.0
        self._probed: float | None = None
        self._delay = 0.0
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._keep_up(), name=f"live link {endpoint.address}")

    def subscribe(self, subscription: Subscription) -> None:
        self.wanted.add(subscription)
        self._ask(True, subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        self.wanted.discard(subscription)
        self.on.discard(subscription)
        self._ask(False, subscription)

    def _ask(self, subscribe: bool, subscription: Subscription) -> None:
        if self._wire is not None:
            self._asked.append((subscribe, subscription))
            self._wire.send(subscription.verb if subscribe else subscription.unverb, subscription.name)

    def close(self) -> None:
        self._task.cancel()
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    @property
    def in_cluster(self) -> bool:
        """Unless the server has said no; as of the last time it was reached, like `node`."""
        return self._vitals.cluster

    @property
    def node(self) -> str:
        return self._vitals.node

    def retry_now(self) -> None:
        """Cut the back-off short."""
        self._wake.set()

    def probe(self) -> None:
        """Send a PING, unless one is on its way, to learn how long a reply takes to come through."""
        if self._wire is not None and self._probed is None:
            self._probed = time.perf_counter()
            self._wire.send("PING")

    @property
    def delay(self) -> float:
        """Seconds that the last probe took; or the one under way, if it is older already; or since when the link is lost."""
        if self.lost_since is not None:
            return (now_ms() - self.lost_since) / 1000 + LOST
        return self._delay if self._probed is None else max(self._delay, time.perf_counter() - self._probed)

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            try:
                self._wire = await self._open()
                failures = 0
                await self._listen(self._wire)
            except (OSError, TimeoutError, redis.RedisError) as error:
                self._lose(explain(error).sentence)
            self._wire = None
            pause = BACK_OFF[min(failures, len(BACK_OFF) - 1)] * random.uniform(0.8, 1.2)
            failures += 1
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def _open(self) -> Wire:
        wire = await open_wire(self.endpoint)
        vitals = await read_vitals(wire)
        if self.lost_since is not None:
            self._why_lost = self._vitals.changed(vitals) or self._why_lost
        self._vitals, self._heard = vitals, time.monotonic()
        self._asked.clear()
        self.on.clear()
        self._probed, self._delay = None, 0.0
        return wire

    async def _listen(self, wire: Wire) -> None:
        wire.stream(self._on_replies)
        for subscription in sorted(self.wanted):
            self._asked.append((True, subscription))
            wire.send(subscription.verb, subscription.name)
        self._maybe_back()
        while True:
            await asyncio.wait({wire.closed}, timeout=PING_EVERY)
            if wire.closed.done():
                return self._lose("the server closed the connection (CLIENT KILL, a restart, or the network)")
            silent = time.monotonic() - self._heard
            if silent > SILENT_FOR:
                wire.abort()
                return self._lose(f"the server did not answer for {SILENT_FOR:.0f} seconds")
            if silent > PING_EVERY / 2:
                self.probe()

    def _on_replies(self, replies: Replies) -> None:
        self._heard = time.monotonic()
        self.listener.on_replies(self, replies)

    def control(self, reply: Any) -> None:
        """A reply that is no message: a confirmation, a refusal, an answer to PING."""
        if isinstance(reply, hiredis.ReplyError):
            self._refused(reply)
        elif isinstance(reply, list) and reply[0] in _KIND_OF:
            self._confirmed(True, Subscription(_KIND_OF[reply[0]], reply[1]))
        elif isinstance(reply, list) and reply[0] in _KIND_LEFT and reply[1] is not None:
            self._confirmed(False, Subscription(_KIND_LEFT[reply[0]], reply[1]))
        elif self._probed is not None and (reply == b"PONG" or isinstance(reply, list)):
            self._delay, self._probed = time.perf_counter() - self._probed, None
        self._maybe_back()

    def _refused(self, error: hiredis.ReplyError) -> None:
        if not self._asked:
            return
        subscribe, subscription = self._asked.popleft()
        if subscribe and subscription in self.wanted:
            self.listener.on_refused(self, subscription, error)

    def _confirmed(self, subscribe: bool, subscription: Subscription) -> None:
        expected = bool(self._asked) and self._asked[0] == (subscribe, subscription)
        if expected:
            self._asked.popleft()
        if not subscribe:
            if not expected and subscription in self.wanted:  # its slot has moved to another node
                self.on.discard(subscription)
                self.listener.on_moved_away(self, subscription)
        elif subscription in self.wanted:
            self.on.add(subscription)
            self.listener.on_subscribed(self, subscription)

    def _lose(self, what: str) -> None:
        self._wire = None
        self.on.clear()
        self._probed, self._delay = None, 0.0
        if self.lost_since is None:
            self.lost_since, self._why_lost = now_ms(), what
            self.listener.on_lost(self, what, self.lost_since)

    def _maybe_back(self) -> None:
        """The gap ends when everything wanted is subscribed again, or was refused."""
        if self.lost_since is not None and not self._asked:
            since, self.lost_since = self.lost_since, None
            self.listener.on_back(self, self._why_lost, since, now_ms())


async def read_vitals(wire: Wire) -> Vitals:
    """From INFO and, in a cluster, CLUSTER MYID; a server that refuses them tells nothing."""
    try:
        text = (await wire.ask("INFO")).decode("utf-8", "replace")
    except redis.ResponseError:
        return Vitals()
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    overflows = facts.get("client_output_buffer_limit_disconnections", "0")
    cluster, node = facts.get("cluster_enabled") == "1", ""
    if cluster:
        with contextlib.suppress(redis.ResponseError):
            node = (await wire.ask("CLUSTER", "MYID")).decode()
    return Vitals(
        facts.get("run_id", ""),
        facts.get("role", ""),
        int(overflows) if overflows.isdigit() else 0,
        cluster,
        node,
    )
