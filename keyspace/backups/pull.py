"""Pulling an RDB over the replication link, as a replica would for its first sync.

REPLCONF (one at a time, each answered), then SYNC; the answer is keep-alives (``\\n``), then ``$<length>`` and that many bytes, or
``$EOF:<40 bytes>`` and a stream that ends with those 40 bytes. The mark repeats between syncs of one run of the server, so it may stand
in a value: it ends the stream only where nothing follows it (the server sends no more before we acknowledge, which we never do; since
Redis 7 it hangs up) and the bytes before it are a whole RDB.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from keyspace.backups.beside import BUFFER_BYTES, Beside
from keyspace.backups.rdb import Damaged, RdbChecker, RdbHead
from keyspace.errors import Unavailable
from keyspace.servers import Endpoint, open_client

_ENOUGH = BUFFER_BYTES // 2
_LOOK_SECONDS = 0.5
SILENT_SECONDS = 60.0
QUIET_SECONDS = 1.5
Progress = Callable[[int, int | None], None]


class Silent(Unavailable):
    """Nothing came for SILENT_SECONDS."""


@dataclass(frozen=True)
class Pulled:
    """What came: `size` in bytes, the file's head, the seconds until its first byte (the server's save) and in all."""

    size: int
    head: RdbHead
    waited: float
    seconds: float
    checksum_off: bool


def pull_rdb(
    endpoint: Endpoint,
    *,
    version: str,
    write: Callable[["bytes | memoryview"], None],
    progress: Progress = lambda done, total: None,
) -> Pulled:
    """Stream the server's RDB into `write`, checked. `progress` gets bytes so far and in all (None: not told);
    what it raises ends the pull. `write` is called in a thread of its own.

    `version` is the server's own, which chooses the format. Raises redis-py's errors when the server refuses, Damaged for a stream
    that is not a whole RDB, Silent when it falls silent.
    """
    client = open_client(endpoint, protocol=2, socket_timeout=max(endpoint.timeout, 10))
    connection: Any = client.connection_pool.make_connection()
    try:
        connection.connect()
        _introduce(connection, version)
        checker = RdbChecker()

        def work(data: memoryview) -> None:
            checker.feed(data)
            write(data)

        with Beside(work) as beside:
            return _Stream(connection._sock, checker, beside, progress).receive()
    except OSError as error:
        raise redis.ConnectionError("The connection broke") from error
    finally:
        connection.disconnect()
        client.close()


def _introduce(connection: Any, version: str) -> None:
    """Say what we can read, and that no writes need be kept for us. A server that does not know a word of it says so, and goes on."""
    words: tuple[str, str]
    for words in (("capa", "eof"), ("rdb-only", "1"), ("version", version)):
        connection.send_command("REPLCONF", *words)
        try:
            connection.read_response()
        except (NoPermissionError, redis.AuthenticationError):
            raise
        except redis.ResponseError:
            continue
    connection._sock.sendall(b"*1\r\n$4\r\nSYNC\r\n")
    connection._sock.settimeout(_LOOK_SECONDS)


class _Stream:
    """The answer to SYNC. It is read here; checked and written beside."""

    def __init__(self, socket: Any, checker: RdbChecker, beside: Beside, progress: Progress) -> None:
        self._socket, self._checker, self._beside, self._progress = socket, checker, beside, progress
        self._began = time.monotonic()
        self._received = 0
        self._total: int | None = None

    def receive(self) -> Pulled:
        head, rest = self._read_header()
        waited = time.monotonic() - self._began
        if head.startswith(b"$EOF:"):
            self._read_to_mark(head[5:], rest)
        else:
            self._read_length(int(head[1:]), rest)
        found = self._checker.finish()
        return Pulled(
            self._checker.size, found, waited, time.monotonic() - self._began, self._checker.checksum_off
        )

    def _read_header(self) -> tuple[bytes, bytes]:
        """The line that opens the stream, and what was read behind it."""
        got, buffer = b"", bytearray(4096)
        while True:
            got = (got + buffer[: self._wait(memoryview(buffer))]).lstrip(b"\n")
            line, end, rest = got.partition(b"\r\n")
            if end:
                break
            if len(got) > 4096:
                raise Damaged("the server answers SYNC in a way that is not understood")
        if line[:1] == b"-":
            raise redis.ResponseError(line[1:].decode("utf-8", "replace"))
        if not (line[:1] == b"$" and (line[1:].isdigit() or (line[1:5] == b"EOF:" and len(line) == 45))):
            raise Damaged("the server answers SYNC in a way that is not understood")
        return line, rest

    def _wait(self, room: memoryview) -> int:
        """Read at least one byte into `room`; how many came.

        Calls `progress` while it waits, so that a cancel is heard. Raises Unavailable for silence, Damaged when the server hangs up.
        """
        silent = time.monotonic()
        while True:
            self._progress(self._received, self._total)
            try:
                count = self._socket.recv_into(room)
            except TimeoutError:
                if time.monotonic() - silent > SILENT_SECONDS:
                    raise Silent(
                        "The server stopped sending in the middle of the pull.",
                        "It may be overloaded; try again.",
                    ) from None
                continue
            if not count:
                self._beside.settle()  # what is wrong with the bytes themselves says more
                raise Damaged(
                    f"the server closed the connection after {self._received} bytes", self._received
                )
            return count  # type: ignore[no-any-return]

    def _fill(self, buffer: bytearray, at: int, end: int, mark: bytes = b"") -> int:
        """Read on from `at` until the buffer is well filled or `end` is reached; how far it is filled.

        A server writes in small pieces. A pause or half a second ends it sooner (progress is told then, and a cancel heard), and so does
        the mark: nothing need come after it.
        """
        view = memoryview(buffer)
        before = at
        at += self._wait(view[at:end])
        enough, until = min(end, _ENOUGH), time.monotonic() + _LOOK_SECONDS
        while at < enough and not (mark and buffer.endswith(mark, 0, at)) and time.monotonic() < until:
            try:
                more = self._socket.recv_into(view[at:end])
            except TimeoutError:
                break
            if not more:
                break  # the next read says so again
            at += more
        self._received += at - before
        return at

    def _first(self, rest: bytes) -> bytearray:
        """A buffer that begins with what was read behind the header."""
        buffer = self._beside.take()
        buffer[: len(rest)] = rest
        self._received = len(rest)
        return buffer

    def _read_length(self, length: int, rest: bytes) -> None:
        self._total = length
        rest = rest[:length]
        buffer, at = self._first(rest), len(rest)
        while True:
            self._beside.hand(buffer, at)
            if self._received >= length:
                return self._beside.settle()
            buffer = self._beside.take()
            at = self._fill(buffer, 0, min(BUFFER_BYTES, length - self._received))

    def _read_to_mark(self, mark: bytes, rest: bytes) -> None:
        """Everything before the mark that ends the stream; what may be its beginning moves on to the next buffer."""
        buffer, at, start = self._first(rest), len(rest), 0
        while True:
            ends = buffer.endswith(mark, start, at)
            cut = at - (len(mark) if ends else _begun(buffer, at, mark))
            tail = buffer[cut:at]
            self._beside.hand(buffer, cut)
            if ends and self._is_whole():
                more = self._beyond()
                if not more:
                    return
                tail += more
            # What looked like the end is somebody's value: the search goes on behind its first byte.
            buffer, at, start = self._beside.take(), len(tail), int(ends)
            buffer[:at] = tail
            if not ends:
                at = self._fill(buffer, at, BUFFER_BYTES, mark)

    def _is_whole(self) -> bool:
        self._beside.settle()
        return self._checker.complete

    def _beyond(self) -> bytes:
        """What comes behind the mark after all. A moment is waited for it where there is no checksum: a right one is no chance."""
        until = time.monotonic() + (QUIET_SECONDS if self._checker.checksum_off else 0)
        while time.monotonic() < until:
            self._progress(self._received, self._total)
            try:
                more: bytes = self._socket.recv(4096)
            except TimeoutError:
                continue
            self._received += len(more)
            return more
        return b""


def _begun(buffer: bytearray, end: int, mark: bytes) -> int:
    """How many bytes before `end` may be the beginning of `mark`."""
    for length in range(min(end, len(mark) - 1), 0, -1):
        if buffer.startswith(mark[:length], end - length, end):
            return length
    return 0
