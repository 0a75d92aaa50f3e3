"""Writes what a view selects to a file, in a thread of its own, until it is stopped or reaches a limit."""

import queue
import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from keyspace.pubsub.frames import Runs
from keyspace.pubsub.link import now_ms
from keyspace.pubsub.recording_file import RecordingFile

MAX_WAITING = 32 * 1024 * 1024  # bytes of payload that wait for the disk
SAVE_EVERY = 1.0  # seconds between two headers
BLOCK_EVERY = 0.25  # seconds of messages that make a block
MIN_FREE = 256 * 1024 * 1024  # bytes of disk that are left to others


class FileRecorder:
    """`take` and `gap` are called in the event loop; the file belongs to the thread. `on_end` is called there once, at the end."""

    def __init__(self, file: RecordingFile, *, seconds: float, size: int, on_end: Callable[[], None]) -> None:
        self.file, self.header = file, file.header
        self.size, self.on_end = size, on_end
        self._deadline = time.monotonic() + seconds
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._open_gaps: dict[
            int, dict[str, Any]
        ] = {}  # by their beginning: each node of a cluster may have one
        self._overflow: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run, name=f"recording {self.header.id}", daemon=True)
        self._thread.start()

    def take(self, runs: Runs) -> None:
        """Queue these messages, or mark a gap when the disk is too far behind."""
        count = sum(len(messages) for _, messages in runs)
        if not count:
            return
        size = sum(len(message[-1]) + 100 for _, messages in runs for message in messages)
        if self._waiting and self._waiting + size > MAX_WAITING:
            self._overflow = self._overflow or _gap(
                "the disk of the console was too slow", runs[0][0], None, 0
            )
            self._overflow["messages"] += count
            self._overflow["until"] = runs[-1][0]
            return
        self._put_overflow()
        with self._lock:
            self._waiting += size
        self._queue.put((size, runs))

    def _put_overflow(self) -> None:
        if self._overflow is not None:
            self._queue.put(self._overflow)
            self._overflow = None

    def gap(self, what: str, *, since: int, until: int | None = None, messages: int = 0) -> None:
        """Without `messages` nobody knows how many; such a gap is written when it ends."""
        gap = _gap(what, since, until, messages or None)
        if until is None and not messages:
            self._open_gaps[since] = gap
            return
        self._open_gaps.pop(since, None)
        self._queue.put(gap)

    def stop(self, why: str) -> None:
        """Write what was taken and end; does not wait."""
        for gap in self._open_gaps.values():
            self._queue.put(gap)
        self._open_gaps.clear()
        self._put_overflow()
        self._queue.put(why)

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        why = "the disk failed"
        try:
            why = self._write_until_stopped()
        except OSError as error:
            why = f"the file could not be written: {error.strerror}"
        finally:
            self.header.state, self.header.why, self.header.ended = "finished", why, now_ms()
            try:
                self.file.close()
            finally:
                self.on_end()

    def _write_until_stopped(self) -> str:
        pending: Runs = []
        written = saved = time.monotonic()
        while True:
            taken = self._next()
            if isinstance(taken, tuple):
                pending += taken[1]
                with self._lock:
                    self._waiting -= taken[0]
            now = time.monotonic()
            over = taken if isinstance(taken, str) else self._over_limit(now)
            if pending and (over or isinstance(taken, dict) or now - written > BLOCK_EVERY):
                self.file.add(pending)
                pending, written = [], now
            if isinstance(taken, dict):
                self.file.add_gap(taken)
            if over:
                return over
            if now - saved > SAVE_EVERY:
                self.file.save()
                saved = now

    def _next(self) -> Any:
        try:
            return self._queue.get(timeout=BLOCK_EVERY)
        except queue.Empty:
            return None

    def _over_limit(self, now: float) -> str:
        if now > self._deadline:
            return "its time was over"
        if self.header.size > self.size:
            return "it reached its size"
        if shutil.disk_usage(self.file.path.parent).free < MIN_FREE:
            return "the disk of the console is nearly full"
        return ""


def _gap(what: str, since: int, until: int | None, messages: int | None) -> dict[str, Any]:
    return {"gap": what, "since": since, "until": until, "messages": messages}
