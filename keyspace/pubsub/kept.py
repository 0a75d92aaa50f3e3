"""Whole payloads that were too big to send unasked, kept for a while in bounded memory."""

import itertools
from collections import OrderedDict

from keyspace.pubsub.filters import Message

MAX_KEPT = 32 * 1024 * 1024  # bytes


class Kept:
    """The newest big messages of one server, up to `limit` bytes; at least the newest one."""

    def __init__(self, *, limit: int = MAX_KEPT) -> None:
        self.limit = limit
        self._numbers = itertools.count(1)
        self._messages: OrderedDict[int, Message] = OrderedDict()
        self._number_of: dict[int, int] = {}
        self._size = 0

    def keep(self, message: Message) -> int:
        """The number of `message`; the same message seen by several views is kept once."""
        known = self._number_of.get(id(message))
        if known is not None:
            return known
        number = next(self._numbers)
        self._messages[number] = message
        self._number_of[id(message)] = number
        self._size += len(message[-1])
        while self._size > self.limit and len(self._messages) > 1:
            _, oldest = self._messages.popitem(last=False)
            del self._number_of[id(oldest)]
            self._size -= len(oldest[-1])
        return number

    def get(self, number: int) -> Message | None:
        return self._messages.get(number)
