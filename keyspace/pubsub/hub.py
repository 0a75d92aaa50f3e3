"""The hub of a server in this process: one connection whatever the number of viewers, references counted, messages routed."""

import asyncio
import time
import weakref
from dataclasses import dataclass, field, replace
from typing import Any

import hiredis

from keyspace.errors import explain
from keyspace.pubsub.kept import Kept
from keyspace.pubsub.link import Link, now_ms
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.pubsub.viewers import Viewer, control_frame
from keyspace.pubsub.views import Recorder, View, ViewKey
from keyspace.pubsub.wire import Replies, error_of
from keyspace.servers import Endpoint

FLUSH_EVERY = 0.06  # seconds
FLUSH_AT = 12 * 1024 * 1024  # bytes that came since the last flush
SHARE = 0.5  # of the time may go into filters and frames; the rest is for reading, sockets and pages
MIN_SHARE = 0.02  # what is left of it when reading falls behind
PROBE_AT = 1024 * 1024  # bytes between two flushes, from which on the links are probed
BEHIND, FAR_BEHIND = 0.15, 0.4  # seconds that a reply lay in the server's output buffer and in ours
SAVED = 0.3  # seconds of that share that a quiet time leaves for a burst
LINGER = 0.5  # seconds that an unused connection stays


@dataclass(slots=True)
class Route:
    """Where the messages of one subscription go, and how many there were."""

    link: Link
    views: list[View] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0
    problem: str = ""  # why the server refused it


