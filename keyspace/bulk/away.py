"""A server that goes away in the middle of a job: it is waited for, longer each time, and given up in the end."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from keyspace.errors import explain
from keyspace.jobs import Run

GIVE_UP_SECONDS = 15 * 60.0
LOST = (redis.ConnectionError, redis.TimeoutError)
T = TypeVar("T")


def is_away(error: object) -> bool:
    """A lost connection, a server that loads its data, or one that a long script holds up: it will answer again."""
    return isinstance(error, LOST) or (
        isinstance(error, redis.ResponseError) and str(error).startswith("BUSY ")
    )


def check_answered(replies: list[Any]) -> None:
    """Raises what says that the server is away: that is nothing of the one key it stands for."""
    for reply in replies:
        if is_away(reply):
            raise reply


class Away:
    """Since when the server of a run has not answered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since: float | None = None

    def answered(self) -> None:
        self._since = None

    def wait(self, error: Exception, **told: Any) -> None:
        """A while, and tell so; `told` is what the report says beside it. Raises the error in the end; Cancelled."""
        now = time.monotonic()
        self._since = self._since or now
        away = now - self._since
        if away > GIVE_UP_SECONDS:
            raise error
        phase = f"waiting for the server, {away:.0f} s so far: {explain(error).sentence}"
        self._run.report(phase=phase, now=True, **told)
        end = time.monotonic() + min(10.0, max(0.5, away / 2))
        while time.monotonic() < end:
            self._run.sleep(0.2)
            self._run.check()


def begin_again(run: Run, read: Callable[[], T]) -> T:
    """What `read` gives; after a lost connection it begins anew, so it must only read."""
    away = Away(run)
    while True:
        try:
            return read()
        except redis.RedisError as error:
            if not is_away(error):
                raise
            away.wait(error, done=0)
