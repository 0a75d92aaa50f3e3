"""From a Server to a client: the only place that opens connections to Redis."""

import contextlib
import functools
import os
import threading
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from django.db.models import Q
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from keyspace.access import Access, Actor, rights_of
from keyspace.errors import BadInput, NotFound
from keyspace.frozen import FrozenClient
from keyspace.models import Grant, OpenBackup, Server

Client = redis.Redis
CONFIGURED_SOURCES = (Server.Source.ENVIRONMENT, Server.Source.FILE, Server.Source.SAMPLE)


@dataclass(frozen=True)
class Endpoint:
    """How to reach a server. Certificates are PEM text; `timeout` and `connect_timeout` are seconds."""

    host: str = "127.0.0.1"
    port: int = 6379
    socket: str = ""
    username: str = ""
    password: str = ""
    tls: bool = False
    tls_check_hostname: bool = True
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str = ""
    timeout: float = 5.0
    connect_timeout: float = 2.0

    def __repr__(self) -> str:
        return f"Endpoint({self.address})"

    @property
    def address(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


def endpoint_of(server: Server) -> Endpoint:
    """Where `server` is; for one configured outside, what the configuration says now."""
    if server.source in CONFIGURED_SOURCES:
        configured = settings.CONFIGURED_SERVERS.get(server.name)
        if configured is None:
            raise NotFound(
                f"{server.name} is no longer configured.",
                "It was in the environment or in the file of CONSOLE_SERVERS.",
            )
        fields = Endpoint.__dataclass_fields__
        return Endpoint(**{name: value for name, value in configured.items() if name in fields})
    return Endpoint(
        server.host, server.port, server.socket, server.username, server.password, server.tls,
        server.tls_check_hostname, server.ca_cert, server.client_cert, server.client_key,
    )  # fmt: skip


def connection_options(endpoint: Endpoint) -> dict[str, Any]:
    """Keyword arguments for a redis-py client, sync or async, but `db`. A command is sent once: no retries."""
    options: dict[str, Any] = {
        "username": endpoint.username or None, "password": endpoint.password or None,
        "socket_timeout": endpoint.timeout, "socket_connect_timeout": endpoint.connect_timeout,
        "client_name": "keyspace-console", "driver_info": None, "retry": Retry(NoBackoff(), 0),
    }  # fmt: skip
    if endpoint.socket:
        return options | {"unix_socket_path": endpoint.socket}
    options |= {"host": endpoint.host, "port": endpoint.port, "socket_keepalive": True}
    if endpoint.tls:
        options |= {
            "ssl": True,
            "ssl_check_hostname": endpoint.tls_check_hostname,
            "ssl_ca_data": endpoint.ca_cert or None,
        }
        if endpoint.client_cert:
            options["ssl_certfile"] = _pem_path(endpoint.client_cert)
            options["ssl_keyfile"] = _pem_path(endpoint.client_key)
    return options


@functools.lru_cache(maxsize=256)
def _pem_path(pem: str) -> str:
    """A path that OpenSSL can read `pem` from, in memory only: key material never reaches a disk."""
    descriptor = os.memfd_create("pem")
    os.write(descriptor, pem.encode())
    return f"/proc/self/fd/{descriptor}"


def open_client(endpoint: Endpoint, *, db: int = 0, kind: type[Client] = Client, **more: Any) -> Client:
    """A client of bytes for `endpoint` with a pool of its own, whose reading leaves the keys' idle times alone."""
    options = connection_options(endpoint) | {"db": db, "redis_connect_func": _touch_nothing} | more
    return kind(**options, maint_notifications_config=MaintNotificationsConfig(enabled=False))


def _touch_nothing(connection: Any) -> None:
    """CLIENT NO-TOUCH (7.2 and later): or looking at keys would decide which of them are evicted."""
    connection.on_connect()
    version = (connection.handshake_metadata or {}).get(b"version", b"0").split(b".")
    if [int(part) for part in version[:2] if part.isdigit()] >= [7, 2]:
        connection.send_command("CLIENT", "NO-TOUCH", "ON", check_health=False)
        with contextlib.suppress(redis.ResponseError):
            connection.read_response()


_clients: dict[tuple[str, str, int], Client] = {}
_clients_lock = threading.Lock()


def client_of(server: Server, *, db: int = 0) -> Client:
    """The process's shared client for a db of a server; made anew when the server's settings have changed."""
    endpoint = endpoint_of(server)
    key = (server.name, str(hash(endpoint)), db)
    with _clients_lock:
        client = _clients.get(key)
        if client is None:
            for old in [old for old in _clients if old[0] == server.name and old[1] != key[1]]:
                _clients.pop(old).close()
            client = _clients[key] = _open_shared(server, endpoint, db)
        return client


def _open_shared(server: Server, endpoint: Endpoint, db: int) -> Client:
    """The client of a server; that of an opened backup shows it as of its moment."""
    if server.source != Server.Source.BACKUP:
        return open_client(endpoint, db=db, max_connections=64)
    opened = OpenBackup.objects.filter(row=server).first()
    more = {"frozen_at": opened.frozen_at if opened else 0, "redis_connect_func": as_import_source}
    return open_client(endpoint, db=db, kind=FrozenClient, max_connections=64, **more)


def as_import_source(connection: Any) -> None:
    """What a connection to an opened backup says first: its keys are shown as of the backup, also those that have expired since."""
    connection.on_connect()
    connection.send_command("CLIENT", "IMPORT-SOURCE", "ON")
    try:
        connection.read_response()
    except redis.ResponseError:
        return  # a scratch server of another family: it hides what has expired


def forget_clients() -> None:
    """Close every shared client: before the process ends, or between tests."""
    with _clients_lock:
        while _clients:
            _clients.popitem()[1].close()


@dataclass(frozen=True)
class Connection:
    """A person at a db of a server."""

    actor: Actor
    server: Server
    db: int
    access: Access

    @property
    def redis(self) -> Client:
        return client_of(self.server, db=self.db)

    @property
    def frozen_at(self) -> int | None:
        """Where the server is an opened backup: the moment (Unix ms) as of which it tells TTLs. None: its clock goes on."""
        client = self.redis if self.server.source == Server.Source.BACKUP else None
        return client.frozen_at if isinstance(client, FrozenClient) else None

    def supports(self, command: str) -> bool:
        """Whether the server knows `command` (asked once through COMMAND INFO; a refusal counts as no)."""
        return _supports(self, command)


_abilities: dict[tuple[Endpoint, str], bool] = {}


def _supports(connection: Connection, command: str) -> bool:
    key = (endpoint_of(connection.server), command.upper())
    if key not in _abilities:
        try:
            # As one word: the client's callback for COMMAND fails on a command that the server does not know.
            _abilities[key] = any(connection.redis.execute_command("COMMAND INFO", key[1]) or [])
        except redis.ResponseError:
            return False
    return _abilities[key]


def forget_abilities() -> None:
    """Ask servers anew what they support: after an upgrade, or between tests."""
    _abilities.clear()


@dataclass(frozen=True)
class AllServers:
    """A person at the console itself: what concerns no single server needs a grant on all of them."""

    actor: Actor
    access: Access
    server: None = None
    db: None = None


def grants_of(actor: Actor) -> Any:
    """The rows of what the person holds, their own and their groups'."""
    user = actor.user
    if user is None or not user.is_authenticated or not user.is_active:
        return Grant.objects.none()
    return Grant.objects.filter(Q(user=user) | Q(group__in=user.groups.all())).distinct()


def access_to(actor: Actor, server: Server) -> Access:
    """What the grants of the person on `server`, and on all servers, add up to."""
    return rights_of(grants_of(actor).filter(Q(server=server) | Q(server=None)))


def all_servers(actor: Actor) -> AllServers:
    """The subject of services that concern the console itself."""
    return AllServers(actor, rights_of(grants_of(actor).filter(server=None)))


def list_servers(actor: Actor) -> list[Server]:
    """The servers the person has any grant on, by name."""
    grants = list(grants_of(actor))
    gone = Q(source__in=CONFIGURED_SOURCES) & ~Q(name__in=settings.CONFIGURED_SERVERS)
    servers = Server.objects.exclude(gone)
    if any(grant.server_id is None for grant in grants):
        return list(servers)
    return list(servers.filter(pk__in={grant.server_id for grant in grants}))


def list_connections(actor: Actor) -> list[Connection]:
    """A connection to every server the person has a grant on, by name; three queries however many there are."""
    grants = list(grants_of(actor))
    return [
        Connection(actor, server, server.db, rights_of(g for g in grants if g.server_id in (None, server.pk)))
        for server in list_servers(actor)
    ]


def open_connection(actor: Actor, server_name: str, db: int | None = None) -> Connection:
    """The person's connection to a db (the server's first choice when None). Raises NotFound without a grant."""
    server = Server.objects.filter(name=server_name).first()
    access = access_to(actor, server) if server else Access()
    if server is None or not access.rights:
        raise NotFound(
            f"There is no server {server_name[:64]} for you.",
            "Choose one from the list, or ask an admin for a grant.",
        )
    if db is not None and not 0 <= db < 1_000_000:
        raise BadInput("This is not a db number.", "Choose a db from the list.")
    return Connection(actor, server, server.db if db is None else db, access)
