"""The list of servers, and what one of them says of itself."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.actors import actor_of, connect, console_of
from keyspace.access import Permission
from keyspace.overview import read_overview
from keyspace.server_info import get_known_state, get_state
from keyspace.servers import list_connections


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Every server with its state as last heard; each row then asks for itself, so that none holds up the others."""
    rows = [(connection, get_known_state(connection)) for connection in list_connections(actor_of(request))]
    manages = console_of(request).access.may(Permission.MANAGE_SERVERS)
    return render(request, "servers/home.html", {"rows": rows, "manages": manages})


@require_GET
def state(request: HttpRequest, server: str) -> HttpResponse:
    """A row of the list, after a moment's patience at most; while the server has not answered it asks again."""
    connection = connect(request, server)
    context = {"connection": connection, "state": get_state(connection, patience=0.3), "asked": True}
    return render(request, "servers/_state.html", context)


@require_GET
def server(request: HttpRequest, server: str) -> HttpResponse:
    connection = connect(request, server)
    context = {
        "connection": connection, "state": get_state(connection, patience=0.3), "overview": read_overview(connection),
        "manages": console_of(request).access.may(Permission.MANAGE_SERVERS),
    }  # fmt: skip
    return render(request, "servers/server.html", context)


@require_GET
def facts(request: HttpRequest, server: str) -> HttpResponse:
    connection = connect(request, server)
    return render(
        request, "servers/_facts.html", {"connection": connection, "overview": read_overview(connection)}
    )
