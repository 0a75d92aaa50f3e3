"""Writing a key from its readable form, whole or not at all."""

from collections.abc import Iterable
from typing import Any

from keyspace.backups.typed import Command, TypedPiece
from keyspace.backups.typed_writing import write_commands
from keyspace.wire import Wire


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
    for piece in pieces:
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


def _transaction(wire: Wire, commands: list[Command], name: bytes, expires: int) -> str | None:
    end: list[Command] = [("PEXPIREAT", name, expires)] if expires else []
    replies = wire.call_many([("MULTI",), *commands, *end, ("EXEC",)])
    return _first_problem(replies) or _first_problem(replies[-1] if isinstance(replies[-1], list) else [])


def _first_problem(replies: list[Any]) -> str | None:
    return next((str(reply) for reply in replies if isinstance(reply, Exception)), None)
