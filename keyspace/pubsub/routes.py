"""Which connection brings each subscription, and to which views its messages go."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import Any

import hiredis

from keyspace.errors import explain
from keyspace.pubsub.filters import Message
from keyspace.pubsub.link import Link, now_ms
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.pubsub.viewers import Frame, control_frame
from keyspace.pubsub.views import View
from keyspace.pubsub.wire import Replies
from keyspace.servers import Endpoint
from keyspace.wire import reply_error

ASK_AGAIN = 1.0  # seconds after which the shard channels of a lost node are looked for elsewhere
_MESSAGE = {Kind.CHANNEL: b"message", Kind.PATTERN: b"pmessage", Kind.SHARD: b"smessage"}
_MESSAGES = frozenset(_MESSAGE.values())
_HEAD, _PAYLOAD = itemgetter(0, 1), itemgetter(-1)


def _head_of(subscription: Subscription) -> tuple[bytes, bytes]:
    """The first two words of its messages."""
    return _MESSAGE[subscription.kind], subscription.name


def _head_of_any(reply: Any) -> tuple[Any, Any]:
    """As _HEAD, also for errors and whatever else is no message."""
    return (reply[0], reply[1]) if type(reply) is list else (None, None)


@dataclass(slots=True)
class Route:
    """Where the messages of one subscription go, and how many there were."""

    link: Link
    views: list[View] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0
    problem: str = ""  # why the server refused it

    def take(self, run: list[Message]) -> int:
        """Count these messages and hand them to every view; the bytes of payload they brought."""
        size = sum(map(len, map(_PAYLOAD, run)))
        self.messages += len(run)
        self.bytes += size
        for view in self.views:
            view.inbox += run
        return size


class Routes:
    """The links to one server (in a cluster one more a node with shard channels) and the subscriptions they carry.

    `on_arrival` is called after each chunk with the bytes of payload it brought.
    """

    def __init__(self, endpoint: Endpoint, on_arrival: Callable[[int], None]) -> None:
        self.endpoint, self.on_arrival = endpoint, on_arrival
        self.links: dict[str, Link] = {}
        self._routes: dict[Subscription, Route] = {}
        self._table: dict[tuple[bytes, bytes], Route] = {}  # by the first two words of a message
        self._adrift: dict[Subscription, int] = {}  # shard channels of a lost node, since when (ms)

    def add(self, view: View) -> None:
        for subscription in view.subscriptions:
            route = self._routes.get(subscription)
            if route is None:
                link = self._link(self.endpoint)
                route = self._routes[subscription] = Route(link)
                self._table[_head_of(subscription)] = route
                link.subscribe(subscription)
            route.views.append(view)

    def remove(self, view: View) -> None:
        """The server is told at once of what nobody wants any more."""
        for subscription in view.subscriptions:
            route = self._routes[subscription]
            route.views.remove(view)
            if not route.views:
                del self._routes[subscription], self._table[_head_of(subscription)]
                self._adrift.pop(subscription, None)
                route.link.unsubscribe(subscription)
                self._drop_unused(route.link)

    def totals(self) -> dict[Subscription, tuple[int, int]]:
        """Messages and bytes of each subscription since it began."""
        return {subscription: (route.messages, route.bytes) for subscription, route in self._routes.items()}

    @property
    def delay(self) -> float:
        """Seconds that a reply is on its way now."""
        return max((link.delay for link in self.links.values()), default=0.0)

    def probe(self) -> None:
        for link in self.links.values():
            link.probe()

    def close(self) -> None:
        for link in self.links.values():
            link.close()
        self.links.clear()

    def _link(self, endpoint: Endpoint) -> Link:
        link = self.links.get(endpoint.address)
        if link is None:
            link = self.links[endpoint.address] = Link(endpoint, self)
        return link

    def _drop_unused(self, link: Link) -> None:
        if link.endpoint.address != self.endpoint.address and not link.wanted:
            self.links.pop(link.endpoint.address, None)
            link.close()

    # what the links tell

    def on_replies(self, link: Link, replies: Replies) -> None:
        """The hot path. Neighbours of one subscription are counted and handed over together; what is no message comes last."""
        control: Replies = []
        size = 0
        for head, group in groupby(replies, _HEAD if set(map(type, replies)) == {list} else _head_of_any):
            run = list(group)
            route = self._table.get(head)
            if route is not None:
                size += route.take(run)
            elif head[0] not in _MESSAGES:
                control += run
        self.on_arrival(size)
        for reply in control:
            link.control(reply)

    def on_subscribed(self, link: Link, subscription: Subscription) -> None:
        self._set_problem(subscription, "")
        since = self._adrift.pop(subscription, None)
        if since is not None and link.lost_since is None:
            for view in self._routes[subscription].views:
                view.gap("the slot moved to another node", since=since, until=now_ms())

    def on_refused(self, link: Link, subscription: Subscription, error: hiredis.ReplyError) -> None:
        moved = str(error).split(" ")
        if moved[0] == "MOVED" and len(moved) == 3:
            host, _, port = moved[2].rpartition(":")
            node = replace(self.endpoint, socket="", host=host or self.endpoint.host, port=int(port))
            self._hand_over(subscription, node)
            return
        link.wanted.discard(subscription)
        self._set_problem(subscription, explain(reply_error(str(error))).sentence)

    def _hand_over(self, subscription: Subscription, endpoint: Endpoint) -> None:
        """A shard channel lives on the node its slot is on."""
        route = self._routes.get(subscription)
        if route is None:
            return
        old = route.link
        old.wanted.discard(subscription)
        route.link = self._link(endpoint)
        route.link.subscribe(subscription)
        if old is not route.link:
            self._drop_unused(old)

    def on_moved_away(self, link: Link, subscription: Subscription) -> None:
        """Ask where its slot went: the answer is a MOVED, or a confirmation."""
        link.subscribe(subscription)

    def on_lost(self, link: Link, what: str, since: int) -> None:
        for view in self._views_of(link):
            view.gap(what, since=since)
        if link.endpoint.address != self.endpoint.address:
            asyncio.get_running_loop().call_later(ASK_AGAIN, self._ask_again, link)

    def _ask_again(self, link: Link) -> None:
        """A lost node's shard channels may live elsewhere by now: the first node knows where."""
        if link.lost_since is None or self.links.get(link.endpoint.address) is not link:
            return
        for subscription in list(link.wanted):
            self._adrift.setdefault(subscription, link.lost_since)
            self._hand_over(subscription, self.endpoint)

    def on_back(self, link: Link, what: str, since: int, until: int) -> None:
        for view in self._views_of(link):
            view.gap(what, since=since, until=until)

    def _views_of(self, link: Link) -> list[View]:
        return list(
            {view: None for route in self._routes.values() if route.link is link for view in route.views}
        )

    def _set_problem(self, subscription: Subscription, problem: str) -> None:
        route = self._routes.get(subscription)
        if route is not None:
            route.problem = problem
            for view in route.views:
                view.tell(self.state_frame(view))

    def state_frame(self, view: View) -> Frame:
        """Which subscriptions stand, which were refused and why, and since when the server cannot be heard."""
        state: list[list[Any]] = []
        for subscription in sorted(view.subscriptions):
            route = self._routes[subscription]
            state.append([*subscription.pair, subscription in route.link.on, route.problem])
        lost = [link.lost_since for link in self.links.values() if link.lost_since is not None]
        return control_frame("subscriptions", state=state, lost_since=min(lost, default=None))
