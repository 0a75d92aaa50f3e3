"""Which connection brings each subscription, and to which views its messages go."""

import asyncio
from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import Any

import hiredis

from keyspace.errors import explain
from keyspace.pubsub.link import Link
from keyspace.pubsub.nodes import node_at
from keyspace.pubsub.route import Route, is_of_events
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.pubsub.topology import Topology
from keyspace.pubsub.viewers import Frame, control_frame
from keyspace.pubsub.views import View
from keyspace.pubsub.wire import Replies
from keyspace.servers import Endpoint
from keyspace.wire import reply_error

ASK_AGAIN = 1.0  # seconds after which the shard channels of a lost node are looked for elsewhere
_MESSAGE = {Kind.CHANNEL: b"message", Kind.PATTERN: b"pmessage", Kind.SHARD: b"smessage"}
_MESSAGES = frozenset(_MESSAGE.values())
_HEAD = itemgetter(0, 1)


def _head_of(subscription: Subscription) -> tuple[bytes, bytes]:
    """The first two words of its messages."""
    return _MESSAGE[subscription.kind], subscription.name


def _head_of_any(reply: Any) -> tuple[Any, Any]:
    """As _HEAD, also for errors and whatever else is no message."""
    return (reply[0], reply[1]) if type(reply) is list else (None, None)


class Routes:
    """The links to one server (in a cluster one more for each node that is needed) and the subscriptions they carry.

    `on_arrival` is called after each chunk with the bytes of payload it brought.
    """

    def __init__(self, endpoint: Endpoint, on_arrival: Callable[[int], None]) -> None:
        self.endpoint, self.on_arrival = endpoint, on_arrival
        self.links: dict[str, Link] = {}
        self._routes: dict[Subscription, Route] = {}
        self._table: dict[tuple[bytes, bytes], Route] = {}  # by the first two words of a message
        self._topology: Topology | None = None  # while events of keys are wanted

    def add(self, view: View) -> None:
        for subscription in view.subscriptions:
            route = self._routes.get(subscription)
            if route is None:
                link = self._link(self.endpoint)
                route = self._routes[subscription] = Route(subscription, link)
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
                for link in route.links:
                    route.leave(link)
                    self._drop_unused(link)
        if self._topology is not None and not any(map(is_of_events, self._routes)):
            self._topology.close()
            self._topology = None

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
        if self._topology is not None:
            self._topology.close()
            self._topology = None

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
                size += route.take(run, link)
            elif head[0] not in _MESSAGES:
                control += run
        self.on_arrival(size)
        for reply in control:
            link.control(reply)

    def on_subscribed(self, link: Link, subscription: Subscription) -> None:
        route = self._routes.get(subscription)
        if route is None:
            return
        route.refusals.pop(link, None)
        if is_of_events(subscription):
            self._follow_topology(route)
        self._tell_state(route)
        since = route.adrift.pop(link, None)
        if since is not None and since != link.lost_since:  # of its own loss a link tells itself
            moved = "slots" if is_of_events(subscription) else "the slot"
            route.gap(f"{moved} moved to another node", since=since, ended=True)

    def on_refused(self, link: Link, subscription: Subscription, error: hiredis.ReplyError) -> None:
        moved = str(error).split(" ")
        if moved[0] == "MOVED" and len(moved) == 3:
            host, _, port = moved[2].rpartition(":")
            self._hand_over(subscription, node_at(self.endpoint, host, int(port)))
            return
        link.wanted.discard(subscription)
        route = self._routes.get(subscription)
        if route is not None:
            route.refusals[link] = explain(reply_error(str(error))).sentence
            self._tell_state(route)

    def _hand_over(self, subscription: Subscription, endpoint: Endpoint, since: int | None = None) -> None:
        """A shard channel lives on the node its slot is on; its messages are missed `since` (ms) where it was lost."""
        route = self._routes.get(subscription)
        if route is None:
            return
        old, since = route.link, route.adrift.pop(route.link, since)
        old.wanted.discard(subscription)
        route.link = self._link(endpoint)
        if since is not None:
            route.adrift[route.link] = since
        route.link.subscribe(subscription)
        if old is not route.link:
            self._drop_unused(old)

    def on_moved_away(self, link: Link, subscription: Subscription) -> None:
        """Ask where its slot went: the answer is a MOVED, or a confirmation."""
        link.subscribe(subscription)

    def on_lost(self, link: Link, what: str, since: int) -> None:
        for view in self._views_of(link):
            view.gap(self._at(link, what), since=since)
        if self._topology is not None:
            self._topology.ask_now()
        if link.endpoint.address != self.endpoint.address:
            asyncio.get_running_loop().call_later(ASK_AGAIN, self._ask_again, link)

    def _ask_again(self, link: Link) -> None:
        """A lost node's shard channels may live elsewhere by now: the first node knows where."""
        if link.lost_since is None or self.links.get(link.endpoint.address) is not link:
            return
        for subscription in [one for one in link.wanted if one.kind is Kind.SHARD]:
            self._hand_over(subscription, self.endpoint, link.lost_since)

    def on_back(self, link: Link, what: str, since: int, until: int) -> None:
        for view in self._views_of(link):
            view.gap(self._at(link, what), since=since, until=until)

    def _at(self, link: Link, what: str) -> str:
        """In a cluster a gap is one of a node."""
        return what if len(self.links) == 1 else f"{link.endpoint.address}: {what}"

    def _views_of(self, link: Link) -> list[View]:
        return list(
            {
                view: None
                for route in self._routes.values()
                if link is route.link or link in route.others
                for view in route.views
            }
        )

    def _follow_topology(self, route: Route) -> None:
        if self._topology is not None:
            self._spread(route, None)
        elif self._link(self.endpoint).in_cluster:
            self._topology = Topology(self.endpoint, self.on_topology)

    def on_topology(self, known_before: int | None) -> None:
        """Events of keys are brought by the primaries that there are now."""
        for subscription, route in self._routes.items():
            if is_of_events(subscription) and (self._spread(route, known_before) or known_before is None):
                self._tell_state(route)

    def _spread(self, route: Route, known_before: int | None) -> bool:
        """Whether anything changed. The first node may be known to its cluster by another address, or be a replica, which repeats
        its primary.
        """
        first, primaries = self._link(self.endpoint), self._topology.primaries if self._topology else ()
        links = {first if one.id == first.node else self._link(one.endpoint) for one in primaries}
        if not links or links == route.links:
            return False
        for link in route.bring_by(links, first, known_before):
            self._drop_unused(link)
        return True

    def _tell_state(self, route: Route) -> None:
        for view in route.views:
            view.tell(self.state_frame(view))

    def state_frame(self, view: View) -> Frame:
        """Which subscriptions stand, which were refused and why, and since when the server cannot be heard."""
        state: list[list[Any]] = []
        for subscription in sorted(view.subscriptions):
            route = self._routes[subscription]
            state.append([*subscription.pair, self._stands(route), route.problem])
        lost = [link.lost_since for link in self.links.values() if link.lost_since is not None]
        return control_frame("subscriptions", state=state, lost_since=min(lost, default=None))

    def _stands(self, route: Route) -> bool:
        searching = self._topology is not None and self._topology.known_at is None
        return route.on and not (searching and is_of_events(route.subscription))
