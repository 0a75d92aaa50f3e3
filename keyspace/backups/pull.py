"""Pulling an RDB over the replication link, as a replica would for its first sync.

REPLCONF (one at a time, each answered), then SYNC; the answer is keep-alives (``\\n``), then ``$<length>`` and that many bytes, or
``$EOF:<40 bytes>`` and a stream that ends with those 40 bytes. The mark repeats between syncs of one run of the server, so it may stand
in a value: it ends the stream only where the bytes before it are a whole RDB.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from keyspace.backups.rdb import Damaged, RdbChecker, RdbHead
from keyspace.errors import Unavailable
from keyspace.servers import Endpoint, open_client

_BUFFER = 1024 * 1024
_ENOUGH = _BUFFER // 2
_LOOK_SECONDS = 0.5
SILENT_SECONDS = 60.0
Progress = Callable[[int, int | None], None]


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
    what it raises ends the pull.

    `version` is the server's own, which chooses the format. Raises redis-py's errors when the server refuses, Damaged for a stream
    that is not a whole RDB, Unavailable when it falls silent.
    """
    client = open_client(endpoint, protocol=2, socket_timeout=max(endpoint.timeout, 10))
    connection: Any = client.connection_pool.make_connection()
    try:
        connection.connect()
        _introduce(connection, version)
        return _Stream(connection._sock, write, progress).receive()
    except OSError as error:
        raise redis.ConnectionError("The connection broke") from error
    finally:
        connection.disconnect()
        client.close()


def _introduce(connection: Any, version: str) -> None:
    """Say what we can read. A server that does not know a word of it says so, and goes on."""
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
    """The answer to SYNC."""

    def __init__(
        self, socket: Any, write: Callable[["bytes | memoryview"], None], progress: Progress
    ) -> None:
        self._socket, self._write, self._progress = socket, write, progress
        self._checker = RdbChecker()
        self._buffer = memoryview(bytearray(_BUFFER))
        self._began = time.monotonic()
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
        got = b""
        while True:
            got = (got + bytes(self._receive())).lstrip(b"\n")
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

    def _receive(self) -> memoryview:
        """Some bytes, as many as come at once: a server writes in small pieces.

        Calls `progress` while it waits, so that a cancel is heard. Raises Unavailable for silence, Damaged when the server hangs up.
        """
        silent = time.monotonic()
        while True:
            self._progress(self._checker.size, self._total)
            try:
                count = self._socket.recv_into(self._buffer)
            except TimeoutError:
                if time.monotonic() - silent > SILENT_SECONDS:
                    raise Unavailable(
                        "The server stopped sending in the middle of the pull.",
                        "It may be overloaded; try again.",
                    ) from None
                continue
            if not count:
                raise Damaged(
                    f"the server closed the connection after {self._checker.size} bytes", self._checker.size
                )
            return self._buffer[: self._fill(count)]

    def _fill(self, count: int) -> int:
        """Read on until the buffer is well filled; the end of the stream, or a pause, ends it sooner."""
        while count < _ENOUGH:
            try:
                more = self._socket.recv_into(self._buffer[count:])
            except TimeoutError:
                break
            if not more:
                break  # the next read says so again
            count += more
        return count

    def _take(self, data: "bytes | memoryview") -> None:
        self._checker.feed(data)
        self._write(data)

    def _read_length(self, length: int, rest: bytes) -> None:
        self._total = length
        self._take(rest[:length])
        while self._checker.size < length:
            self._take(self._receive()[: length - self._checker.size])

    def _read_to_mark(self, mark: bytes, rest: bytes) -> None:
        """Everything before the mark that ends the stream; up to 40 bytes stay back until it is known that they are not it."""
        held = rest
        while True:
            at = held.find(mark)
            while at >= 0:
                self._take(held[:at])
                if self._checker.complete:
                    return
                self._take(held[at : at + 1])  # these 40 bytes are somebody's value
                held = held[at + 1 :]
                at = held.find(mark)
            keep = _begun(held, mark)
            self._take(held[: len(held) - keep])
            held = held[len(held) - keep :] + bytes(self._receive())


def _begun(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of `mark`."""
    for length in range(min(len(data), len(mark) - 1), 0, -1):
        if mark.startswith(data[-length:]):
            return length
    return 0
