"""A real Postgres for tests: thrown away at the end, on a unix socket, for one process of pytest.

    pytestmark = [pytest.mark.usefixtures("on_postgres"), pytest.mark.django_db]

makes it the database of a module's tests, with all the fixtures that others use. The whole suite runs on it with
`python -m tests.postgres python -m pytest ...`.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

_DEBIANS = "usr/lib/postgresql/*/bin/initdb"
_START_SECONDS = 90.0
_SIGNAL_AT_PARENTS_DEATH = 1
_libc = ctypes.CDLL(None, use_errno=True)
# Nothing of it has to outlive a crash, and what it takes of the machine's shared memory lies in its directory.
_SETTINGS = {
    "listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "16MB",
    "max_connections": "200", "dynamic_shared_memory_type": "mmap", "autovacuum": "off", "jit": "off",
}  # fmt: skip


def find_postgres() -> Path:
    """The directory of initdb and postgres. Raises FileNotFoundError with what to install."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/").glob(_DEBIANS), key=lambda path: float(path.parts[-3]))
    if versions:
        return versions[-1].parent
    raise FileNotFoundError("PostgreSQL's server (initdb) is not installed: apt-get install postgresql")


@dataclass
class RunningPostgres:
    directory: Path
    process: "subprocess.Popen[bytes]"

    def url(self, database: str = "postgres") -> str:
        """As DATABASE_URL has it."""
        return f"postgres://console@/{self.directory}/{database}"

    def make_database(self, *, template: str = "template1") -> str:
        """A new one; its name."""
        name = f"d{uuid.uuid4().hex}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return name

    def connect(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(host=str(self.directory), user="console", dbname=database, autocommit=True)

    def stop(self) -> None:
        """May be called twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once, and all of its processes
            self.process.wait(60)
        shutil.rmtree(self.directory, ignore_errors=True)


def start_postgres() -> RunningPostgres:
    """One that answers. Call it in the main thread: it dies with the thread that started it."""
    binaries = find_postgres()
    directory = Path(tempfile.mkdtemp(prefix=f"keyspace-{os.getpid()}-"))
    who = _somebody_else(directory)
    data, log = directory / "data", directory / "log"
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "console", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"],
        capture_output=True, cwd=directory, **who,
    )  # fmt: skip
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{made.stderr.decode(errors='replace')}")
    options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(directory), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=directory, start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()), **who,
        )  # fmt: skip
    postgres = RunningPostgres(directory, process)
    _wait_for(postgres, log)
    return postgres


def _somebody_else(directory: Path) -> dict[str, Any]:
    """Whom Postgres runs as, and the directory theirs: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _die_with_parent(parent: int) -> Any:
    def die() -> None:
        _libc.prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return die


def _wait_for(postgres: RunningPostgres, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return postgres.connect("postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline or postgres.process.poll() is not None:
                said = log.read_text(errors="replace")
                postgres.stop()
                raise RuntimeError(f"Postgres did not start:\n{said}") from None
            time.sleep(0.02)


@contextmanager
def as_default(url: str) -> Iterator[None]:
    """Make it the database of this process."""
    from django.contrib.contenttypes.models import ContentType
    from django.db import connections

    from console.settings import env

    settings, connection = connections.settings["default"], connections["default"]
    connections.settings["default"] = settings | {"OPTIONS": {}} | env.db_url_config(url)
    connections["default"] = connections.create_connection("default")
    _forget_connection_of_coroutines()
    ContentType.objects.clear_cache()
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"], connections["default"] = settings, connection
        _forget_connection_of_coroutines()
        ContentType.objects.clear_cache()


def _forget_connection_of_coroutines() -> None:
    """They have one thread for all that they do in a database, and it keeps its connection from test to test."""
    from asgiref.sync import SyncToAsync
    from django.db import connections

    def forget() -> None:
        for connection in connections.all(initialized_only=True):
            connection.close()
            del connections[connection.alias]

    SyncToAsync.single_thread_executor.submit(forget).result()


def main() -> int:
    postgres = start_postgres()
    try:
        return subprocess.call(sys.argv[1:], env=os.environ | {"CONSOLE_TEST_DATABASE_URL": postgres.url()})
    finally:
        postgres.stop()


if __name__ == "__main__":
    sys.exit(main())
