"""A batch of messages as one JSON frame of columns.

``{"t": "batch", "received": n, "matched": n, "buffer": n, "slow_filter": n, "at": [[ms, count], ...], "channels": [...], "c": [...],
"subs": [[kind, name], ...], "s": [...], "p": [payload, ...], "big": [[row, size, id], ...]}``. `c` and `s` are a number when they are the
same for all rows. Text is as `subscriptions.text_of` says; a payload over CUT bytes is its beginning, `big` tells its size and the
number to ask for the whole by. Times are milliseconds since 1970.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from keyspace.pubsub.filters import Message
from keyspace.pubsub.subscriptions import text_of
from keyspace.pubsub.viewers import Counts, Frame, encode_json

_CHANNEL, _SUBSCRIPTION, _PAYLOAD = itemgetter(-2), itemgetter(0, 1), itemgetter(-1)
CUT = 4096  # bytes of a payload that are sent unasked
_KINDS = {b"message": "channel", b"pmessage": "pattern", b"smessage": "shard"}
Runs = list[tuple[int, list[Message]]]  # messages by the millisecond they arrived in
Keep = Callable[[Message], int]  # keeps a whole payload for a while; its number


def batch_frame(runs: Runs, counts: Counts, keep: Keep) -> Frame:
    """The frame of these messages; `counts` is what it adds."""
    messages = [message for _, part in runs for message in part]
    channels, c = _column(list(map(_CHANNEL, messages)))
    subs, s = _column(list(map(_SUBSCRIPTION, messages)))
    payloads, big = _payloads(messages, keep)
    content = {
        "t": "batch", "received": counts.received, "matched": counts.matched, "buffer": counts.buffer,
        "slow_filter": counts.slow_filter, "at": [[at, len(part)] for at, part in runs if part],
        "channels": [text_of(channel) for channel in channels], "c": c,
        "subs": [[_KINDS[kind], text_of(name)] for kind, name in subs], "s": s, "p": payloads, "big": big,
    }  # fmt: skip
    return Frame(encode_json(content), counts)


def _column(values: list[Any]) -> tuple[list[Any], Any]:
    """The distinct values, and for each row its place among them (one number when there is but one)."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= 1:
        return distinct, 0
    places = {value: place for place, value in enumerate(distinct)}
    return distinct, [places[value] for value in values]


def _payloads(messages: list[Message], keep: Keep) -> tuple[list[str], list[list[int]]]:
    payloads = list(map(_PAYLOAD, messages))
    if max(map(len, payloads), default=0) <= CUT:
        return [payload.decode("utf-8", "surrogateescape") for payload in payloads], []
    texts, big = [], []
    for row, message in enumerate(messages):
        payload = message[-1]
        if len(payload) > CUT:
            big.append([row, len(payload), keep(message)])
            payload = beginning(payload)
        texts.append(text_of(payload))
    return texts, big


def beginning(payload: bytes) -> bytes:
    """The first CUT bytes, or a few less rather than part of a character."""
    for end in range(CUT, CUT - 4, -1):
        if payload[end] & 0xC0 != 0x80:
            return payload[:end]
    return payload[:CUT]
