"""Connections for reading values, as the weakest role has them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from keyspace.models import Server
from keyspace.servers import Connection
from tests.servers import RunningServer


@pytest.fixture
def connection(connection_as: Callable[..., Connection]) -> Connection:
    """A viewer's, to Valkey 9."""
    return connection_as("viewer")


@pytest.fixture
def any_connection(
    connection_as: Callable[..., Connection], make_server: Callable[..., Server], any_server: RunningServer
) -> Connection:
    """A viewer's, to each generation."""
    return connection_as("viewer", server=make_server(any_server, name=f"on-{any_server.kind}"))


@pytest.fixture
def json_connection(
    connection_as: Callable[..., Connection], make_server: Callable[..., Server], json_server: RunningServer
) -> Connection:
    """A viewer's, to a server with the JSON module."""
    return connection_as("viewer", server=make_server(json_server, name="with-json"))


@contextmanager
def commands_used(connection: Connection) -> Iterator[dict[str, tuple[int, int]]]:
    """Fills a dict with what the server ran inside the block: command -> (calls, microseconds)."""
    connection.redis.config_resetstat()
    used: dict[str, tuple[int, int]] = {}
    yield used
    told = connection.redis.info("commandstats")
    for name, stats in told.items():
        command = name.removeprefix("cmdstat_").upper()
        if not command.startswith(
            ("CONFIG|RESETSTAT", "INFO", "HELLO", "CLIENT", "COMMAND", "SELECT", "AUTH")
        ):
            used[command] = (stats["calls"], stats["usec"])