class Hub:
    """Viewers and recorders join with what they want to see, and leave. Runs in the event loop that made it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.kept = Kept()
        self.views: dict[ViewKey, View] = {}
        self.routes: dict[Subscription, Route] = {}
        self.links: dict[str, Link] = {}
        self._tables: dict[bytes, dict[bytes, Route]] = {b"message": {}, b"pmessage": {}, b"smessage": {}}
        self._bytes = 0
        self._flushed, self._seconds = time.perf_counter(), SAVED
        self._share = SHARE
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None

    # joining and leaving

    def join(self, who: Viewer | Recorder, key: ViewKey) -> View:
        """From the next message on `who` gets what `key` selects."""
        view = self.views.get(key)
        if view is None:
            view = self.views[key] = View(key, self.kept.keep)
            for subscription in view.subscriptions:
                self._route(subscription, view)
        view.flush(seconds=1.0)
        if isinstance(who, Viewer):
            view.viewers.add(who)
            who.offer(self._state_frame(view))
        else:
            view.recorders.add(who)
        self._start()
        return view

    def leave(self, who: Viewer | Recorder, view: View) -> None:
        """What had arrived until now is still delivered."""
        view.flush(seconds=1.0)
        view.viewers.discard(who)  # type: ignore[arg-type]
        view.recorders.discard(who)  # type: ignore[arg-type]
        if view.idle and self.views.get(view.key) is view:
            del self.views[view.key]
            for subscription in view.subscriptions:
                self._unroute(subscription, view)
        if not self.views and self._closing is None:
            self._closing = asyncio.get_running_loop().call_later(LINGER, self._close_if_unused)

    def _route(self, subscription: Subscription, view: View) -> None:
        route = self.routes.get(subscription)
        if route is None:
            link = self._link(self.endpoint)
            route = self.routes[subscription] = self._tables[_MESSAGE[subscription.kind]][
                subscription.name
            ] = Route(link)
            link.subscribe(subscription)
        route.views.append(view)

    def _unroute(self, subscription: Subscription, view: View) -> None:
        route = self.routes[subscription]
        route.views.remove(view)
        if not route.views:
            del self.routes[subscription], self._tables[_MESSAGE[subscription.kind]][subscription.name]
            route.link.unsubscribe(subscription)
            self._drop_unused(route.link)

    def _link(self, endpoint: Endpoint) -> Link:
        link = self.links.get(endpoint.address)
        if link is None:
            link = self.links[endpoint.address] = Link(endpoint, self)
        return link

    def _drop_unused(self, link: Link) -> None:
        if link.endpoint.address != self.endpoint.address and not link.wanted:
            self.links.pop(link.endpoint.address, None)
            link.close()

    # the stream

    def on_replies(self, link: Link, replies: Replies) -> None:
        """The hot path: one dictionary and one append a message and view."""
        tables, control, size = self._tables, None, 0
        for reply in replies:
            table = tables.get(reply[0]) if type(reply) is list else None
            if table is None:
                control = control or []
                control.append(reply)
                continue
            route = table.get(reply[1])
            if route is not None:
                length = len(reply[-1])
                size += length
                route.messages += 1
                route.bytes += length
                for view in route.views:
                    view.inbox.append(reply)
        self._arrived(size)
        for reply in control or ():
            link.control(reply)

    def _arrived(self, size: int) -> None:
        at = now_ms()
        for view in self.views.values():
            view.mark(at)
        self._bytes += size
        if self._bytes > FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Give every view its part of the time there is; what they do not use is saved up for later."""
        began = time.perf_counter()
        self._seconds = min(SAVED, self._seconds + (began - self._flushed) * self._share)
        self._flushed, self._bytes = began, 0
        for view in self.views.values():
            view.flush(seconds=max(0.001, self._seconds / len(self.views)))
        self._seconds -= time.perf_counter() - began

    def _adapt(self) -> None:
        """Reading goes first: whoever reads too slowly is cut off by the server, and then nobody knows what was lost."""
        if self._bytes > PROBE_AT:
            for link in self.links.values():
                link.probe()
        delay = max((link.delay for link in self.links.values()), default=0.0)
        if delay > FAR_BEHIND:
            self._share = MIN_SHARE
        elif delay > BEHIND:
            self._share = max(MIN_SHARE, self._share * 0.8)
        else:
            self._share = min(SHARE, self._share * 1.2)
        if delay > BEHIND:
            self._seconds = min(self._seconds, self._share * FLUSH_EVERY)

    def _start(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._task is None:
            self._task = asyncio.create_task(self._beat(), name=f"live hub {self.endpoint.address}")

    async def _beat(self) -> None:
        ticked = time.monotonic()
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self._adapt()
            self.flush()
            if time.monotonic() - ticked >= 1.0:
                ticked = time.monotonic()
                self._tick()

    def _tick(self) -> None:
        at = now_ms()
        totals = {subscription: (route.messages, route.bytes) for subscription, route in self.routes.items()}
        for view in self.views.values():
            view.tick(at, totals)

    def _close_if_unused(self) -> None:
        self._closing = None
        if not self.views:
            self.close()

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        self.links.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # what the links tell

    def on_subscribed(self, link: Link, subscription: Subscription) -> None:
        self._set_problem(subscription, "")

    def on_refused(self, link: Link, subscription: Subscription, error: hiredis.ReplyError) -> None:
        moved = str(error).split(" ")
        if moved[0] == "MOVED" and len(moved) == 3:
            self._move(subscription, moved[2])
            return
        link.wanted.discard(subscription)
        self._set_problem(subscription, explain(error_of(error)).sentence)

    def _move(self, subscription: Subscription, address: str) -> None:
        """A shard channel lives on the node its slot is on."""
        route = self.routes.get(subscription)
        if route is None:
            return
        host, _, port = address.rpartition(":")
        old = route.link
        old.wanted.discard(subscription)
        route.link = self._link(
            replace(self.endpoint, socket="", host=host or self.endpoint.host, port=int(port))
        )
        route.link.subscribe(subscription)
        self._drop_unused(old)

    def on_moved_away(self, link: Link, subscription: Subscription) -> None:
        """Ask where its slot went: the answer is a MOVED, or a confirmation."""
        link.subscribe(subscription)

    def on_lost(self, link: Link, what: str, since: int) -> None:
        for view in self._views_of(link):
            view.gap(what, since=since)

    def on_back(self, link: Link, what: str, since: int, until: int) -> None:
        for view in self._views_of(link):
            view.gap(what, since=since, until=until)

    def _views_of(self, link: Link) -> list[View]:
        views = {view: None for route in self.routes.values() if route.link is link for view in route.views}
        return list(views)

    def _set_problem(self, subscription: Subscription, problem: str) -> None:
        route = self.routes.get(subscription)
        if route is not None:
            route.problem = problem
            for view in route.views:
                view.tell(self._state_frame(view))

    def _state_frame(self, view: View) -> Any:
        """Which subscriptions stand, which were refused and why, and since when the server cannot be heard."""
        state = []
        for subscription in sorted(view.subscriptions):
            route = self.routes[subscription]
            state.append([*subscription.pair, subscription in route.link.on, route.problem])
        lost = [link.lost_since for link in self.links.values() if link.lost_since is not None]
        return control_frame("subscriptions", state=state, lost_since=min(lost, default=None))


_MESSAGE = {Kind.CHANNEL: b"message", Kind.PATTERN: b"pmessage", Kind.SHARD: b"smessage"}
_hubs: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Endpoint, Hub]]" = (
    weakref.WeakKeyDictionary()
)


def hub_of(endpoint: Endpoint) -> Hub:
    """The hub of this process (of the running loop) for a server."""
    hubs = _hubs.setdefault(asyncio.get_running_loop(), {})
    hub = hubs.get(endpoint)
    if hub is None:
        hub = hubs[endpoint] = Hub(endpoint)
    return hub
