"""A recording as a stream of the same frames that the live view has."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async

from keyspace.access import Permission, performs
from keyspace.pubsub.filters import Filter, Message
from keyspace.pubsub.frames import Runs, batch_frame
from keyspace.pubsub.recording_file import Header
from keyspace.pubsub.recordings import find_recording, read_recording
from keyspace.pubsub.viewers import Counts, Frame, control_frame
from keyspace.servers import Connection

STEP = 0.1  # seconds of the person's time that one frame shows
MAX_ROWS = 2000  # of a frame
MAX_PACE = 20  # frames a second at full speed


@performs(Permission.SUBSCRIBE)
async def replay_recording(
    connection: Connection, number: str, *, since: int = 0, speed: int = 1, wanted: Filter
) -> AsyncIterator[Frame]:
    """Frames from the first message at or after `since` (ms since 1970), `speed` times as fast as it was; 0 is as fast as it goes.

    Raises NotFound. Payloads over frames.CUT keep their beginning: the whole is in the file.
    """
    header = await sync_to_async(find_recording)(connection, number)
    return _play(connection, header, since=since, speed=speed, wanted=wanted)


async def _play(
    connection: Connection, header: Header, *, since: int, speed: int, wanted: Filter
) -> AsyncIterator[Frame]:
    clock = _Clock(speed)
    played = 0
    async for rows in read_recording(connection, header, since=since):
        for step in _steps(rows, span=int(STEP * 1000 * speed) if speed else 2**53):
            await clock.wait_for(step[0][0])
            if isinstance(step[0][1], dict):
                gap = step[0][1]
                yield control_frame(
                    "gap", what=gap["gap"], since=gap["since"], until=gap["until"], messages=gap["messages"]
                )
                continue
            frame = _frame(step, wanted)
            played += len(step)
            yield frame
            yield control_frame("replayed", at=step[-1][0], messages=played)
    yield control_frame("replay_end", messages=played)


class _Clock:
    """Maps the time of the recording to now."""

    def __init__(self, speed: int) -> None:
        self.speed = speed
        self._start: tuple[int, float] | None = None

    async def wait_for(self, at: int) -> None:
        now = time.monotonic()
        if self._start is None:
            self._start = (at, now)
        if self.speed == 0:
            await asyncio.sleep(1 / MAX_PACE)
            return
        due = self._start[1] + (at - self._start[0]) / 1000 / self.speed
        await asyncio.sleep(max(0.0, due - now))


def _steps(rows: list[tuple[int, Any]], *, span: int) -> list[list[tuple[int, Any]]]:
    """Neighbouring messages within `span` (ms), at most MAX_ROWS; a gap stands alone."""
    steps: list[list[tuple[int, Any]]] = []
    for row in rows:
        alone = isinstance(row[1], dict)
        last = steps[-1] if steps else None
        if (
            last is None
            or alone
            or isinstance(last[0][1], dict)
            or len(last) >= MAX_ROWS
            or row[0] - last[0][0] > span
        ):
            steps.append([row])
        else:
            last.append(row)
    return steps


def _frame(step: list[tuple[int, Message]], wanted: Filter) -> Frame:
    runs: Runs = []
    counts = Counts(received=len(step))
    for at, message in step:
        part, slow = wanted.select([message]) if wanted else ([message], 0)
        counts.slow_filter += slow
        if part and runs and runs[-1][0] == at:
            runs[-1][1].append(message)
        elif part:
            runs.append((at, [message]))
    counts.matched = counts.shown = sum(len(part) for _, part in runs)
    return batch_frame(runs, counts, lambda message: 0)
