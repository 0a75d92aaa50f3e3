"""One subscription on its way: which connections bring it, and to which views its messages go."""

import re
from dataclasses import dataclass, field
from operator import itemgetter

from keyspace.pubsub.filters import Message
from keyspace.pubsub.link import Link, now_ms
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.pubsub.views import View

_EVENT = re.compile(rb"__key(?:space|event)@")
_CHANNEL, _PAYLOAD = itemgetter(-2), itemgetter(-1)


def is_of_events(subscription: Subscription) -> bool:
    """Whether it is about events of keys, of which each node of a cluster tells its own; other messages reach all nodes."""
    if subscription.kind is Kind.PATTERN:
        return subscription.name.startswith(b"__key")
    return subscription.kind is Kind.CHANNEL and _EVENT.match(subscription.name) is not None


@dataclass(slots=True)
class Route:
    """Where the messages of one subscription come from and go, and how many there were.

    `link` brings them; the `others` bring nothing but the events of their own nodes' keys. `adrift`: since when (ms) a link is owed,
    because what it is to bring came from elsewhere before.
    """

    subscription: Subscription
    link: Link
    others: set[Link] = field(default_factory=set)
    views: list[View] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0
    refusals: dict[Link, str] = field(default_factory=dict)  # why a server refused it
    adrift: dict[Link, int] = field(default_factory=dict)

    def take(self, run: list[Message], link: Link) -> int:
        """Count these messages and hand them to every view; the bytes of payload they brought."""
        if link is not self.link:
            run = [one for one in run if _EVENT.match(_CHANNEL(one))] if link in self.others else []
        size = sum(map(len, map(_PAYLOAD, run)))
        self.messages += len(run)
        self.bytes += size
        for view in self.views:
            view.inbox += run
        return size

    @property
    def links(self) -> set[Link]:
        return {self.link, *self.others}

    @property
    def on(self) -> bool:
        """Whether every server has confirmed it."""
        return all(self.subscription in link.on for link in self.links)

    @property
    def problem(self) -> str:
        return next(iter(self.refusals.values()), "")

    def bring_by(self, links: set[Link], first: Link, known_before: int | None) -> set[Link]:
        """From now on events come by `links`, and what is none by `first` where it is among them. Returns those it left.

        Nobody knows what was missed of slots that moved since it was `known_before` (ms; None: nothing) where they are.
        """
        gone, new = self.links - links, links - self.links
        lost = sorted(link.lost_since for link in gone if link.lost_since is not None)
        for link in gone:
            self.leave(link)
        self.link = first if first in links else min(links, key=lambda link: link.endpoint.address)
        self.others = links - {self.link}
        for link in new:
            if lost:
                self.adrift[link] = lost.pop(0)
            elif known_before is not None:
                self.adrift[link] = known_before
                self.gap(f"{link.endpoint.address} has slots now", since=known_before)
            link.subscribe(self.subscription)
        for since in lost:
            self.gap("the slots of a lost node moved to others", since=since, ended=True)
        return gone

    def leave(self, link: Link) -> None:
        link.unsubscribe(self.subscription)
        self.refusals.pop(link, None)
        self.adrift.pop(link, None)

    def gap(self, what: str, *, since: int, ended: bool = False) -> None:
        for view in self.views:
            view.gap(what, since=since, until=now_ms() if ended else None)
