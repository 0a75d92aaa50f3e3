"""Servers that admins add, change and remove; their passwords and keys go in and are never shown again."""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, fields

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction

from keyspace.access import Permission, performs
from keyspace.audit import tell
from keyspace.endpoints import Checked, check_endpoint
from keyspace.errors import BadInput, Conflict, NotFound
from keyspace.grants import on_access_changed
from keyspace.models import Server
from keyspace.servers import CONFIGURED_SOURCES, AllServers, endpoint_of

_SECRETS = ("password", "client_key")


@dataclass(frozen=True)
class Settings:
    """What is stored of a server. A secret of None keeps the one that is stored, an empty one takes it away."""

    environment: str = ""
    read_only: bool = False
    host: str = "127.0.0.1"
    port: int = 6379
    socket: str = ""
    db: int = 0
    username: str = ""
    password: str | None = None
    tls: bool = False
    tls_check_hostname: bool = True
    ca_cert: str = ""
    client_cert: str = ""
    client_key: str | None = None

    def __repr__(self) -> str:
        return f"Settings({self.socket or f'{self.host}:{self.port}'})"


@performs(Permission.MANAGE_SERVERS, audited=False)
def check_may_manage(console: AllServers) -> None:
    """Before a form is shown: Denied for those who could not send it."""


@performs(Permission.MANAGE_SERVERS, audited=False)
def get_server(console: AllServers, *, server_name: str) -> Server:
    """The row of any server, configured ones too. Raises NotFound."""
    server = Server.objects.filter(name=server_name).first()
    if server is None:
        raise NotFound(f"There is no server {server_name[:64]}.", "It may have been removed meanwhile.")
    return server


def is_configured(server: Server) -> bool:
    """Whether its settings come from outside, where alone they can be changed."""
    return server.source in CONFIGURED_SOURCES


@performs(Permission.MANAGE_SERVERS)
def add_server(console: AllServers, *, server_name: str, settings: Settings) -> Server:
    """Store a server under a new name. Raises BadInput for what cannot be used, Conflict for a name that is taken."""
    tell(added=server_name, address=_address(settings))
    if Server.objects.filter(name=server_name).exists():
        raise Conflict(f"A server called {server_name[:64]} exists already.", "Choose another name.")
    server = Server(name=server_name)
    _apply(server, settings)
    server.save()
    return server


@performs(Permission.MANAGE_SERVERS)
def change_server(console: AllServers, *, server_name: str, settings: Settings) -> Server:
    server = _stored(console, server_name)
    before = {name: getattr(server, name) for name in _plain_names()}
    _apply(server, settings)
    changed = sorted(name for name, value in before.items() if getattr(server, name) != value)
    secrets = [name for name in _SECRETS if getattr(settings, name) is not None]
    tell(changed=server_name, address=_address(settings), fields=changed + secrets)
    server.save()
    return server


@performs(Permission.MANAGE_SERVERS)
def remove_server(console: AllServers, *, server_name: str) -> None:
    """Forget a server and the grants on it; nothing happens to the server itself."""
    server = _stored(console, server_name)
    tell(removed=server_name, grants=server.grants.count())
    users = frozenset(get_user_model().objects.values_list("pk", flat=True))
    with transaction.atomic():
        server.delete()
    on_access_changed.send(sender=None, user_ids=users)


@performs(Permission.MANAGE_SERVERS, audited=False)
def check_settings(console: AllServers, *, settings: Settings, server_name: str = "") -> Checked:
    """Try settings before they are stored, for 3 s at most. Raises the Problem that says in words what is wrong.

    With the name of a stored server, secrets of None are the ones that are stored.
    """
    server = Server(name="new")
    if server_name:
        server = get_server(console, server_name=server_name)
    if not is_configured(server):
        _apply(server, settings)
    return check_endpoint(endpoint_of(server), db=server.db)


def _stored(console: AllServers, server_name: str) -> Server:
    server = get_server(console, server_name=server_name)
    if server.source != Server.Source.STORED:
        where = Server.Source(server.source).label
        raise Conflict(
            f"{server.name} is configured by {where}; it was not changed.",
            "Change it there and restart the console.",
        )
    return server


def _address(settings: Settings) -> str:
    return settings.socket or f"{settings.host}:{settings.port}"


def _plain_names() -> Iterable[str]:
    return [field.name for field in fields(Settings) if field.name not in _SECRETS]


def _apply(server: Server, settings: Settings) -> None:
    """Put `settings` on the row, not yet saved. Raises BadInput."""
    for name in _plain_names():
        setattr(server, name, getattr(settings, name))
    for name in _SECRETS:
        if getattr(settings, name) is not None:
            setattr(server, name, getattr(settings, name))
    problems = find_faults(settings, client_key=server.client_key)
    try:
        server.full_clean(validate_unique=False)
    except ValidationError as error:
        problems |= {field: messages[0] for field, messages in error.message_dict.items()}
    if problems:
        field, message = next(iter(problems.items()))
        raise BadInput(f"{field}: {message}", "Nothing was stored.")


def find_faults(settings: Settings, *, client_key: str) -> dict[str, str]:
    """Field -> what is wrong with it, beyond what the model's own fields say; `client_key` is the one that would be used."""
    faults: dict[str, str] = {}
    if not settings.socket and not settings.host.strip():
        faults["host"] = "A host, or the path of a unix socket."
    if not 1 <= settings.port <= 65535:
        faults["port"] = "A port is a number from 1 to 65535."
    if settings.ca_cert and not _is_ca(settings.ca_cert):
        faults["ca_cert"] = "This is not a certificate in PEM form."
    if settings.client_cert:
        faults |= _client_faults(settings.client_cert, client_key)
    return faults


def _is_ca(pem: str) -> bool:
    try:
        ssl.create_default_context().load_verify_locations(cadata=pem)
        return True
    except (ssl.SSLError, ValueError):
        return False


def _client_faults(certificate: str, key: str) -> dict[str, str]:
    """A client certificate needs the private key that belongs to it, in PEM form and without a passphrase."""
    try:
        ours = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except ValueError:
        return {"client_cert": "This is not a certificate in PEM form."}
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):
        return {
            "client_key": "The client certificate needs its private key, in PEM form and without a passphrase."
        }
    if private.public_key() != ours:
        return {"client_key": "This private key does not belong to the client certificate."}
    return {}
