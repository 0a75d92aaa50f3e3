"""The readable form of a key: its value by type, in pieces of bounded size, as JSON; any engine can take it back.

Bytes that are UTF-8 stand as text, others as ``{"b64": "..."}``. A piece is a dict with "value" (and for a stream "groups"); a big key
has several. A line:
``{"db": 0, "name": ..., "type": "hash", "expires": 1795549138781, "part": 0, "last": true, "value": [...]}``.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import redis

from keyspace.errors import Problem
from keyspace.servers import Client

PIECE = 1000
STRING_PIECE = 4 * 1024 * 1024
PIECE_BYTES = 4 * 1024 * 1024
Piece = dict[str, Any]
Command = tuple[Any, ...]
READABLE = ("string", "list", "set", "zset", "hash", "stream", "ReJSON-RL")


class NotTyped(Problem):
    """A type that has no readable form here."""

    status = 422


def pack(data: Any) -> Any:
    """Bytes as JSON holds them."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}


def unpack(value: Any) -> bytes:
    """The bytes of `pack`. Raises ValueError for anything else."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        return base64.b64decode(value["b64"], validate=True)
    raise ValueError("neither text nor {b64}")


def plain_score(score: Any) -> str:
    """A score in its shortest exact form. Servers before Redis 7.2 and Valkey write 0.1 as 0.10000000000000001, and some a zero as -0."""
    return repr(float(score) + 0.0).removesuffix(".0")


@dataclass(frozen=True)
class TypedPiece:
    """Piece `part` of a key; `last` when the key is whole with it. `expires` as Dump has it."""

    db: int
    name: bytes
    type: str
    expires: int | None
    part: int
    last: bool
    piece: Piece


def read_typed(client: Client, db: int, name: bytes, kind: str, expires: int | None) -> Iterator[TypedPiece]:
    """The key in pieces. Raises NotTyped for a type without a readable form; nothing for a key that vanished."""
    reader = _READERS.get(kind)
    if reader is None:
        raise NotTyped(
            f"Keys of the type {kind} have no readable form.", "An archive or a pull keeps them as they are."
        )
    held: Piece | None = None
    part = 0
    for piece in reader(client, name):
        if held is not None:
            yield TypedPiece(db, name, kind, expires, part, False, held)
            part += 1
        held = piece
    if held is not None:
        yield TypedPiece(db, name, kind, expires, part, True, held)


def _read_string(client: Client, name: bytes) -> Iterator[Piece]:
    if not client.exists(name):
        return
    start = 0
    while (value := client.getrange(name, start, start + STRING_PIECE - 1)) or start == 0:
        yield {"value": pack(value)} | ({"append": True} if start else {})
        start += STRING_PIECE


def _read_list(client: Client, name: bytes) -> Iterator[Piece]:
    for page in _scanned((element,) for element in _elements(client, name)):
        yield {"value": [pack(element) for (element,) in page]}


def _elements(client: Client, name: bytes) -> Iterator[bytes]:
    """As many at once as fit PIECE_BYTES, going by those before."""
    start, count = 0, 20
    while elements := cast(list[bytes], client.lrange(name, start, start + count - 1)):
        yield from elements
        start += len(elements)
        count = min(PIECE, max(1, PIECE_BYTES * len(elements) // (sum(map(len, elements)) + 1)))


def _scanned(pages: Iterator[tuple[bytes, ...]]) -> Iterator[list[Any]]:
    """In pieces of at most PIECE elements and about PIECE_BYTES."""
    page: list[Any] = []
    size = 0
    for found in pages:
        page.append(found)
        size += sum(map(len, found))
        if len(page) == PIECE or size > PIECE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _read_set(client: Client, name: bytes) -> Iterator[Piece]:
    for page in _scanned((member,) for member in client.sscan_iter(name, count=PIECE)):
        yield {"value": [pack(member) for (member,) in page]}


def _read_zset(client: Client, name: bytes) -> Iterator[Piece]:
    for page in _scanned(client.zscan_iter(name, count=PIECE, score_cast_func=bytes)):
        yield {"value": [[pack(member), plain_score(score)] for member, score in page]}


def _read_hash(client: Client, name: bytes) -> Iterator[Piece]:
    for page in _scanned(client.hscan_iter(name, count=PIECE)):
        ends = _field_expiries(client, name, [field for field, _ in page])
        yield {
            "value": [
                [pack(f), pack(v), *([end] if end else [])] for (f, v), end in zip(page, ends, strict=True)
            ]
        }


def _field_expiries(client: Client, name: bytes, fields: list[bytes]) -> list[int | None]:
    try:
        ends = client.execute_command("HPEXPIRETIME", name, "FIELDS", len(fields), *fields)
    except redis.ResponseError:
        return [None] * len(fields)
    return [end if end > 0 else None for end in ends]


def _read_json(client: Client, name: bytes) -> Iterator[Piece]:
    value = client.execute_command("JSON.GET", name)
    if value is not None:
        yield {"value": pack(value if isinstance(value, bytes) else json.dumps(value).encode())}


def _read_stream(client: Client, name: bytes) -> Iterator[Piece]:
    """Entries in pieces; the last piece is the stream's own numbers and its groups."""
    at = b"-"
    while entries := client.execute_command("XRANGE", name, at, "+", "COUNT", PIECE):
        yield {
            "value": [[pack(entry_id), [pack(word) for word in words]] for entry_id, words in _plain(entries)]
        }
        at = b"(" + entries[-1][0]
    try:
        numbers, groups = _stream_numbers(client, name), client.xinfo_groups(name)
    except redis.ResponseError as error:
        if str(error).startswith("no such key"):
            return  # it went meanwhile
        raise
    yield {"value": [], **numbers, "groups": list(_groups(client, name, groups))}


