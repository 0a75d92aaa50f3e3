"""The console is killed with -9 in the middle of a backup: it is marked, nothing is left that looks like one, the next one works."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection as database

from keyspace import job_worker
from keyspace.backups import making, store
from keyspace.models import Backup
from tests.keyspace.backups.test_restoring import back_up
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[3]
KEYS = 30_000
WORK = """
import os, sys, uuid
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from pathlib import Path
from django.conf import settings
from django.db import connections
settings.DATA_DIR = Path(sys.argv[2])
connections["default"].close()
connections["default"].settings_dict["NAME"] = sys.argv[1]
from keyspace import job_worker
from keyspace.backups import store
from tests import steady
write = store.Part._write_all
def slowly(part, view):
    write(part, view)
    steady.time.sleep(float(sys.argv[4]))
if len(sys.argv) > 4:
    store.Part._write_all = slowly
job_worker.run_job(uuid.UUID(sys.argv[3]))
"""


def written() -> int:
    return sum(path.stat().st_size for path in store.parts_directory().iterdir() if path.is_file())


@pytest.mark.parametrize("kind", ["pull", "export"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_console_killed(
    kind: str,
    share: float,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    connection_as: Callable[..., Any],
) -> None:
    server = new_server("valkey9")
    with server.client() as client:
        client.execute_command("DEBUG", "POPULATE", KEYS, "k", 1000)
        client.config_set("rdbcompression", "no")
        # A save of so many keys takes seconds, and its stream comes piece by piece.
        client.config_set("rdb-key-save-delay", 100 if kind == "pull" else 0)
    connection = connection_as("admin", server=make_server(server))
    for path in store.parts_directory().iterdir():
        path.unlink()
    backup = making.begin_backup(connection, kind)
    assert backup.job is not None
    arguments = [
        sys.executable,
        "-c",
        WORK,
        str(database.settings_dict["NAME"]),
        str(django_settings.DATA_DIR),
        str(backup.job.pk),
        "0" if kind == "pull" else "0.5",  # seconds after each write
    ]
    process = subprocess.Popen(arguments, cwd=ROOT)
    whole = KEYS * 1000 if kind == "pull" else 100_000
    try:
        while written() < whole * share and process.poll() is None:
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    job_worker.recover_jobs()
    backup.refresh_from_db()
    if backup.state == Backup.State.INTERRUPTED:
        assert backup.files == []
    else:  # it had been whole already; what was killed was its verification
        assert (backup.state, share) in ((Backup.State.WHOLE, 0.99), (Backup.State.LOADED, 0.99))
        assert (store.directory() / backup.files[0]["name"]).is_file()
    assert list(store.parts_directory().iterdir()) == []
    with server.client() as client:
        client.config_set("rdb-key-save-delay", 0)
    assert back_up(connection, kind).state == "loaded"
