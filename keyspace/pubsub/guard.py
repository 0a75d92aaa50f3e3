"""What of the stream a person may see at all; the rest is as if it had never been there, not even counted."""

import re
from dataclasses import dataclass

from keyspace.access import ROLES, Access, Permission, Right
from keyspace.encoding import to_text
from keyspace.errors import Denied
from keyspace.pubsub.filters import Message
from keyspace.pubsub.subscriptions import Kind, Subscription

_NOTIFICATION = re.compile(rb"__key(space|event)@\d+__:(.*)", re.DOTALL)


@dataclass(frozen=True)
class Guard:
    """The rights that let a person watch. A keyspace notification names a key: it needs that key's pattern too."""

    rights: tuple[Right, ...]

    @property
    def open(self) -> bool:
        """Whether one right gives everything, so that nothing has to be looked at."""
        return any(not right.channels and not right.patterns for right in self.rights)

    def lets_through(self, message: Message) -> bool:
        channel = message[-2]
        found = _NOTIFICATION.fullmatch(channel)
        if found is None:
            return self.covers(channel)
        key = found[2] if found[1] == b"space" else message[-1]
        return any(right.covers_channel(channel) and right.covers(key) for right in self.rights)

    def lists(self, channel: bytes) -> bool:
        """Whether the channel may be named: one of keyspace notifications holds the name of a key."""
        found = _NOTIFICATION.fullmatch(channel)
        key = found[2] if found is not None and found[1] == b"space" else None
        return any(
            right.covers_channel(channel) and (key is None or right.covers(key)) for right in self.rights
        )

    def covers(self, channel: bytes) -> bool:
        return any(right.covers_channel(channel) for right in self.rights)

    def allows(self, subscription: Subscription) -> bool:
        """An exact channel outside the grant is refused; a pattern is not: the messages of other channels are left out."""
        return subscription.kind is Kind.PATTERN or self.covers(subscription.name)

    def check(self, subscription: Subscription) -> None:
        """Raises Denied where `allows` says no."""
        if not self.allows(subscription):
            raise Denied(f"Your grant does not cover the channel {to_text(subscription.name)[:200]}.",
                         "An admin can widen its channel patterns on the Access page.")  # fmt: skip


def guard_of(access: Access, permission: Permission = Permission.SUBSCRIBE) -> Guard:
    return Guard(tuple(right for right in access.rights if permission in ROLES[right.role]))
