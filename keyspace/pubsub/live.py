"""Watching: what a person's socket holds."""

import secrets
from collections.abc import AsyncIterator

from keyspace.access import Access, Permission, check_permission, performs
from keyspace.errors import NotFound
from keyspace.models import Server
from keyspace.pubsub.filters import Filter
from keyspace.pubsub.guard import guard_of
from keyspace.pubsub.hub import Hub, hub_of
from keyspace.pubsub.limits import limit
from keyspace.pubsub.subscriptions import Subscription, text_of
from keyspace.pubsub.uses import VIEW, Use, keeper
from keyspace.pubsub.viewers import Viewer, control_frame, encode_json
from keyspace.pubsub.views import View
from keyspace.servers import Connection, endpoint_of


class Live:
    """One person's live view of one server; made by `watch_channels`, ended by `close`."""

    def __init__(self, connection: Connection, hub: Hub, number: str) -> None:
        self.connection, self.access, self.hub = connection, connection.access, hub
        self.number = number  # of its LiveUse
        self.viewer = Viewer(max_queued=limit("QUEUE_BYTES"))
        self.subscriptions: frozenset[Subscription] = frozenset()
        self.filter = Filter()
        self._view: View | None = None

    def change(self, subscriptions: frozenset[Subscription], wanted: Filter) -> None:
        """From now on these; nothing of what both the old and the new set select is lost.

        Raises Denied for a channel outside the grant.
        """
        guard = guard_of(self.access)
        for subscription in subscriptions:
            guard.check(subscription)
        old, key = self._view, (subscriptions, wanted, guard)
        if old is not None and old.key == key:
            return
        self.subscriptions, self.filter = subscriptions, wanted
        self._view = self.hub.join(self.viewer, key) if subscriptions else None
        if old is not None:
            self.hub.leave(self.viewer, old)
        if not subscriptions:
            self.viewer.offer(control_frame("subscriptions", state=[], lost_since=None))

    def set_access(self, access: Access) -> None:
        """Grants changed: raises Denied when watching is over, and leaves out from now on what they do not cover any more."""
        self.access = access
        check_permission(self, Permission.SUBSCRIBE)
        guard = guard_of(access)
        kept = frozenset(one for one in self.subscriptions if guard.allows(one))
        lost = self.subscriptions - kept
        self.change(kept, self.filter)
        if lost:
            self.viewer.offer(control_frame("ungranted", names=[one.pair for one in sorted(lost)]))

    @property
    def server(self) -> Server:
        return self.connection.server

    def whole(self, number: int) -> bytes:
        """A payload that was too big to send unasked, as a frame.

        Raises NotFound when it is buffered no more, or was never this person's to see.
        """
        message = self.hub.kept.get(number)
        if message is None or not guard_of(self.access).lets_through(message):
            raise NotFound(
                "This payload is not buffered any more.", "Record the channel to keep whole payloads."
            )
        return encode_json({"t": "whole", "id": number, "p": text_of(message[-1])})

    def frames(self) -> AsyncIterator[bytes]:
        return self.viewer.frames()

    async def close(self) -> None:
        if self._view is not None:
            self.hub.leave(self.viewer, self._view)
            self._view = None
        self.viewer.close()
        await keeper().end(self.number)


@performs(Permission.SUBSCRIBE)
async def watch_channels(connection: Connection) -> Live:
    """A live view that holds nothing yet. Sends nothing to the server until something is subscribed.

    Raises TooMany when the person has as many open already, in all processes of the console.
    """
    hub, use = (
        hub_of(endpoint_of(connection.server)),
        Use(secrets.token_hex(8), VIEW, connection.actor.user.pk),
    )
    await keeper().begin(use, most=limit("SOCKETS_PER_PERSON"))
    return Live(connection, hub, use.number)
