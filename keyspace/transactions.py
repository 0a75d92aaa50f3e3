"""MULTI and EXEC on a pipeline that watches keys: sent once, and its end told as it was."""

from typing import Any

import redis
from redis.client import Pipeline


def commit(pipe: Pipeline) -> list[Any] | None:
    """The answers; None when a watched key changed, so that nothing was written and it may be tried again.

    redis-py says WatchError as well when the connection broke while keys were watched. Then nobody knows whether it was written: it
    must not be tried again, so what broke the connection is raised (ConnectionError, TimeoutError). Raises ResponseError for what the
    server refused.
    """
    try:
        answers: list[Any] = pipe.execute()
    except redis.WatchError as error:
        if isinstance(error.__context__, redis.ConnectionError | redis.TimeoutError):
            raise error.__context__ from None
        return None
    return answers
