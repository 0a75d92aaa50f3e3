"""What a key holds at this moment, whole: its DUMP and when it ends; taken before a change, so that there is a way back."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import redis
from django.conf import settings

from keyspace.errors import Problem
from keyspace.servers import Connection
from keyspace.types import TYPES, type_of
from keyspace.types.base import gone
from keyspace.types.elements import Element
from keyspace.wire import Command

EDITED_UP_TO = 4 * 1024 * 1024
"""Bytes of memory of a collection whose image is taken before one of its elements changes: its DUMP takes milliseconds."""
UNMEASURED = 100_000
"""Elements that are still dumped where the server does not tell what memory they take."""
_FOOTER = 10
"""Bytes at the end of a DUMP: the RDB version and a checksum of all before."""
_PREVIEWED, _PREVIEW_CHARS = 10, 200


@dataclass(frozen=True)
class Image:
    """`payload` as DUMP answers; `expires_at` in Unix ms, None without; `preview`: rows of [text, whether masks hide it].

    Of a part of the key (see `parts`) `ask` is what tells it, and `was` the digest of what that answered.
    """

    type: str
    payload: bytes
    expires_at: int | None
    length: int | None
    preview: list[list[Any]] = field(default_factory=list)
    ask: Command | None = None
    was: str = ""

    def question(self, name: bytes) -> Command:
        """What tells whether the key, or the part, is as it was."""
        return self.ask or ("DUMP", name)

    def digest(self, answer: Any) -> str:
        return digest_of_answer(answer) if self.ask else digest_of(answer)

    @property
    def before(self) -> str:
        """The digest of what it is an image of."""
        return self.was or digest_of(self.payload)

    def is_still(self, answer: Any) -> bool:
        return self.digest(answer) == self.before


@dataclass(frozen=True)
class Weight:
    """How large a key is: `memory` in bytes (of a string: its length), None where the server does not tell."""

    type: str
    length: int | None
    memory: int | None

    @property
    def fits_trash(self) -> bool:
        return self._fits(settings.TRASH_KEY_BYTES)

    @property
    def fits_edit(self) -> bool:
        """Whether an image of it may be taken for an edit of one of its parts."""
        return self._fits(settings.TRASH_KEY_BYTES if self.type == "string" else EDITED_UP_TO)

    def _fits(self, most: int) -> bool:
        if self.memory is None:
            return self.length is not None and self.length <= UNMEASURED
        return self.memory <= most


def read_kind(pipe: redis.Redis, name: bytes) -> str:
    """The type of the key. Raises NotFound when it is gone, so that nothing that follows brings it to life again."""
    kind: bytes = pipe.execute_command("TYPE", name)
    if kind == b"none":
        raise gone(name)
    return kind.decode(errors="replace")


def weigh(connection: Connection, pipe: redis.Redis, name: bytes, kind: str) -> Weight:
    """Two questions that cost the same however large the key is."""
    key_type = type_of(kind)
    command = key_type.length_command(name)
    length = key_type.length_of(_try(pipe, *command)) if command else None
    if kind == "string":
        return Weight(kind, length, length)
    measured = key_type.may_measure(connection, name) if key_type.memory_walks else True
    memory = _try(pipe, "MEMORY", "USAGE", name) if measured else None
    if memory is None and key_type.memory_walks:
        return Weight(kind, length, settings.TRASH_KEY_BYTES + 1)
    return Weight(kind, length, memory if isinstance(memory, int) else None)


def take_image(
    connection: Connection, pipe: redis.Redis, name: bytes, weight: Weight, preview: list[list[Any]]
) -> Image | None:
    """The key whole, read while it is watched; None where the server refuses DUMP."""
    payload = _try(pipe, "DUMP", name)
    if not isinstance(payload, bytes):
        return None
    return Image(weight.type, payload, read_expiry(connection, pipe, name), weight.length, preview)


def is_dumped(pipe: redis.Redis, name: bytes) -> bool:
    """Whether the server lets our user DUMP; to be asked before it stands in a MULTI, which would be refused as a whole."""
    try:
        pipe.execute_command("DUMP", name)
    except redis.ResponseError:
        return False
    return True


def left_by(payload: bytes | None) -> str:
    """The digest of a key as an act made it, by which the act is undone; "" where undoing it would not fit the trash."""
    return digest_of(payload) if payload and len(payload) <= settings.TRASH_KEY_BYTES else ""


def preview_key(connection: Connection, name: bytes, weight: Weight) -> list[list[Any]]:
    """The beginning of the value as its page shows it. What cannot be read is left out: it never stands in the way of an act."""
    if weight.type not in TYPES:
        return []
    try:
        page = type_of(weight.type).read_page(connection, name, query={"count": str(_PREVIEWED)})
    except (Problem, redis.RedisError):
        return []
    shown = page.rows[:_PREVIEWED] or [value for value in [getattr(page, "value", None)] if value]
    return [[text, secret] for row in shown for text, secret in [_line(row)] if text]


def read_expiry(connection: Connection, pipe: redis.Redis, name: bytes) -> int | None:
    """When the key ends, in Unix ms; before Redis 7 the server's clock plus the TTL."""
    if connection.supports("PEXPIRETIME"):
        at: int = pipe.execute_command("PEXPIRETIME", name)
        return at if at > 0 else None
    ttl: int = pipe.execute_command("PTTL", name)
    if ttl < 0:
        return None
    seconds, micros = pipe.execute_command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000 + ttl


def digest_of(payload: bytes | None) -> str:
    """Of what a DUMP holds, whatever version wrote it; "" for no key."""
    return hashlib.sha256(payload[:-_FOOTER]).hexdigest() if payload else ""


def digest_of_answer(answer: Any) -> str:
    """Of what a server answered about a part of a key."""
    return hashlib.sha256(repr(answer).encode()).hexdigest()


def _try(pipe: redis.Redis, *command: Any) -> Any:
    """The answer, or None where the server refuses the question."""
    try:
        return pipe.execute_command(*command)
    except redis.ResponseError:
        return None


def _line(row: Any) -> tuple[str, bool]:
    """(the elements of a row in one line, whether a value is among them)."""
    parts = _elements(row)
    text = "  ".join(part.text[:_PREVIEW_CHARS] for part in parts)
    return text[: _PREVIEW_CHARS * 2], any(part.secret for part in parts)


def _elements(row: Any) -> list[Element]:
    if isinstance(row, Element):
        return [row]
    if isinstance(row, tuple):
        return [part for each in row for part in _elements(each)]
    fields = getattr(row, "__dataclass_fields__", {})
    return [part for name in fields for part in _elements(getattr(row, name))]
