"""A server that goes away in the middle of a job, or is a primary no more: it is waited for, longer each time, and given up in the end."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from keyspace.errors import explain
from keyspace.jobs import Interrupted, Run

GIVE_UP_SECONDS = 15 * 60.0
ANEW_SECONDS = 180.0
"""After so long without a wait it is away for the first time again."""
LOST = (redis.ConnectionError, redis.TimeoutError)
T = TypeVar("T")


def is_away(error: object) -> bool:
    """A lost connection, a server that loads its data, or one that a long script holds up: it will answer again."""
    return isinstance(error, LOST) or (
        isinstance(error, redis.ResponseError) and str(error).startswith("BUSY ")
    )


def is_demoted(error: object) -> bool:
    """A primary that a failover made a replica: it, or whoever answers at its address next, may take writes again."""
    return isinstance(error, redis.ReadOnlyError)


def check_answered(replies: list[Any]) -> None:
    """Raises what says that the server is away, or takes no writes: that is nothing of the one key it stands for."""
    for reply in replies:
        if is_away(reply) or is_demoted(reply):
            raise reply


class Away:
    """Since when the server of a run has not answered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since: float | None = None
        self._waited = 0.0

    def answered(self) -> None:
        self._since = None

    def wait(self, error: Exception, **told: Any) -> None:
        """A while, and tell so; `told` is what the report says beside it. Raises Interrupted in the end; Cancelled."""
        now = time.monotonic()
        if self._since is None or now - self._waited > ANEW_SECONDS:
            self._since = now
        away = now - self._since
        if away > GIVE_UP_SECONDS:
            raise Interrupted(
                f"It was waited for {GIVE_UP_SECONDS / 60:.0f} minutes: {explain(error).sentence} It can go on where it stopped."
            ) from error
        phase = f"waiting for the server, {away:.0f} s so far: {explain(error).sentence}"
        self._run.report(phase=phase, now=True, **told)
        end = time.monotonic() + min(10.0, max(0.5, away / 2))
        while time.monotonic() < end:
            self._run.sleep(0.2)
            self._run.check()
        self._waited = time.monotonic()


def begin_again(run: Run, read: Callable[[], T], *, has_written: Callable[[], bool] = lambda: False) -> T:
    """What `read` gives; after a lost connection it begins anew, so it must only read, or do no harm when it does it again. A replica
    is waited for only where the job `has_written` to it before."""
    away = Away(run)
    while True:
        try:
            return read()
        except redis.RedisError as error:
            if not (is_away(error) or (is_demoted(error) and has_written())):
                raise
            away.wait(error, done=0)
