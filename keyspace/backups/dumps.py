"""Reading every key of a db as DUMP and absolute expiry: SCAN, then both commands for a page packed in one write."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import redis

from keyspace.servers import Client
from keyspace.wire import Command, Wire, open_wire, pack

SCAN_COUNT = 500
_AT_MOST_BYTES = 16 * 1024 * 1024


class Dump(NamedTuple):
    """One key: its expiry is Unix time in milliseconds, or None; `payload` what DUMP says (value, RDB version, CRC64)."""

    name: bytes
    expires: int | None
    payload: bytes


class Head(NamedTuple):
    """One key without its value; `expires` as Dump has it, `type` as TYPE says it, `encoding` as OBJECT ENCODING does ("": refused)."""

    name: bytes
    type: str
    expires: int | None
    encoding: str = ""


@dataclass(frozen=True)
class Selection:
    """Which keys: a glob, a type as TYPE says it (empty: all), or exactly these names."""

    match: bytes = b"*"
    type: str = ""
    names: tuple[bytes, ...] | None = None


ALL = Selection()


def read_dumps(
    client: Client, selection: Selection = ALL, *, count: int = SCAN_COUNT
) -> Iterator[list[Dump]]:
    """Pages of the selected keys of the client's db; keys that vanish meanwhile are left out.

    A key may come twice, when the server's table of keys changes its size meanwhile: that is how SCAN is.
    """
    with open_wire(client) as wire:
        expiry = b"PEXPIRETIME" if _knows(wire, "PEXPIRETIME") else b"PTTL"
        if selection.names is None:
            yield from _search_ahead(wire, selection, count, expiry)
            return
        at_once, names = count, list(selection.names)
        while names:
            wire.send(questions(names[:at_once], expiry))
            page = receive_answers(wire, names[:at_once], expiry)
            names = names[at_once:]
            at_once = _next_batch(page, count)
            if page:
                yield page


def _search_ahead(wire: Wire, selection: Selection, count: int, expiry: bytes) -> Iterator[list[Dump]]:
    """The next keys are asked for before a page is handed out: the server prepares them while we work on it."""
    words, cursor, names = _search_words(selection, count), b"0", list[bytes]()
    at_once, page, begun = count, list[Dump](), False
    while names or cursor != b"0" or not begun:
        part, names = names[:at_once], names[at_once:]
        searches = not names and (cursor != b"0" or not begun)
        wire.send(questions(part, expiry) + (pack(("SCAN", cursor, *words)) if searches else b""))
        begun = True
        if page:
            yield page
        page = receive_answers(wire, part, expiry)
        at_once = _next_batch(page, count)
        if searches:
            found = wire.receive(1)
            raise_refusal(found)
            cursor, names = found[0][0], list(dict.fromkeys(found[0][1]))
    if page:
        yield page


def _next_batch(page: list[Dump], count: int) -> int:
    """How many keys to ask for next, so that values like these do not fill the memory."""
    size = sum(len(dump.payload) for dump in page)
    return count if size < _AT_MOST_BYTES else max(1, _AT_MOST_BYTES * len(page) // size)


def read_heads(
    client: Client, selection: Selection = ALL, *, count: int = SCAN_COUNT
) -> Iterator[list[Head]]:
    """Pages of the selected keys with type and expiry, for who may not DUMP or needs no payload."""
    with open_wire(client) as wire:
        expiry = "PEXPIRETIME" if _knows(wire, "PEXPIRETIME") else "PTTL"
        for names in _pages(wire, selection, count):
            now = 0 if expiry == "PEXPIRETIME" else _clock(wire)
            page = _read_page_of_heads(wire, names, expiry, now)
            if page:
                yield page


def _read_page_of_heads(wire: Wire, names: list[bytes], expiry: str, now: int) -> list[Head]:
    commands = [
        command
        for name in names
        for command in (("TYPE", name), (expiry, name), ("OBJECT", "ENCODING", name))
    ]
    replies = wire.call_many(commands)
    page = []
    for name, kind, left, encoding in zip(names, replies[::3], replies[1::3], replies[2::3], strict=True):
        raise_refusal([kind, left])
        if kind != b"none" and left != -2:
            told = encoding.decode() if isinstance(encoding, bytes) else ""
            page.append(Head(name, kind.decode(), None if left == -1 else left + now, told))
    return page


def raise_refusal(replies: list[Any]) -> None:
    """Raises the first refusal among replies."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def _clock(wire: Wire) -> int:
    """The server's time in Unix milliseconds; ours where it does not tell."""
    return _as_clock(wire.call_many([("TIME",)])[0])


