"""Filled buffers are worked on in order by a thread of their own, while the next ones are filled."""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Self

BUFFERS, BUFFER_BYTES = 8, 1024 * 1024


class Beside:
    """A ring of buffers: `take` an empty one, fill it, `hand` it on; leave the `with` when nothing more comes.

    What the work raises is raised by the next call here; no buffer is worked on after it.
    """

    def __init__(self, work: Callable[[memoryview], None]) -> None:
        self._work = work
        self._failed: BaseException | None = None
        self._empty: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._filled: queue.Queue[tuple[bytearray, int] | None] = queue.Queue()
        for _ in range(BUFFERS):
            self._empty.put(bytearray(BUFFER_BYTES))
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def take(self) -> bytearray:
        """An empty buffer; waits for one."""
        self._check()
        return self._empty.get()

    def hand(self, buffer: bytearray, length: int) -> None:
        """Have the first `length` bytes worked on. The buffer is no longer the caller's."""
        self._check()
        self._filled.put((buffer, length))

    def settle(self) -> None:
        """Wait until everything handed on is done."""
        self._filled.join()
        self._check()

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _run(self) -> None:
        while (given := self._filled.get()) is not None:
            buffer, length = given
            try:
                if self._failed is None and length:
                    self._work(memoryview(buffer)[:length])
            except BaseException as error:
                self._failed = error
            self._empty.put(buffer)
            self._filled.task_done()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._drop()
        self._filled.put(None)
        self._thread.join()

    def _drop(self) -> None:
        """Leave undone what has not begun: it is not wanted any more."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._filled.get_nowait()
