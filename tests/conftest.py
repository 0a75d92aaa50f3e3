"""Fixtures for every test: real servers, reset before each test.

server      the Valkey 9 of the session            redis       a bytes client of it
any_server  one test for each of GENERATIONS       any_redis   a bytes client of that
json_server with the JSON module                   json_redis  a bytes client of that
new_server  starts servers for this test alone     new_cluster starts clusters for this test alone
on_postgres the database of a module's tests is a Postgres
"""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py
from django.core.management import call_command
from django.db import connections

from keyspace.backups.parts import parts_directory
from tests.postgres import RunningPostgres, as_default, start_postgres
from tests.servers import GENERATIONS, RunningServer, start_server
from tests.shared_servers import shared_server
from tests.topologies import RunningCluster, start_cluster


@pytest.fixture(autouse=True)
def _nothing_half_done() -> None:
    """No test meets a part of a file that another left in the store, as a console that was killed leaves it."""
    for path in parts_directory().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.fixture
def server() -> RunningServer:
    return shared_server("valkey9")


@pytest.fixture
def redis(server: RunningServer) -> Iterator["redis_py.Redis"]:
    with server.client() as client:
        yield client


@pytest.fixture(params=GENERATIONS)
def any_server(request: pytest.FixtureRequest) -> RunningServer:
    return shared_server(request.param)


@pytest.fixture
def any_redis(any_server: RunningServer) -> Iterator["redis_py.Redis"]:
    with any_server.client() as client:
        yield client


@pytest.fixture
def json_server() -> RunningServer:
    return shared_server("valkey9", module_json=True)


@pytest.fixture
def json_redis(json_server: RunningServer) -> Iterator["redis_py.Redis"]:
    with json_server.client() as client:
        yield client


@pytest.fixture
def new_server() -> Iterator[Callable[..., RunningServer]]:
    """`new_server("redis7", tls=True)`: arguments of start_server; stopped after the test."""
    started: list[RunningServer] = []

    def start(*args: Any, **more: Any) -> RunningServer:
        started.append(start_server(*args, **more))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., RunningCluster]]:
    """`new_cluster(primaries=3)`: arguments of start_cluster; stopped after the test."""
    started: list[RunningCluster] = []

    def start(*args: Any, **more: Any) -> RunningCluster:
        started.append(start_cluster(*args, **more))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    """Started when the first test asks for it."""
    running = start_postgres()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def migrated(postgres: RunningPostgres, django_db_setup: None, django_db_blocker: Any) -> str:
    """The name of a database with all the console's tables, to be copied."""
    name = postgres.make_database()
    with django_db_blocker.unblock(), as_default(postgres.url(name)):
        call_command("migrate", verbosity=0)
    return name


@pytest.fixture(scope="module")
def on_postgres(postgres: RunningPostgres, migrated: str, django_db_blocker: Any) -> Iterator[str]:
    """For the tests of a module: `pytestmark = pytest.mark.usefixtures("on_postgres")`. Its address, as DATABASE_URL has it."""
    url = postgres.url(postgres.make_database(template=migrated))
    with as_default(url):
        yield url
        with django_db_blocker.unblock():
            connections.close_all()
