"""The readable form of many small keys in one round trip: strings, and what the server packs into one small block of memory.

What is packed so has a few hundred short elements at most, and no field with a life of its own.
"""

from collections.abc import Callable
from typing import Any

from keyspace.backups.dumps import Head
from keyspace.backups.typed import Piece, pack, plain_score
from keyspace.servers import Client
from keyspace.wire import Command, open_wire

_STRING_BYTES = 64 * 1024
_MOST = 1024
_PACKED = ("listpack", "ziplist", "intset")


def read_small(client: Client, page: list[Head]) -> dict[bytes, Piece]:
    """name -> piece of those keys that are small and whole in it; the others are left to `typed.read_typed`."""
    small = {head.name: head.type for head in page if head.type == "string" or head.encoding in _PACKED}
    return read_whole(client, small)


def read_whole(client: Client, kinds: dict[bytes, str]) -> dict[bytes, Piece]:
    """name -> piece of those keys that are whole in one bounded answer, and still of that type."""
    asked = [(name, *_WAYS[kind]) for name, kind in kinds.items() if kind in _WAYS]
    if not asked:
        return {}
    with open_wire(client) as wire:
        replies = wire.call_many([command(name) for name, command, _ in asked])
    pieces = {
        name: value(reply)
        for (name, _, value), reply in zip(asked, replies, strict=True)
        if not isinstance(reply, Exception)  # it is of another type by now
    }
    return {name: {"value": value} for name, value in pieces.items() if value is not None}


def _string(reply: Any) -> Any:
    return pack(reply) if 0 < len(reply) < _STRING_BYTES else None


def _list(reply: Any) -> Any:
    return [pack(element) for element in reply] if 0 < len(reply) < _MOST else None


def _set(reply: Any) -> Any:
    cursor, members = reply
    return [pack(member) for member in members] if cursor == b"0" and members else None


def _pairs(reply: Any) -> Any:
    cursor, words = reply
    if cursor != b"0" or not words:
        return None
    return [[pack(word), pack(value)] for word, value in zip(words[::2], words[1::2], strict=True)]


def _scores(reply: Any) -> Any:
    pairs = _pairs(reply)
    return pairs and [[member, plain_score(score)] for member, score in pairs]


_WAYS: dict[str, tuple[Callable[[bytes], Command], Callable[[Any], Any]]] = {
    "string": (lambda name: ("GETRANGE", name, 0, _STRING_BYTES - 1), _string),
    "list": (lambda name: ("LRANGE", name, 0, _MOST - 1), _list),
    "set": (lambda name: ("SSCAN", name, 0, "COUNT", _MOST), _set),
    "hash": (lambda name: ("HSCAN", name, 0, "COUNT", _MOST), _pairs),
    "zset": (lambda name: ("ZSCAN", name, 0, "COUNT", _MOST), _scores),
}
