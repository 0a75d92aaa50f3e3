"""Writing a key from its readable form, whole or not at all."""

import contextlib
import dataclasses
from collections.abc import Iterable
from typing import Any

import redis

from keyspace.backups.typed import Command, TypedPiece
from keyspace.backups.typed_writing import write_commands
from keyspace.errors import refusal
from keyspace.wire import Wire

_XSETID_WORDS = 3
"""The arity of XSETID before Redis 7: it takes the last id alone."""

ASIDE_SECONDS = 24 * 3600
"""How long a half-built key lives aside when the console is killed in the middle."""


def write_typed(
    wire: Wire, name: bytes, pieces: Iterable[TypedPiece], expires: int, *, replace: bool
) -> str | None:
    """Write a key from its typed form: one transaction where it fits one piece, else built aside and moved into place.

    Returns None when it was written, "there" when it exists and may not be replaced, else what went wrong.
    """
    if not replace and wire.call_many([("WATCH", name), ("EXISTS", name)])[1]:
        wire.call("UNWATCH")
        return "there"
    aside = b"\x00restoring\x00{" + name + b"}" if b"{" not in name else b"\x00restoring\x00" + name
    try:
        problem = _write(wire, name, aside, pieces, expires)
    except BaseException:  # its pieces could not be read, or somebody cancelled
        with contextlib.suppress(redis.RedisError):
            wire.call_many([("UNWATCH",), ("UNLINK", aside)])
        raise
    if problem is not None:
        wire.call_many([("UNWATCH",), ("UNLINK", aside)])
    return problem


def _write(wire: Wire, name: bytes, aside: bytes, pieces: Iterable[TypedPiece], expires: int) -> str | None:
    wrote = False
    for each in pieces:
        piece = _as_the_server_knows_it(wire, each)
        if piece.part == 0 and piece.last:
            commands = write_commands(name, piece.type, piece.piece)
            return _transaction(wire, [("DEL", name), *commands], name, expires)
        first = piece.part == 0
        commands = write_commands(aside, piece.type, piece.piece)
        commands = [("DEL", aside), *commands, ("EXPIRE", aside, ASIDE_SECONDS)] if first else commands
        if problem := _first_problem(wire.call_many(commands)):
            return problem
        wrote = True
    if not wrote:
        return "its value could not be read"
    return _transaction(wire, [("RENAME", aside, name), ("PERSIST", name)], name, expires)


def _as_the_server_knows_it(wire: Wire, piece: TypedPiece) -> TypedPiece:
    """Redis before 7 counts neither a stream's entries nor those a group has read, and takes no such numbers."""
    if piece.type != "stream" or "last_id" not in piece.piece:
        return piece
    told = wire.call_many([("COMMAND", "INFO", "XSETID")])[0]
    if not isinstance(told, list) or not told or not told[0] or told[0][1] != _XSETID_WORDS:
        return piece
    groups = [group | {"read": None} for group in piece.piece.get("groups") or []]
    return dataclasses.replace(piece, piece=piece.piece | {"added": None, "deleted": None, "groups": groups})


def _transaction(wire: Wire, commands: list[Command], name: bytes, expires: int) -> str | None:
    """None when it was written, "there" when a key that must not be there came in this moment, else what went wrong."""
    end: list[Command] = [("PEXPIREAT", name, expires)] if expires else []
    replies = wire.call_many([("MULTI",), *commands, *end, ("EXEC",)])
    if replies[-1] is None:
        return "there"
    return _first_problem(replies) or _first_problem(replies[-1] if isinstance(replies[-1], list) else [])


def _first_problem(replies: list[Any]) -> str | None:
    return next((refusal(reply) for reply in replies if isinstance(reply, Exception)), None)
