"""Fixtures for every test: real servers, reset before each test.

server      the Valkey 9 of the session            redis       a bytes client of it
any_server  one test for each of GENERATIONS       any_redis   a bytes client of that
json_server with the JSON module                   json_redis  a bytes client of that
new_server  starts servers for this test alone     new_cluster starts clusters for this test alone
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis as redis_py

from tests.servers import GENERATIONS, RunningServer, start_server
from tests.shared_servers import shared_server
from tests.topologies import RunningCluster, start_cluster


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
