"""What stands around every page: the server and its state, the db, the navigation, the person and their role."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from console.actors import actor_of
from keyspace.access import Access, Permission
from keyspace.audit_check import broken_sentence
from keyspace.audit_entries import may_read_audit
from keyspace.backups.page import late_sentence, opened_backup
from keyspace.models import Server
from keyspace.server_info import State, known_state, list_dbs, state_of
from keyspace.servers import Connection, all_servers, list_servers


@dataclass(frozen=True)
class NavLine:
    label: str
    icon: str
    url: str
    active: bool
    count: int | None = None


@dataclass(frozen=True)
class Place:
    """A server as the shell shows it."""

    name: str
    environment: str
    state: str
    sample: bool
    read_only: bool
    facts: str
    url: str


# label, icon, URL name, whether it takes the db, permission. A page is offered where its permission is held.
SERVER_PAGES: tuple[tuple[str, str, str, bool, Permission], ...] = (
    ("Keys", "key-round", "keys", True, Permission.READ_KEYS),
    ("Pub/Sub", "radio", "pubsub", False, Permission.SUBSCRIBE),
    ("Backups", "archive", "backups", False, Permission.LIST_BACKUPS),
    ("Trash", "trash-2", "trash", True, Permission.READ_KEYS),
    ("Overview", "gauge", "server", False, Permission.SEE_SERVER),
)  # fmt: skip
CONSOLE_PAGES: tuple[tuple[str, str, str, Permission | None], ...] = (
    ("Servers", "server", "home", None),
    ("Access", "shield", "access", Permission.MANAGE_ACCESS),
    ("Audit", "scroll-text", "audit", Permission.READ_AUDIT),
    ("Jobs", "list-checks", "jobs", None),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    """The context processor; nothing for a fragment, or for someone who has not signed in."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.headers.get("HX-Request") == "true":
        return {"shell": None}
    return {"shell": _shell(request)}


def _shell(request: HttpRequest) -> dict[str, Any]:
    actor = actor_of(request)
    connection: Connection | None = getattr(request, "connection", None)
    everywhere = all_servers(actor).access
    servers = [_place(server, known_state(server)) for server in list_servers(actor)]
    around: dict[str, Any] = {
        "server": None, "servers": servers, "db": None, "dbs": [],
        "nav": [_console_nav(request, everywhere)], "person": actor.name, "role": everywhere.role or "",
        "audit_broken": everywhere.may(Permission.READ_AUDIT) and broken_sentence(),
    }  # fmt: skip
    if connection is not None:
        state = state_of(connection.server)
        around |= {
            "server": _place(connection.server, state), "db": connection.db, "dbs": list_dbs(connection),
            "role": connection.access.role, "backup_late": late_sentence(connection.server.name),
            "opened": opened_backup(connection.server), "frozen_at": connection.frozen_at,
        }  # fmt: skip
        around["nav"].insert(0, _server_nav(request, connection, around["dbs"]))
    around["sample"] = any(server.sample for server in servers)
    return around


def _place(server: Server, state: State) -> Place:
    url = reverse("keys", args=[server.name, server.db])
    return Place(
        server.name, server.environment, state.word, server.sample, server.read_only, state.facts, url
    )


def _is_active(request: HttpRequest, name: str) -> bool:
    """Whether this page, one of its things (`backup` of `backups`) or a partial of either is shown."""
    first = (getattr(request.resolver_match, "url_name", None) or "").partition("_")[0]
    return first in (name, name.removesuffix("s"))


def _server_nav(
    request: HttpRequest, connection: Connection, dbs: list[tuple[int, int | None]]
) -> list[NavLine]:
    lines = []
    for label, icon, name, takes_db, permission in SERVER_PAGES:
        if connection.access.may(permission):
            args = [connection.server.name, connection.db] if takes_db else [connection.server.name]
            count = dict(dbs).get(connection.db) if name == "keys" else None
            lines.append(NavLine(label, icon, reverse(name, args=args), _is_active(request, name), count))
    return lines


def _console_nav(request: HttpRequest, access: Access) -> list[NavLine]:
    return [
        NavLine(label, icon, reverse(name), _is_active(request, name))
        for label, icon, name, permission in CONSOLE_PAGES
        if permission is None
        or access.may(permission)
        or (name == "audit" and may_read_audit(actor_of(request)))
    ]
