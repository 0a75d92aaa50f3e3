"""A form does its thing once: a double click, a retry and the back button get the first answer again."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis
from django.db import IntegrityError, transaction
from django.utils import timezone

from keyspace.errors import Conflict, Problem, explain
from keyspace.models import Once

WAIT_SECONDS = 8.0
LONGEST = timedelta(minutes=1)
"""No act takes longer."""
Answer = dict[str, Any]


def once(token: str, act: Callable[[], Answer]) -> Answer:
    """What `act` answers, or answered when this token was first sent; `act` runs in one of them alone.

    Where it failed without having written, the token is free again. Where the server was lost on the way, nobody knows whether it
    wrote: the repeat fails the same way. Raises what `act` raises, Conflict while the first is still running, and where its console
    stopped on the way.
    """
    try:
        with transaction.atomic():
            Once.objects.create(token=token)
    except IntegrityError:
        return _first_answer(token)
    try:
        answer = act()
    except BaseException as error:
        _failed(token, error)
        raise
    Once.objects.filter(token=token).update(answer=answer)
    return answer


def _failed(token: str, error: BaseException) -> None:
    claimed = Once.objects.filter(token=token)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        problem = explain(error)
        claimed.update(answer={"problem": [problem.sentence, problem.advice, problem.status]})
    else:
        claimed.delete()


def _first_answer(token: str) -> Answer:
    """Asked again, for it may come from another process."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        answer: Answer | None = Once.objects.filter(token=token).values_list("answer", flat=True).first()
        if answer is not None:
            if "problem" in answer:
                sentence, advice, status = answer["problem"]
                raise Problem(sentence, advice, status=status)
            return answer
        time.sleep(0.05)
    if Once.objects.filter(token=token, at__gt=timezone.now() - LONGEST).exists():
        raise Conflict("This was sent already and is still running.", "Wait a moment, then look at the key.")
    raise Conflict("This was sent already, and the console stopped before its end: whether it was done is not known.",
                   "Look at the key before you make the change anew.")  # fmt: skip
