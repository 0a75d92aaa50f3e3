"""From a request to the person behind it, and to their connection to a server."""

from django.conf import settings
from django.http import HttpRequest

from keyspace.access import Actor
from keyspace.servers import AllServers, Connection, all_servers, open_connection


def client_address(meta: dict[str, str]) -> str:
    """The address of the browser: behind n trusted proxies (CONSOLE_TRUSTED_PROXIES) the n-th from the right of X-Forwarded-For."""
    hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if settings.TRUSTED_PROXIES and len(hops) >= settings.TRUSTED_PROXIES:
        return hops[-settings.TRUSTED_PROXIES][:64]
    return meta.get("REMOTE_ADDR", "")[:64]


def actor_of(request: HttpRequest) -> Actor:
    user = request.user
    return Actor(
        user, user.get_username() or "nobody", client_address(request.META), getattr(request, "id", "")
    )


def connect(request: HttpRequest, server: str, db: int | None = None) -> Connection:
    """The person's connection to a db of a server; kept on the request, so that the shell around the page knows where it is."""
    connection = open_connection(actor_of(request), server, db)
    request.connection = connection  # type: ignore[attr-defined]
    return connection


def console_of(request: HttpRequest) -> AllServers:
    """The person at the console itself, for what concerns no single server."""
    return all_servers(actor_of(request))
