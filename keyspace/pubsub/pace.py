"""How much time the hub may spend on filters and frames, so that reading never waits.

Whoever reads too slowly is cut off by the server, and then nobody knows what was lost; so reading goes first, and what there is no
time to show is dropped where it can be counted.
"""

import time

SHARE = 0.35  # of a core may go into filters and frames; the rest is for reading, sockets and pages
MIN_SHARE = 0.02  # what is left of it when reading falls behind
BEHIND, FAR_BEHIND = 0.15, 0.4  # seconds that a reply lay in the server's output buffer and in ours
SAVED = 0.3  # seconds of that share that a quiet time leaves for a burst


class Pace:
    """A budget of seconds that grows with time, by a share that shrinks when replies come late."""

    def __init__(self) -> None:
        self._share, self._seconds = SHARE, SAVED
        self._at, self._used = time.perf_counter(), time.thread_time()

    def earn(self) -> float:
        """Seconds there are now."""
        now = time.perf_counter()
        self._seconds = min(SAVED, self._seconds + (now - self._at) * self._share)
        self._at, self._used = now, time.thread_time()
        return self._seconds

    def spend(self) -> None:
        """What this thread has computed since `earn` went into it; time in which others had the core does not count."""
        self._seconds -= time.thread_time() - self._used

    def adapt(self, delay: float, *, every: float) -> None:
        """Called `every` so many seconds with how long (seconds) a reply was on its way last."""
        if delay > FAR_BEHIND:
            self._share = MIN_SHARE
        elif delay > BEHIND:
            self._share = max(MIN_SHARE, self._share * 0.8)
        else:
            self._share = min(SHARE, self._share * 1.2)
        if delay > BEHIND:
            self._seconds = min(self._seconds, self._share * every)
