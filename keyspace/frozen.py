"""Lives that stand still: how a client of an opened backup is told what a key, or a field, had left at the backup's moment.

PTTL counts on, and says nothing of what is over; PEXPIRETIME stays. So one is asked in the other's place.
"""

from typing import Any

import redis

_ABSOLUTE: dict[Any, str] = {"PTTL": "PEXPIRETIME", "HPTTL": "HPEXPIRETIME"}


def ask_end(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """The command as it is, or the one that asks for the end of a life instead of what is left of it."""
    absolute = _ABSOLUTE.get(command[0])
    return command if absolute is None else (absolute, *command[1:])


def left_at(command: tuple[Any, ...], answer: Any, moment: int) -> Any:
    """The answer to `ask_end(command)` as `command` would have had it at `moment` (Unix ms)."""
    if command[0] not in _ABSOLUTE:
        return answer
    if isinstance(answer, list):
        return [_left(end, moment) for end in answer]
    return _left(answer, moment)


def _left(end: Any, moment: int) -> Any:
    """-1 and -2 (no end, no key) and refusals stay; what was over and not yet removed had nothing left."""
    return max(0, end - moment) if isinstance(end, int) and end >= 0 else end


class FrozenClient(redis.Redis):
    """A client of an opened backup; `frozen_at` is the backup's moment in Unix ms. `wire.open_wire` knows it."""

    def __init__(self, *, frozen_at: int, **options: Any) -> None:
        super().__init__(**options)
        self.frozen_at = frozen_at

    def execute_command(self, *args: Any, **options: Any) -> Any:
        answer = super().execute_command(*ask_end(args), **options)  # type: ignore[no-untyped-call]
        return left_at(args, answer, self.frozen_at)
