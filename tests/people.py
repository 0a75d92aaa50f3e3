"""Fixtures of people: who they are, what they may do, and their connections and browsers.

server_row      a Server row called "test" for the session's Valkey 9
viewer operator admin nobody
                users; the first two have a grant on server_row, the admin on all servers, nobody none
viewer_client operator_client admin_client nobody_client
                Django test clients in which they signed in; `client` is a stranger's
make_person     adds a user with a grant
make_server     adds a row for a running server
connection_as   a Connection by role
console_as      an AllServers by role
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from keyspace import counts, server_info, servers
from keyspace.access import Actor
from keyspace.models import AuditChain, Grant, Server
from keyspace.servers import AllServers, Connection, all_servers, open_connection
from tests.servers import RunningServer

PASSWORD = "correct horse battery"
_TRANSACTIONAL = {"transactional_db", "live_server", "django_db_serialized_rollback"}


@pytest.fixture(autouse=True)
def _audit_lets_the_flush_through(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test with real transactions ends with a flush, which the audit's triggers refuse beyond the
    anchor: move it to the end.
    """
    marker = request.node.get_closest_marker("django_db")
    if not (marker and marker.kwargs.get("transaction")) and not _TRANSACTIONAL & set(request.fixturenames):
        yield
        return
    request.getfixturevalue("db")
    yield
    AuditChain.objects.update_or_create(pk=1, defaults={"anchor_id": 2**62})


@pytest.fixture(autouse=True)
def _nothing_known_of_servers() -> Iterator[None]:
    """The console remembers states, abilities and clients of servers; no test inherits them."""
    yield
    server_info.forget_states()
    servers.forget_abilities()
    servers.forget_clients()
    counts.forget_counts()


@pytest.fixture
def make_server(db: None) -> Callable[..., Server]:
    """`make_server(running, name="other", **fields of Server)`; over TCP."""

    def make(running: RunningServer, name: str = "test", **fields: Any) -> Server:
        row = Server(name=name, **({"host": running.host, "port": running.port} | fields))
        row.save()
        return row

    return make


@pytest.fixture
def server_row(make_server: Callable[..., Server], server: RunningServer) -> Server:
    return make_server(server)


@pytest.fixture
def make_person(db: None) -> Callable[..., Any]:
    """`make_person("ana", "viewer", server=row, patterns=["session:*"])`; a server of None means all, a
    role of None no grant.
    """

    def make(name: str, role: str | None = None, *, server: Server | None = None, **grant: list[str]) -> Any:
        user = get_user_model().objects.create_user(name, password=PASSWORD)
        if role is not None:
            Grant.objects.create(user=user, role=role, server=server, **grant)
        return user

    return make


@pytest.fixture
def viewer(make_person: Callable[..., Any], server_row: Server) -> Any:
    return make_person("viewer", "viewer", server=server_row)


@pytest.fixture
def operator(make_person: Callable[..., Any], server_row: Server) -> Any:
    return make_person("operator", "operator", server=server_row)


@pytest.fixture
def admin(make_person: Callable[..., Any]) -> Any:
    return make_person("admin", "admin")


@pytest.fixture
def nobody(make_person: Callable[..., Any]) -> Any:
    return make_person("nobody")


def sign_in(user: Any) -> Client:
    """A browser in which `user` has signed in."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def viewer_client(viewer: Any) -> Client:
    return sign_in(viewer)


@pytest.fixture
def operator_client(operator: Any) -> Client:
    return sign_in(operator)


@pytest.fixture
def admin_client(admin: Any, server_row: Server) -> Client:
    return sign_in(admin)


@pytest.fixture
def nobody_client(nobody: Any, server_row: Server) -> Client:
    return sign_in(nobody)


@pytest.fixture
def connection_as(
    make_person: Callable[..., Any], request: pytest.FixtureRequest
) -> Callable[..., Connection]:
    """`connection_as("viewer", patterns=["a:*"], channels=[], masks=[], db=0, server=row)`: a new person's
    connection to a server.

    The server is `server_row` unless another row is given; the grant is on that server alone, an
    admin's on all.
    """
    made: list[Connection] = []

    def connect(role: str, *, db: int = 0, server: Server | None = None, **grant: list[str]) -> Connection:
        row = server or request.getfixturevalue("server_row")
        name = f"{role}-{len(made) + 1}"
        user = make_person(name, role, server=None if role == "admin" else row, **grant)
        made.append(open_connection(Actor(user, name, "10.1.2.3", "request-1"), row.name, db))
        return made[-1]

    return connect


@pytest.fixture
def console_as(make_person: Callable[..., Any]) -> Callable[..., AllServers]:
    """`console_as("admin")`: a new person at the console itself, with a grant on all servers."""

    def console(role: str | None) -> AllServers:
        name = f"console-{role or 'nobody'}"
        return all_servers(Actor(make_person(name, role), name, "10.1.2.3", "request-1"))

    return console
