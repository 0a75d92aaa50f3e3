"""How much time the hub may spend on filters and frames, so that reading never waits and pages stay quick.

Whoever reads too slowly is cut off by the server, and then nobody knows what was lost; so reading goes first, and what there is no
time to show is dropped where it can be counted. A stream that cannot be shown whole, or is faster than `limits.WHOLE_RATE`, is
sampled: nobody reads a hundred thousand lines a second, and what is not spent on them is left to the pages of others.
"""

import time

from keyspace.pubsub.limits import limit

SHARE = 0.18  # of a core may go into filters and frames as long as all of the stream fits into it
SAMPLE_SHARE = 0.02  # when it does not
MIN_SHARE = 0.01  # when reading falls behind
BEHIND, FAR_BEHIND = 0.15, 0.4  # seconds that a reply lay in the server's output buffer and in ours
SAVED = 0.1  # seconds of that share that a quiet time leaves for a burst
QUIET = 0.05  # seconds without a message end a flood; a server that was only slow shows in the delay
SMOOTH = 0.95  # what one flush leaves of the demand before it


class Pace:
    """A budget of seconds that grows with time, by a share that shrinks when there is too much to do."""

    def __init__(self) -> None:
        self._share, self._seconds, self._demand, self._rate = SHARE, SAVED, 0.0, 0.0
        self._at, self._used = time.perf_counter(), time.thread_time()
        self._elapsed = 0.0

    def earn(self) -> float:
        """Seconds there are now."""
        now = time.perf_counter()
        self._elapsed = now - self._at
        self._seconds = min(SAVED, self._seconds + self._elapsed * self._share)
        self._at, self._used = now, time.thread_time()
        return self._seconds

    def spend(self, demand: float, messages: int) -> None:
        """What this thread has computed since `earn` went into it; showing all `messages` would have taken `demand` seconds."""
        self._seconds -= time.thread_time() - self._used
        if not messages and self._elapsed > QUIET:
            self._demand, self._rate, self._seconds = (
                0.0,
                0.0,
                SAVED,
            )  # what a flood took is not owed by what follows
        share = (1 - SMOOTH) / max(self._elapsed, 0.001)
        self._demand = SMOOTH * self._demand + share * demand
        self._rate = SMOOTH * self._rate + share * messages

    def adapt(self, delay: float, *, every: float) -> None:
        """Called `every` so many seconds with how long (seconds) a reply was on its way last."""
        if delay > BEHIND:
            self._demand = max(self._demand, 2 * SHARE)  # for a second or so after it was too much
        whole = self._demand <= SHARE and self._rate <= limit("WHOLE_RATE")
        most = SHARE if whole else SAMPLE_SHARE
        if delay > FAR_BEHIND:
            self._share = MIN_SHARE
        elif delay > BEHIND:
            self._share = max(MIN_SHARE, self._share * 0.8)
        elif whole and self._demand < SHARE / 2:
            self._share = SHARE  # so little is asked for: what follows a flood need not be felt out
        else:
            self._share = min(most, self._share * 1.1)
        if delay > BEHIND or not whole:
            self._seconds = min(self._seconds, self._share * every)
