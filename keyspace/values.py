"""Reading what one key holds, in bounded pages, with masks where a grant has them."""

from collections.abc import Iterator, Mapping

import redis
from django.core import signing

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.encoding import key_id
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.servers import Connection
from keyspace.types import type_of
from keyspace.types.base import Element, KeyType, Page, gone
from keyspace.types.facts import KeyFacts, read_facts

REVEAL_SECONDS = 600
CHUNK = 1024 * 1024


@performs(Permission.READ_KEYS)
def get_key(connection: Connection, name: bytes) -> KeyFacts:
    """Type, TTL, encoding, memory and what else the server tells of the key. Raises NotFound."""
    return read_facts(connection, name)


@performs(Permission.READ_KEYS)
def read_value(
    connection: Connection, name: bytes, *, kind: str, query: Mapping[str, str], reveal: str | None = None
) -> Page:
    """One page of the value, read as a `kind` of key; `reveal` is a token of `reveal_value`.

    Raises NotFound, BadInput for parameters that are not valid, and WRONGTYPE when the key is something else by now.
    """
    return type_of(kind).read_page(connection, name, query=query, masked=is_masked(connection, name, reveal))


@performs(Permission.READ_KEYS)
def read_element(
    connection: Connection, name: bytes, *, kind: str, address: str, reveal: str | None = None
) -> Element:
    """One element of the value whole, by the address a page gave it. Raises Denied while the key is masked."""
    _refuse_masked(connection, name, reveal)
    return type_of(kind).read_element(connection, name, address=address)


@performs(Permission.REVEAL_VALUES)
def reveal_value(connection: Connection, name: bytes) -> str:
    """A token that shows the masked values of this key to this person for ten minutes; audited."""
    return signing.dumps(_reveal_subject(connection, name), salt="reveal")


def is_masked(connection: Connection, name: bytes, reveal: str | None) -> bool:
    """Whether the person's grants hide the values of this key, and no valid token reveals them."""
    if not connection.access.masked(name):
        return False
    if not reveal or not connection.access.may(Permission.REVEAL_VALUES, name):
        return True
    try:
        return bool(
            signing.loads(reveal, salt="reveal", max_age=REVEAL_SECONDS) != _reveal_subject(connection, name)
        )
    except signing.BadSignature:
        return True


def _reveal_subject(connection: Connection, name: bytes) -> list[object]:
    return [getattr(connection.actor.user, "pk", None), connection.server.name, connection.db, key_id(name)]


def _refuse_masked(connection: Connection, name: bytes, reveal: str | None) -> None:
    if is_masked(connection, name, reveal):
        raise Denied("The values of this key are masked.", "Reveal them first, if your role lets you.")


@performs(Permission.READ_KEYS, audited=True)
def download_value(
    connection: Connection, name: bytes, *, reveal: str | None = None
) -> tuple[int, Iterator[bytes]]:
    """(length, chunks) of a string's bytes, 1 MiB at a time; audited. Raises NotFound, BadInput for another type.

    The chunks are checked against the length they began with: a string that changes meanwhile ends the stream with Conflict.
    """
    _refuse_masked(connection, name, reveal)
    kind = connection.redis.execute_command("TYPE", name)
    if kind == b"none":
        raise gone(name)
    if kind != b"string":
        raise BadInput(
            "Only the bytes of a string can be downloaded as they are.",
            "Open the key to read it page by page.",
        )
    length = int(connection.redis.execute_command("STRLEN", name))
    audit.tell(length=length)
    return length, _chunks(connection.redis, name, length)


def _chunks(client: redis.Redis, name: bytes, length: int) -> Iterator[bytes]:
    for start in range(0, length, CHUNK):
        end = min(start + CHUNK, length)
        pipe = client.pipeline(transaction=True)
        pipe.execute_command("GETRANGE", name, start, end - 1)
        pipe.execute_command("STRLEN", name)
        chunk, now = pipe.execute()
        if now != length or len(chunk) != end - start:
            raise Conflict("The value changed while it was read.", "Download it again.")
        yield chunk


def key_type(kind: str) -> KeyType:
    """The KeyType for what TYPE answered."""
    return type_of(kind)


__all__ = [
    "NotFound",
    "download_value",
    "get_key",
    "is_masked",
    "key_type",
    "read_element",
    "read_value",
    "reveal_value",
]
