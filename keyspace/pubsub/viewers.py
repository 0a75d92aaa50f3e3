"""What one person's socket receives: a bounded queue of frames and exact counts."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

_encode_any = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
MAX_QUEUED = 8 * 1024 * 1024


def encode_json(content: Any) -> bytes:
    """orjson takes a quarter of the time of json, but refuses the lone surrogates that stand for bytes which are no text."""
    try:
        return orjson.dumps(content)
    except TypeError:
        return _encode_any(content).encode()


@dataclass(slots=True)
class Counts:
    """Messages. received = matched + not matched + slow_filter; matched = shown + buffer + browser.

    `buffer`: dropped because the console could not encode as fast; `browser`: because this viewer's socket did not take them;
    `slow_filter`: the filter had no time for them, or its regular expression did not come to an end. `gaps` are
    times without a connection to the server, in which nobody knows how many there were.
    """

    received: int = 0
    matched: int = 0
    shown: int = 0
    buffer: int = 0
    browser: int = 0
    slow_filter: int = 0
    gaps: int = 0

    def add(self, other: "Counts") -> None:
        for field in _FIELDS:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    @property
    def dropped(self) -> int:
        return self.buffer + self.browser + self.slow_filter


_FIELDS = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True)
class Frame:
    """Encoded once and shared: JSON as bytes, and what it adds to the counts of everybody who gets it."""

    data: bytes
    counts: Counts | None = None
    droppable: bool = False  # a full queue may do without it


def control_frame(kind: str, *, droppable: bool = False, **content: Any) -> Frame:
    return Frame(encode_json({"t": kind, **content}), droppable=droppable)


class Viewer:
    """A queue that the hub fills and one socket empties. A slow socket loses frames, counted, and nobody else's."""

    def __init__(self, *, max_queued: int = MAX_QUEUED) -> None:
        self.counts = Counts()
        self.max_queued = max_queued  # bytes
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._missed: Counts | None = None
        self._ready = asyncio.Event()
        self._closed = False
        self._full_since: float | None = None

    @property
    def stuck_for(self) -> float:
        """Seconds since when nothing was taken although the queue was full."""
        return 0.0 if self._full_since is None else time.monotonic() - self._full_since

    def offer(self, frame: Frame) -> None:
        """Queue `frame`; when the queue is full its messages count as dropped by the browser."""
        if self._closed:
            return
        full = self._queued + len(frame.data) > self.max_queued and bool(self._queue)
        if full:
            self._full_since = self._full_since or time.monotonic()
        if full and frame.droppable:
            return
        if frame.counts is not None:
            if full:
                self._miss(frame.counts)
                return
            self.counts.add(frame.counts)
            self._tell_missed()
        self._put(frame.data)

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self._queued += len(data)
        self._ready.set()

    def _miss(self, counts: Counts) -> None:
        missed = Counts()
        missed.add(counts)
        missed.browser, missed.shown = counts.shown, 0
        self.counts.add(missed)
        if self._missed is None:
            self._missed = Counts()
        self._missed.add(missed)

    def _tell_missed(self) -> None:
        """Before the next frame that fits: what was not sent, at its place in the stream."""
        if self._missed is not None:
            self._put(control_frame("missed", counts=asdict(self._missed)).data)
            self._missed = None

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """Frames until `close`; the next is taken from the queue only when the one before was dealt with."""
        while True:
            while self._queue:
                data = self._queue.popleft()
                self._queued -= len(data)
                self._full_since = None
                yield data
                if not self._queue:
                    self._tell_missed()
            if self._closed:
                return
            self._ready.clear()
            await self._ready.wait()
