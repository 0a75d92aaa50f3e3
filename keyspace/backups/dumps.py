"""Reading every key of a db as DUMP and absolute expiry: SCAN, then both commands for a page packed in one write."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import hiredis
import redis

from keyspace.errors import Problem
from keyspace.servers import Client
from keyspace.wire import Wire, open_wire

SCAN_COUNT = 500


class Dump(NamedTuple):
    """One key: its expiry is Unix time in milliseconds, or None; `payload` what DUMP says (value, RDB version, CRC64)."""

    name: bytes
    expires: int | None
    payload: bytes


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
    """Pages of the selected keys of the client's db; keys that vanish meanwhile are left out."""
    with open_wire(client) as wire:
        absolute = _knows(wire, "PEXPIRETIME")
        for names in _pages(wire, selection, count):
            page = _receive(wire, names, absolute)
            if page:
                yield page


def _knows(wire: Wire, command: str) -> bool:
    reply = wire.call_many([("COMMAND", "INFO", command)])[0]
    return not isinstance(reply, Exception) and any(reply or [])


def _pages(wire: Wire, selection: Selection, count: int) -> Iterator[list[bytes]]:
    if selection.names is not None:
        for at in range(0, len(selection.names), count):
            yield list(selection.names[at : at + count])
        return
    words: list[bytes | str | int] = ["COUNT", count]
    words += ["MATCH", selection.match] if selection.match not in (b"", b"*") else []
    words += ["TYPE", selection.type] if selection.type else []
    cursor: bytes = b"0"
    while True:
        cursor, names = wire.call("SCAN", cursor, *words)
        if names:
            yield names
        if cursor == b"0":
            return


def _receive(wire: Wire, names: list[bytes], absolute: bool) -> list[Dump]:
    """The dumps of `names`."""
    if not names:
        return []
    expiry = b"PEXPIRETIME" if absolute else b"PTTL"
    pack: Any = hiredis.pack_command
    now = 0 if absolute else int(time.time() * 1000)
    replies = wire.exchange(
        b"".join([pack((b"DUMP", name)) + pack((expiry, name)) for name in names]), 2 * len(names)
    )
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


class Refused(Problem):
    """The server will not let its keys be read."""

    status = 502


def probe_dump(client: Client) -> str | None:
    """Why SCAN, DUMP and PTTL do not work for us, in the server's words; None when they do."""
    for command in (("SCAN", "0", "COUNT", "1"), ("DUMP", ""), ("PTTL", "")):
        try:
            client.execute_command(*command)
        except redis.ResponseError as error:
            return str(error)
    return None


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
