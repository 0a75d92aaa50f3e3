"""The keys page's left pane: list, tree, search in steps, counting."""

from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.actors import actor_of, connect
from console.keys.listing import FOLDERS, read_folders, read_listing, read_rows
from console.keys.query import Query, read_query
from keyspace import counts
from keyspace.access import Permission
from keyspace.bulk import copies
from keyspace.encoding import from_key_id, from_text
from keyspace.errors import BadInput
from keyspace.keys import TTL_FILTERS, TYPE_NAMES
from keyspace.models import Server
from keyspace.servers import Connection, list_servers


def pane_context(connection: Connection, query: Query) -> dict[str, Any]:
    """What `_list.html` needs; the key page shows the same pane beside the key."""
    return {
        "connection": connection, "query": query, "listing": read_listing(connection, query),
        "types": TYPE_NAMES, "ttl_filters": TTL_FILTERS,
        "may_export": connection.access.may(Permission.REVEAL_VALUES),
        "may_copy": _may_copy(connection),
        "may_restore_here": connection.server.source == Server.Source.BACKUP,
        "may_bulk": connection.access.may(Permission.BULK) and not connection.server.read_only,
        "may_create": connection.access.may(Permission.CREATE_KEYS) and not connection.server.read_only,
    }  # fmt: skip


def _may_copy(connection: Connection) -> bool:
    """Whether many keys may be copied from here to anywhere; an admin is not looked up further."""
    access = connection.access
    return access.may(Permission.REVEAL_VALUES) and (
        access.may(Permission.BULK) or bool(copies.copy_targets(connection))
    )


@require_GET
def keys(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection = connect(request, server, db)
    return render(request, "keys/page.html", pane_context(connection, read_query(request.GET)))


@require_GET
def list_(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """The pane for a new filter; the address becomes that of the page (with the open key, if one is) and this filter."""
    connection, query = connect(request, server, db), read_query(request.GET)
    response = render(request, "keys/_list.html", pane_context(connection, query))
    page = reverse("keys", args=[server, db])
    here = urlsplit(request.headers.get("HX-Current-URL", "")).path
    response["HX-Push-Url"] = (here if here.startswith(page) else page) + query.string()
    return response


@require_GET
def rows(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """One more step of a search: its rows, and what asks for the next."""
    connection, query = connect(request, server, db), read_query(request.GET)
    have = _number(request.GET.get("have", "0"))
    found = read_rows(connection, query, cursor=request.GET.get("cursor"), have=have)
    return render(request, "keys/_rows.html", {"connection": connection, "query": query, "found": found})


@require_GET
def folder(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """What is in a folder of the tree: its folders with their counts, and the keys directly in it."""
    connection, query = connect(request, server, db), read_query(request.GET)
    prefix, start = from_key_id(request.GET.get("prefix", "~")), _number(request.GET.get("start", "0"))
    count = counts.get_count(connection, separator=query.filter.separator)
    folders, more = read_folders(count, prefix, query, start=start)
    tree = count.tree if count else None
    context = {
        "connection": connection, "query": query, "count": count, "folders": folders, "more": more, "start": start + FOLDERS,
        "prefix": prefix, "parent": tree.folder(prefix) if tree else None,
    }  # fmt: skip
    return render(request, "keys/_folder.html", context)


@require_GET
def count(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """How far the counting pass is; once it is done the page asks for the tree."""
    connection, query = connect(request, server, db), read_query(request.GET)
    return _show_count(request, connection, query)


@require_POST
def start_count(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection, query = connect(request, server, db), read_query(request.GET)
    begun = counts.start_count(connection, separator=query.filter.separator)
    if begun.thread is not None:
        begun.thread.join(0.25)
    return _show_count(request, connection, query)


@require_POST
def stop_count(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection, query = connect(request, server, db), read_query(request.GET)
    counts.stop_count(connection, separator=query.filter.separator)
    return _show_count(request, connection, query)


def _show_count(request: HttpRequest, connection: Connection, query: Query) -> HttpResponse:
    count = counts.get_count(connection, separator=query.filter.separator, free=False)
    response = render(request, "keys/_count.html", {"connection": connection, "query": query, "count": count})
    if count is not None and count.tree is not None:
        response["HX-Trigger"] = "counted"
    return response


@require_GET
def jump(request: HttpRequest) -> HttpResponse:
    """Ctrl-K without JavaScript, and its last step with it: a server by name, else the exact key on the server one is at."""
    text = request.GET.get("q", "").strip()
    for known in list_servers(actor_of(request)):
        if known.name == text:
            return redirect("keys", server=known.name, db=known.db)
    server, db = request.GET.get("server", ""), request.GET.get("db", "")
    if not server or not text:
        return redirect("home")
    return redirect("key", server=server, db=_number(db or "0"), key=from_text(text))


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise BadInput("This is not a number.", "Go back and try again.")
    return int(text)