def _as_clock(reply: Any) -> int:
    if isinstance(reply, Exception):
        return int(time.time() * 1000)
    return int(reply[0]) * 1000 + int(reply[1]) // 1000


def _knows(wire: Wire, command: str) -> bool:
    reply = wire.call_many([("COMMAND", "INFO", command)])[0]
    return not isinstance(reply, Exception) and any(reply or [])


def _pages(wire: Wire, selection: Selection, count: int) -> Iterator[list[bytes]]:
    if selection.names is not None:
        for at in range(0, len(selection.names), count):
            yield list(selection.names[at : at + count])
        return
    words = _search_words(selection, count)
    cursor: bytes = b"0"
    while True:
        cursor, names = wire.call("SCAN", cursor, *words)
        if names:
            yield list(dict.fromkeys(names))
        if cursor == b"0":
            return


def _search_words(selection: Selection, count: int) -> Command:
    """What follows the cursor of SCAN."""
    words: list[bytes | str | int] = ["COUNT", count]
    words += ["MATCH", selection.match] if selection.match not in (b"", b"*") else []
    words += ["TYPE", selection.type] if selection.type else []
    return tuple(words)


def questions(names: list[bytes], expiry: bytes) -> bytes:
    """What asks for the dumps of `names`, packed; `receive_answers` reads the answers.

    Written by hand: packing is a third of what a million keys cost us.
    """
    both = b"*2\r\n$4\r\nDUMP\r\n$%%d\r\n%%b\r\n*2\r\n$%d\r\n%b\r\n$%%d\r\n%%b\r\n" % (len(expiry), expiry)
    asked = [both % (len(name), name, len(name), name) for name in names]
    return b"".join([*asked, *([pack(("TIME",))] if names and expiry == b"PTTL" else [])])


def receive_answers(wire: Wire, names: list[bytes], expiry: bytes) -> list[Dump]:
    """The dumps of `names`, without those that vanished meanwhile."""
    if not names:
        return []
    replies = wire.receive(2 * len(names))
    now = _as_clock(wire.receive(1)[0]) if expiry == b"PTTL" else 0
    out = []
    for name, payload, left in zip(names, replies[::2], replies[1::2], strict=True):
        if type(payload) is not bytes:
            if isinstance(payload, Exception):
                raise payload
            continue  # it vanished meanwhile
        out.append(
            Dump(name, None if left == -1 else left + now, payload) if left != -2 else Dump(name, 0, payload)
        )
    return out


# The first byte of a DUMP payload is the RDB type of the value.
_TYPES: dict[int, str] = (
    dict.fromkeys((0,), "string") | dict.fromkeys((1, 10, 14, 18), "list") | dict.fromkeys((2, 11, 20), "set")
    | dict.fromkeys((3, 5, 12, 17), "zset") | dict.fromkeys((4, 9, 13, 16, 22, 23, 24, 25), "hash")
    | dict.fromkeys((15, 19, 21, 26), "stream") | dict.fromkeys((6, 7), "module")
)  # fmt: skip


def type_of_payload(payload: bytes) -> str:
    """What TYPE would say, as far as the payload's first byte tells; "unknown" for a newer one."""
    return _TYPES.get(payload[0], "unknown") if payload else "unknown"


def type_of(client: Client, name: bytes) -> str:
    """What TYPE says."""
    return cast(bytes, client.type(name)).decode()


def payload_version(payload: bytes) -> int:
    """The RDB version in the footer."""
    return int.from_bytes(payload[-10:-8], "little")


def same_value(one: bytes, other: bytes) -> bool:
    """Whether two payloads hold the same bytes, whatever version wrote them."""
    return one[:-10] == other[:-10]


def server_time(client: Client) -> int:
    """The server's clock in milliseconds; ours where it does not tell."""
    try:
        seconds, micros = client.time()
    except redis.ResponseError:
        return int(time.time() * 1000)
    return int(seconds) * 1000 + int(micros) // 1000


def facts_of(client: Client) -> dict[str, Any]:
    """Product, version and used memory as INFO says; empty where it is refused."""
    try:
        info = client.info()
    except redis.ResponseError:
        return {}
    product = "Valkey" if "valkey_version" in info else "Redis"
    return {
        "product": product,
        "version": str(info.get("valkey_version") or info.get("redis_version", "")),
        "info": info,
    }
