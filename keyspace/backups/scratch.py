"""Scratch servers: a server of ours that loads a backup to prove it, or to be read; nothing of it outlives its use.

It loads as a replica of nobody, so that keys whose time came meanwhile stay; in Valkey's import mode a client that says CLIENT
IMPORT-SOURCE ON also reads them, with the original PEXPIRETIME: the backup as of its moment.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from django.conf import settings

from keyspace.backups.rdb import Damaged
from keyspace.children import Process, birth_of, end_child, spawn
from keyspace.embedded import LONGEST_SOCKET_PATH, find_binary
from keyspace.errors import Unavailable
from keyspace.servers import Client, Endpoint, as_import_source, open_client

DATABASES = 1024
_LOOK_SECONDS = 0.01
_TELL_SECONDS = 0.4
_START_SECONDS = 3600.0
_RESERVE_BYTES = 128 * 1024 * 1024
Progress = Callable[[int, int | None], None]
_SILENT: Progress = lambda done, total: None  # noqa: E731
_FOREIGN = ("can't handle rdb format", "module data i can't load", "no matching module", "rdb format version")


class NotReadable(Exception):
    """No server binary here reads this file; the message is the reason in words. The file itself may be whole."""


@dataclass
class Scratch:
    """A running scratch server; `stop` it."""

    directory: Path
    process: Process
    frozen: bool
    _clients: dict[int, Client] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        return self.directory / "s"

    @property
    def born(self) -> str:
        return birth_of(self.process.pid)

    def client(self, db: int = 0) -> Client:
        """A client that reads keys whose time has come, where the server can show them."""
        if db not in self._clients:
            hook: dict[str, Any] = {"redis_connect_func": as_import_source} if self.frozen else {}
            self._clients[db] = open_client(Endpoint(socket=str(self.socket), timeout=120), db=db, **hook)
        return self._clients[db]

    def counts(self) -> dict[int, tuple[int, int]]:
        """db -> keys, and how many of them have a TTL."""
        info = self.client().info("keyspace")
        return {int(name[2:]): (facts["keys"], facts["expires"]) for name, facts in info.items()}

    def stop(self) -> None:
        for client in self._clients.values():
            client.close()
        end_child(self.process, seconds=5)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def binaries() -> list[Path]:
    """The embedded server, then those of SCRATCH_BINARIES for formats it cannot read."""
    return [find_binary(), *(Path(path) for path in getattr(settings, "SCRATCH_BINARIES", []))]


def scratch_root() -> Path:
    place = Path(settings.DATA_DIR) / "scratch"
    if len(os.fsencode(place.absolute())) > LONGEST_SOCKET_PATH - 24:
        place = Path(tempfile.gettempdir()) / f"keyspace-scratch-{os.getuid()}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def start_scratch(
    file: Path | None = None,
    *,
    progress: Progress = _SILENT,
    used_memory: int = 0,
    distrust: bool = False,
    frozen: bool = True,
    among: Sequence[Path] | None = None,
) -> Scratch:
    """A server that has loaded `file` (an RDB), or is empty. `frozen`: TTLs stand still as of the file.

    `used_memory` is what the file's server needed (bytes), refused when this machine has not got it free; `distrust` has every
    value of the file checked in depth. `among` are the binaries to try: all of them by default. `progress` gets
    loaded bytes and all bytes; what it raises ends the load.
    Raises Damaged, NotReadable, Unavailable.
    """
    _refuse_too_big(used_memory)
    reasons = []
    for binary in among or binaries():
        try:
            return _start(binary, file, progress, distrust=distrust, frozen=frozen)
        except NotReadable as error:
            reasons.append(str(error))
    raise NotReadable(reasons[0])


def _refuse_too_big(used_memory: int) -> None:
    free = available_memory()
    limit = min(free - _RESERVE_BYTES, int(getattr(settings, "SCRATCH_MEMORY", 0)) or free)
    if used_memory > limit:
        raise NotReadable(
            f"it needs about {used_memory / 1e6:.0f} MB of memory and {max(0, limit) / 1e6:.0f} MB may be used here"
        )


def available_memory() -> int:
    """Bytes that may be taken without swapping; a lot where the system does not tell."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else 1 << 40


