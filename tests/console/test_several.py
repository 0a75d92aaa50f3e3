"""Several processes of the console on one Postgres, as docs/processes.md has it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.test_serve import ROOT, Serving
from tests.postgres import RunningPostgres
from tests.servers import RunningServer
from tests.topologies import wait_until

START = """
import django; django.setup()
from keyspace.access import Actor
from keyspace.jobs import start_job
start_job(Actor(None, "tests"), "verify_audit", title="Verify the audit")
"""


class Console:
    """What all processes of one console share: a Postgres, a Redis and a data directory."""

    def __init__(self, postgres: RunningPostgres, shared: RunningServer, data: Path) -> None:
        self.postgres, self.database = postgres, postgres.make_database()
        self.data = data
        self.processes: list[Any] = []
        self.environ = {
            "DATABASE_URL": postgres.url(self.database), "CONSOLE_CHANNELS_URL": f"{shared.url}/1", "CONSOLE_CACHE_URL": f"{shared.url}/2",
            "CONSOLE_JOBS_URL": f"{shared.url}/3", "CONSOLE_ADMIN_PASSWORD": "correct horse battery", "REDIS_HOST": shared.host,
            "REDIS_PORT": str(shared.port), "REDIS_NAME": "shared",
        }  # fmt: skip

    def serve(self) -> Serving:
        serving = Serving(self.data, **self.environ)
        self.processes.append(serving.process)
        return serving

    def run(self, *command: str) -> "subprocess.Popen[str]":
        own = {"CONSOLE_DATA_DIR": str(self.data), "DJANGO_SETTINGS_MODULE": "console.settings"}
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.environ | own, text=True, stdout=subprocess.PIPE
        )
        self.processes.append(process)
        return process

    def ask(self, question: str) -> list[Any]:
        with self.postgres.connect(self.database) as connection:
            return connection.execute(question.encode()).fetchall()


@pytest.fixture
def console(
    postgres: RunningPostgres, new_server: Callable[..., RunningServer], tmp_path: Path
) -> Iterator[Console]:
    one = Console(postgres, new_server(), tmp_path / "data")
    yield one
    for process in one.processes:
        process.kill()
        process.communicate()


def test_processes_that_start_together_on_an_empty_postgres_are_one_console(console: Console) -> None:
    first, second, worker = console.serve(), console.serve(), console.run("manage.py", "work")
    for serving in (first, second):
        serving.read_start()
    said = iter(worker.stdout or ())
    assert any(line.startswith("Jobs run here") for line in said)
    assert console.ask("SELECT username FROM auth_user") == [("admin",)]

    answer = first.sign_in("admin", "correct horse battery")
    session = next(
        each for each in answer.headers.get_all("Set-Cookie") if each.startswith("keyspace_session")
    )
    page = second.get("/", Cookie=session.split(";")[0])
    assert page.status == 200 and "shared" in page.read().decode()
    assert second.get("/readyz").status == 200

    assert console.run("-c", START).wait(90) == 0
    wait_until(lambda: console.ask("SELECT state FROM keyspace_job") == [("done",)], "the job to be done")
    assert console.ask("SELECT split_part(worker, ' ', 2) FROM keyspace_job") == [(str(worker.pid),)]
    worker.terminate()
    assert worker.wait(60) == 0


def test_a_worker_without_a_queue_to_share_says_so(console: Console) -> None:
    del console.environ["CONSOLE_JOBS_URL"]
    ended = subprocess.run(
        [sys.executable, "manage.py", "work"], cwd=ROOT, capture_output=True, text=True,
        env=console.environ | {"CONSOLE_DATA_DIR": str(console.data)},
    )  # fmt: skip
    assert ended.returncode == 1 and "manage.py serve runs the jobs itself" in ended.stderr
