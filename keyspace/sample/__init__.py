"""Sample data that feel real: `fill` and `top_up` write them, `traffic` keeps them moving.

Nothing here runs against a server that somebody configured. The modules with the formats load when they are needed.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis as redis_py

KEYS = 50_000


def fill(
    redis: "redis_py.Redis",
    keys: int = KEYS,
    seed: int = 1,
    *,
    on_progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write about `keys` keys of every type; gives DBSIZE. See filling.fill."""
    from keyspace.sample.filling import fill as write

    return write(redis, keys, seed, on_progress=on_progress)


def top_up(redis: "redis_py.Redis", keys: int = KEYS, seed: int = 1) -> int:
    """Write what has expired since the fill; gives DBSIZE. See filling.top_up."""
    from keyspace.sample.filling import top_up as write

    return write(redis, keys, seed)


def traffic(redis: "redis_py.Redis", stop: threading.Event, *, keys: int = KEYS, seed: int = 1) -> None:
    """Behave like applications until `stop` is set. See moving.traffic."""
    from keyspace.sample.moving import traffic as move

    move(redis, stop, keys=keys, seed=seed)