def _start(binary: Path, file: Path | None, progress: Progress, *, distrust: bool, frozen: bool) -> Scratch:
    directory = Path(tempfile.mkdtemp(prefix="s", dir=scratch_root()))
    valkey = "valkey" in binary.name
    options = {
        "port": "0", "unixsocket": str(directory / "s"), "unixsocketperm": "700", "dir": str(directory), "save": "", "appendonly": "no",
        "databases": str(DATABASES), "dbfilename": "backup.rdb", "sanitize-dump-payload": "yes" if distrust else "no",
        "stop-writes-on-bgsave-error": "no", "enable-debug-command": "local", "logfile": "",
    }  # fmt: skip
    options |= {"replicaof": "127.0.0.1 1"} if frozen else {}
    options |= {"import-mode": "yes"} if valkey and frozen else {}
    if file is not None:
        (directory / "backup.rdb").symlink_to(file.absolute())
    words = [
        word
        for name, value in options.items()
        for word in (f"--{name}", *(value.split() if name == "replicaof" else [value]))
    ]
    scratch = Scratch(
        directory, spawn([binary, *words], directory=directory, log=directory / "log"), valkey and frozen
    )
    try:
        _await(scratch, progress)
        if scratch.frozen:
            scratch.client().execute_command("REPLICAOF", "NO", "ONE")
        elif frozen:  # not a Valkey: it stays a replica, takes an export, and nothing expires of itself
            scratch.client().config_set("replica-read-only", "no")
            scratch.client().execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        return scratch
    except BaseException:
        scratch.stop()
        raise


def _await(scratch: Scratch, progress: Progress) -> None:
    began = told = time.monotonic()
    with open_client(Endpoint(socket=str(scratch.socket), timeout=30)) as client:
        while time.monotonic() - began < _START_SECONDS:
            if scratch.process.poll() is not None:
                raise _why_ended((scratch.directory / "log").read_text(errors="replace"))
            try:
                client.ping()
                watch_memory(scratch.process.pid)  # a quick load may end between two looks
                return
            except redis.BusyLoadingError:
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    _tell(client, progress)
                watch_memory(scratch.process.pid)
            except redis.RedisError:
                pass
            time.sleep(_LOOK_SECONDS)
    raise Unavailable("The scratch server did not come up in an hour.")


def _tell(client: Client, progress: Progress) -> None:
    with contextlib.suppress(redis.RedisError):
        info = client.info("persistence")
        progress(int(info.get("loading_loaded_bytes", 0)), int(info.get("loading_total_bytes", 0)) or None)


def watch_memory(pid: int) -> None:
    """A file can claim to be small: stop before the machine swaps. Raises NotReadable."""
    limit = int(getattr(settings, "SCRATCH_MEMORY", 0))
    used = _resident(pid)
    if available_memory() < _RESERVE_BYTES or (limit and used > limit):
        raise NotReadable(f"it needs more memory than may be used here ({used / 1e6:.0f} MB were taken)")


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def _why_ended(log: str) -> Exception:
    """From the server's last words: a file it does not understand, or one that is damaged, and where."""
    said = [
        line.partition(" # ")[2] or line.partition(" * ")[2] or line
        for line in log.splitlines()
        if line.strip()
    ]
    for line in said:
        if any(words in line.lower() for words in _FOREIGN):
            return NotReadable(f"the server here cannot read it: {line.strip().rstrip('.')}"[:300])
    telling = [line for line in said if "RDB reading" in line or "CRC error" in line or "hort read" in line]
    reason = (
        telling[0]
        if telling
        else "it crashed on it"
        if "STACK TRACE" in log
        else said[-1]
        if said
        else "it said nothing"
    )
    return Damaged(f"a server could not load it: {_plain(reason)}"[:300])


def _plain(words: str) -> str:
    """`Internal error in RDB reading offset 0, function at rdb.c:2986 -> Invalid LZF` as `Invalid LZF`."""
    return words.rpartition(" -> ")[2].strip().rstrip(".")


def find_damage(file: Path) -> int | None:
    """The offset at which the embedded server's own checker stumbles; None when it does not say."""
    words = ["valkey-check-rdb", str(file)]
    try:
        asked = subprocess.run(words, executable=find_binary(), capture_output=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        return None
    found = re.findall(rb"\[offset (\d+)\]", asked.stdout)
    return int(found[-1]) if found and b"ERROR" in asked.stdout else None


@contextlib.contextmanager
def scratch_of(file: Path | None = None, **options: Any) -> Iterator[Scratch]:
    """`start_scratch` for the length of a block."""
    scratch = start_scratch(file, **options)
    try:
        yield scratch
    finally:
        scratch.stop()


def remove_leftovers() -> None:
    """Remove directories of scratch servers whose console died; the servers ended with it."""
    for place in scratch_root().glob("s*"):
        with contextlib.suppress(OSError):
            if not (place / "s").exists() and time.time() - place.stat().st_mtime > 60:
                shutil.rmtree(place, ignore_errors=True)
