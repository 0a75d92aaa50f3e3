"""Reading and then writing a batch as one: what changed in between is left alone and tried again, in ever smaller parts."""

from collections.abc import Callable
from typing import Any, TypeVar

from keyspace.wire import Command, Wire

TRIES = 4
T = TypeVar("T")


def in_halves(items: list[T], attempt: Callable[[list[T]], bool], give_up: Callable[[T], None]) -> None:
    """`attempt` the items together; where it says that one of them changed meanwhile, its halves on their own, so that one busy
    key does not hold up the rest. One that fails TRIES times alone goes to `give_up`."""
    if not items:
        return
    for _ in range(TRIES if len(items) == 1 else 1):
        if attempt(items):
            return
    if len(items) == 1:
        give_up(items[0])
        return
    half = len(items) // 2
    in_halves(items[:half], attempt, give_up)
    in_halves(items[half:], attempt, give_up)


def execute(wire: Wire, commands: list[Command]) -> list[Any] | None:
    """The commands in MULTI on a wire that watches keys: their replies, None when a watched key changed and nothing was written.

    Raises what the server refused one of them with; then nothing was written either.
    """
    replies = wire.call_many([("MULTI",), *commands, ("EXEC",)])
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return None if replies[-1] is None else list(replies[-1])
