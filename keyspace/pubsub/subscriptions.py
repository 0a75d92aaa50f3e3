"""What can be subscribed to."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

from keyspace.errors import BadInput

MAX_NAME = 64 * 1024


class Kind(StrEnum):
    CHANNEL = "channel"
    PATTERN = "pattern"
    SHARD = "shard"


class Subscription(NamedTuple):
    """One SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE."""

    kind: Kind
    name: bytes

    @property
    def verb(self) -> bytes:
        return _PREFIX[self.kind] + b"SUBSCRIBE"

    @property
    def unverb(self) -> bytes:
        return _PREFIX[self.kind] + b"UNSUBSCRIBE"

    @property
    def pair(self) -> list[str]:
        """How a frame names it: [kind, name], see `text_of`."""
        return [self.kind.value, text_of(self.name)]


_PREFIX = {Kind.CHANNEL: b"", Kind.PATTERN: b"P", Kind.SHARD: b"S"}


def text_of(data: bytes) -> str:
    """Bytes for JSON without loss: UTF-8 as it is, any other byte as the lone surrogate U+DC80..U+DCFF; `bytes_of` is the way back."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes behind `text_of`. Raises BadInput for surrogates that stand for no byte."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadInput("This text holds half of a character.", "Type it again.") from None


def read_subscriptions(pairs: Any, *, limit: int) -> frozenset[Subscription]:
    """The set behind [[kind, name], ...] as a browser sends it. Raises BadInput, also for more than `limit`."""
    if not isinstance(pairs, list):
        raise BadInput("The subscriptions are not a list.")
    if len(pairs) > limit:
        raise BadInput(
            f"A view may hold {limit} subscriptions and this would be {len(pairs)}.",
            "Take a pattern instead of many channels.",
        )
    return frozenset(_read_pair(pair) for pair in pairs)


def _read_pair(pair: Any) -> Subscription:
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
        raise BadInput("A subscription is a kind and a name.")
    if pair[0] not in set(Kind):
        raise BadInput(f"There is no subscription of the kind {pair[0][:40]!r}.")
    name = bytes_of(pair[1])
    if len(name) > MAX_NAME:
        raise BadInput("A channel's name may be 64 KiB long.")
    return Subscription(Kind(pair[0]), name)


def pairs_of(subscriptions: Iterable[Subscription]) -> list[list[str]]:
    return sorted(subscription.pair for subscription in subscriptions)
