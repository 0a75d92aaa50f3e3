"""MULTI and EXEC on a pipeline that watches keys: sent once, and its end told as it was."""

from typing import Any

import redis
from redis.client import Pipeline

from keyspace.errors import Unanswered


def commit(pipe: Pipeline) -> list[Any] | None:
    """The answers; None when a watched key changed, so that nothing was written and it may be tried again.

    redis-py says WatchError as well when the connection broke while keys were watched. Then nobody knows whether it was written: it
    must not be tried again: Unanswered is raised. Raises ResponseError for what the server refused.
    """
    try:
        answers: list[Any] = pipe.execute()
    except redis.WatchError as error:
        lost = error.__context__
        if isinstance(lost, redis.BusyLoadingError):
            raise lost from None
        if isinstance(lost, redis.ConnectionError | redis.TimeoutError):
            raise Unanswered(str(lost)) from lost
        return None
    return answers
