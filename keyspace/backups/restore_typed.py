"""Writing a key from its readable form, whole or not at all."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from keyspace.backups.typed import Command, TypedPiece
from keyspace.backups.typed_writing import write_commands
from keyspace.wire import Wire

_XSETID_WORDS = 3
"""The arity of XSETID before Redis 7: it takes the last id alone."""


def write_typed(
    wire: Wire, name: bytes, pieces: Iterable[TypedPiece], expires: int, *, replace: bool
) -> str | None:
    """Write a key from its typed form: one transaction where it fits one piece, else built aside and moved into place.

    Returns None when it was written, "there" when it exists and may not be replaced, else what went wrong.
    """
    if not replace and wire.call("EXISTS", name):
        return "there"
    aside = b"\x00restoring\x00{" + name + b"}" if b"{" not in name else b"\x00restoring\x00" + name
    wrote = False
    for each in pieces:
        piece = _as_the_server_knows_it(wire, each)
        if piece.part == 0 and piece.last:
            return _transaction(
                wire, [("DEL", name), *write_commands(name, piece.type, piece.piece)], name, expires
            )
        commands: list[Command] = [("DEL", aside)] if piece.part == 0 else []
        problem = _first_problem(wire.call_many(commands + write_commands(aside, piece.type, piece.piece)))
        if problem:
            wire.call("DEL", aside)
            return problem
        wrote = True
    if not wrote:
        return "its value could not be read"
    return _transaction(wire, [("RENAME", aside, name)], name, expires)


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
    end: list[Command] = [("PEXPIREAT", name, expires)] if expires else []
    replies = wire.call_many([("MULTI",), *commands, *end, ("EXEC",)])
    return _first_problem(replies) or _first_problem(replies[-1] if isinstance(replies[-1], list) else [])


def _first_problem(replies: list[Any]) -> str | None:
    return next((str(reply) for reply in replies if isinstance(reply, Exception)), None)
