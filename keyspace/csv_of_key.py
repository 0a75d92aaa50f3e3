"""One collection as CSV (RFC 4180, UTF-8): a row an element, with a line of headings.

Bytes that are no text stand as the console writes them elsewhere (``\\xff``). A cell that a spreadsheet would run as a formula gets a
``'`` in front, numbers aside.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from keyspace.encoding import to_text
from keyspace.servers import Client, Connection

COUNT = 1000
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|inf)\Z")
Rows = Iterator[list[Any]]


def csv_rows(connection: Connection, name: bytes, kind: str) -> Iterator[bytes]:
    """Pieces of the file, some hundred rows each."""
    headings, rows = FILE_TYPES[kind]
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(headings)
    for row in rows(connection.redis, name):
        writer.writerow([cell(part) for part in row])
        if held.tell() > 64 * 1024:
            yield held.getvalue().encode()
            held.seek(0)
            held.truncate()
    yield held.getvalue().encode()


def cell(part: Any) -> str:
    """A cell as it may stand in a file that a spreadsheet opens."""
    text = to_text(part) if isinstance(part, bytes) else str(part)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def _hash(client: Client, name: bytes) -> Rows:
    yield from (list(pair) for pair in client.hscan_iter(name, count=COUNT))


def _list(client: Client, name: bytes) -> Rows:
    at = 0
    while elements := client.lrange(name, at, at + COUNT - 1):
        yield from ([at + number, element] for number, element in enumerate(elements))
        at += len(elements)


def _set(client: Client, name: bytes) -> Rows:
    yield from ([member] for member in client.sscan_iter(name, count=COUNT))


def _zset(client: Client, name: bytes) -> Rows:
    at = 0
    while members := client.execute_command(
        "ZRANGE", name, at, at + COUNT - 1, "WITHSCORES", score_cast_func=bytes
    ):
        pairs = (
            members
            if isinstance(members[0], list | tuple)
            else list(zip(members[::2], members[1::2], strict=True))
        )
        yield from ([member, score] for member, score in pairs)
        at += len(pairs)


def _stream(client: Client, name: bytes) -> Rows:
    """A row a field; an entry has as many rows as it has fields."""
    at = b"-"
    while entries := client.execute_command("XRANGE", name, at, "+", "COUNT", COUNT):
        for entry_id, words in entries:
            pairs = words.items() if isinstance(words, dict) else zip(words[::2], words[1::2], strict=True)
            yield from ([entry_id, field, value] for field, value in pairs)
        at = b"(" + entries[-1][0]


FILE_TYPES: dict[str, tuple[tuple[str, ...], Any]] = {
    "hash": (("field", "value"), _hash), "list": (("index", "element"), _list), "set": (("member",), _set),
    "zset": (("member", "score"), _zset), "stream": (("id", "field", "value"), _stream),
}  # fmt: skip
"""Types that are tables: the headings of their CSV, and what reads the rows."""
