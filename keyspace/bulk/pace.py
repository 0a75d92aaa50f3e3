"""How fast bulk work goes: no faster than asked, and slower than that while the server answers others late."""

import statistics
import time

from keyspace.jobs import Run
from keyspace.servers import Client

MOST_BATCH, LEAST_BATCH = 500, 20
BATCHES_A_SECOND = 50
PROBE_SECONDS = 0.05
LATE_MS = 5.0
TIMES_IDLE = 4.0
LONGEST_WAIT = 1.0
TELL_SECONDS = 0.4
_SLICE = 0.2


class Pace:
    """`rate` in keys/s, 0 for as fast as it goes. A PING of each server that takes part, every PROBE_SECONDS, tells how late it
    answers; when that takes TIMES_IDLE as long as before the work began, and LATE_MS at least, the work waits, longer each time."""

    def __init__(self, run: Run, *clients: Client, rate: int = 0) -> None:
        self._run, self._clients, self._rate = run, clients, rate
        self._late_ms = max(LATE_MS, TIMES_IDLE * statistics.median(self.ping() for _ in range(5)))
        self._began, self._keys = time.monotonic(), 0
        self._probed = self._told = 0.0
        self._wait = 0.0
        self.yielded = 0

    @property
    def batch(self) -> int:
        """Keys of one batch: a slow job takes small bites, not long pauses."""
        return min(MOST_BATCH, max(LEAST_BATCH, self._rate // BATCHES_A_SECOND)) if self._rate else MOST_BATCH

    def ping(self) -> float:
        """Milliseconds, of the slowest."""
        return max(self._ping(client) for client in self._clients)

    def _ping(self, client: Client) -> float:
        began = time.perf_counter()
        client.execute_command("PING")
        return (time.perf_counter() - began) * 1000

    def after(self, keys: int) -> None:
        """Call after each batch: waits as long as the rate and the server's lateness ask. Raises Cancelled."""
        self._run.check()
        self._keep_rate(keys)
        if time.monotonic() - self._probed >= PROBE_SECONDS:
            self._probe()

    def time_to_tell(self) -> bool:
        """Whether it was a while ago that the job's row was told how far it is: each time is a write."""
        if time.monotonic() - self._told < TELL_SECONDS:
            return False
        self._told = time.monotonic()
        return True

    def _keep_rate(self, keys: int) -> None:
        self._keys += keys
        if not self._rate:
            return
        ahead = self._keys / self._rate - (time.monotonic() - self._began)
        if ahead > 0:
            self.sleep(ahead)
        elif ahead < -1:  # a pause or a slow server is no credit to be spent in one burst
            self._began, self._keys = time.monotonic(), 0

    def _probe(self) -> None:
        while self.ping() > self._late_ms:
            self.yielded += 1
            self._wait = min(LONGEST_WAIT, max(PROBE_SECONDS, 2 * self._wait))
            self.sleep(self._wait)
            if self._wait >= LONGEST_WAIT:
                break  # it stays late: go on slowly, a batch a second
        else:
            self._wait = 0.0
        self._probed = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, but hear of cancel and pause."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._run.sleep(min(left, _SLICE))
            self._run.check()
