"""What a browser may say on the live socket, and how much of it."""

import json
import time
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 128 * 1024
BURST, PER_SECOND = 60, 10


@dataclass(frozen=True)
class BadFrame(Exception):
    """Ends the socket: `code` and `reason` of its close."""

    code: int
    reason: str


def read_request(text: str | None, data: bytes | None) -> dict[str, Any]:
    """The object in a frame. Raises BadFrame for anything else."""
    if text is None:
        raise BadFrame(1003, "This socket takes text frames only.")
    if len(text) > MAX_BYTES:
        raise BadFrame(1009, f"A frame may be {MAX_BYTES} characters long.")
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise BadFrame(1007, "This frame is not JSON.") from None
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise BadFrame(1007, "This frame is not an object with an op.")
    return request


class Allowance:
    """BURST frames at once, PER_SECOND in the long run."""

    def __init__(self) -> None:
        self._left, self._at = float(BURST), time.monotonic()

    def spend(self) -> None:
        """Raises BadFrame when there were too many."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._at) * PER_SECOND) - 1
        self._at = now
        if self._left < 0:
            raise BadFrame(4008, "Too many frames.")
