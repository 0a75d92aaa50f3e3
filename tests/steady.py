"""How fast the machine is just now decides about no test: where the console goes by the clock, tests go by what it has done.

Imported for what it does, once Django is set up.
"""

import time
from types import SimpleNamespace

from keyspace.bulk import pace
from keyspace.decoders import base

# Readings are cut after so much time of their own, not after what other processes took of it.
base.time = SimpleNamespace(monotonic=time.thread_time)  # type: ignore[assignment]
# Bulk work yields to nobody, but where a test says that the server is late.
pace.LATE_MS = 60_000.0


def linger(seconds: float) -> None:
    """Bulk work stands still for so long after each batch from now on: time for a test to break in."""
    after = pace.Pace.after

    def slowly(one: pace.Pace, keys: int) -> None:
        after(one, keys)
        time.sleep(seconds)

    pace.Pace.after = slowly  # type: ignore[method-assign]