def _plain(entries: list[Any]) -> Iterator[tuple[bytes, list[bytes]]]:
    """redis-py may turn an entry's words into a dict."""
    for entry_id, words in entries:
        yield (
            entry_id,
            [word for pair in words.items() for word in pair] if isinstance(words, dict) else words,
        )


def _stream_numbers(client: Client, name: bytes) -> Piece:
    info = client.xinfo_stream(name)
    deleted = info.get("max-deleted-entry-id")
    return {
        "last_id": pack(info["last-generated-id"]), "added": info.get("entries-added"),
        "deleted": None if deleted is None else pack(deleted),
    }  # fmt: skip


def _groups(client: Client, name: bytes, groups: list[dict[str, Any]]) -> Iterator[Piece]:
    for group in groups:
        try:
            yield _group(client, name, group)
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "no such key")):
                raise


def _group(client: Client, name: bytes, group: dict[str, Any]) -> Piece:
    title = group["name"]
    consumers = [consumer["name"] for consumer in client.xinfo_consumers(name, title)]
    pending: list[Any] = []
    at = "-"
    while page := client.xpending_range(name, title, min=at, max="+", count=PIECE):
        pending += [
            [pack(p["message_id"]), pack(p["consumer"]), p["time_since_delivered"], p["times_delivered"]]
            for p in page
        ]
        at = "(" + cast(bytes, page[-1]["message_id"]).decode()
    return {
        "name": pack(title), "last_id": pack(group["last-delivered-id"]), "read": group.get("entries-read"),
        "consumers": [pack(consumer) for consumer in consumers], "pending": pending,
    }  # fmt: skip


_READERS = {
    "string": _read_string, "list": _read_list, "set": _read_set, "zset": _read_zset, "hash": _read_hash,
    "stream": _read_stream, "ReJSON-RL": _read_json,
}  # fmt: skip


def to_line(piece: TypedPiece) -> bytes:
    """One line of the readable form."""
    head = {
        "db": piece.db,
        "name": pack(piece.name),
        "type": piece.type,
        "expires": piece.expires,
        "part": piece.part,
        "last": piece.last,
    }
    return (
        json.dumps(head | piece.piece, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
        + b"\n"
    )


def from_line(line: bytes) -> TypedPiece:
    """A line back. Raises ValueError saying what is wrong."""
    try:
        data = json.loads(line)
        expires = data.pop("expires")
        return TypedPiece(
            int(data.pop("db")), unpack(data.pop("name")), str(data.pop("type")), None if expires is None else int(expires),
            int(data.pop("part", 0)), bool(data.pop("last", True)), data,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not a line of the readable form ({type(error).__name__})") from None
