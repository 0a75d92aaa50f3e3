"""The right pane: one key, its facts and its value page by page."""

import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from console.keys.query import Query, read_query
from console.keys.views import pane_context
from console.streams import begun, send_chunks
from keyspace import values
from keyspace.access import Permission
from keyspace.decoders import decode_value
from keyspace.encoding import from_key_id, key_id, to_text
from keyspace.errors import Problem, explain
from keyspace.servers import Connection


def key_context(connection: Connection, name: bytes, request: HttpRequest, query: Query) -> dict[str, Any]:
    """What `_pane.html` needs. A key that is gone is told in the pane: its neighbours in the list stay usable."""
    context: dict[str, Any] = {
        "connection": connection,
        "query": query,
        "name": name,
        "may": _may(connection, name),
    }
    try:
        facts = values.get_key(connection, name)
    except Problem as problem:
        if problem.status != 404:
            raise
        return context | {"gone": problem}
    more = {
        "key": facts,
        "idle_ms": (facts.idle.value or 0) * 1000,
        "expires_at": expires_at(facts.ttl.value, connection.frozen_at),
    }
    return context | more | value_context(connection, name, facts.type, request.GET.dict())


def expires_at(ttl: int | None, frozen_at: int | None = None) -> int | None:
    """Unix ms at which a key with `ttl` ms left now (or at the moment of an opened backup) ends."""
    return None if ttl is None else (frozen_at or int(time.time() * 1000)) + ttl


def value_context(connection: Connection, name: bytes, kind: str, asked: dict[str, str]) -> dict[str, Any]:
    """What `_value_page.html` needs. A value that cannot be read is told in its panel, and the header stays."""
    reveal = asked.get("reveal", "")
    context: dict[str, Any] = {
        "connection": connection, "name": name, "type": values.key_type(kind), "kind": kind, "reveal": reveal,
        "using": asked.get("as", ""), "may": _may(connection, name), "urls": _urls(connection, name, kind, reveal),
    }  # fmt: skip
    try:
        page = values.read_value(connection, name, kind=kind, query=asked, reveal=reveal or None)
    except Exception as error:
        problem = explain(error)
        if problem.status in (400, 404, 500):
            raise
        return context | {"problem": problem}
    field_ttls = kind == "hash" and context["may"]["edit_ttls"] and connection.supports("HPEXPIREAT")
    return context | {
        "page": page,
        "field_ttls": field_ttls,
        "template": f"keys/types/{context['type'].slug}.html",
    }


def _may(connection: Connection, name: bytes) -> dict[str, bool]:
    """What to offer for this key: `may.edit_ttls` and so on. A read-only server offers no writing."""
    offered = {permission: connection.access.may(permission, name) for permission in Permission}
    if connection.server.read_only:
        offered = {permission: may and not permission.writes for permission, may in offered.items()}
    return {permission.name.lower(): may for permission, may in offered.items()}


def _urls(connection: Connection, name: bytes, kind: str, reveal: str) -> dict[str, str | None]:
    args = [connection.server.name, connection.db, name]
    suffix = f"?reveal={reveal}" if reveal else ""
    return {
        "page": reverse("key_value", args=args),
        "element": reverse("key_decoded", args=args),
        "reveal": reverse("key_reveal", args=args),
        "ttl": reverse("key_ttl", args=args),
        "download": reverse("key_download", args=args) + suffix if kind == "string" else None,
    }


@require_GET
def key(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """The whole page: the list as the address filters it, and the key beside it. 404 when there is no such key."""
    connection, query, name = connect(request, server, db), read_query(request.GET), from_key_id(key)
    context = pane_context(connection, query) | key_context(connection, name, request, query)
    return render(request, "keys/page.html", context, status=404 if "gone" in context else 200)


@require_GET
def pane(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """The pane alone, for a click in the list: the address becomes that of the key, with the filter that the page has."""
    connection, name = connect(request, server, db), from_key_id(key)
    here = urlsplit(request.headers.get("HX-Current-URL", ""))
    query = replace(read_query(QueryDict(here.query)), folder=None)
    response = render(request, "keys/_pane.html", key_context(connection, name, request, query))
    page = reverse("key", args=[server, db, name])
    if here.path != page:
        response["HX-Push-Url"] = page + query.string()
    return response


@require_GET
def value(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """One page of the value; `kind` is the type the page was made for, so that a key that became another type says so."""
    connection, name = connect(request, server, db), from_key_id(key)
    kind = request.GET.get("kind") or values.get_key(connection, name).type
    return render(request, "keys/_value_page.html", value_context(connection, name, kind, request.GET.dict()))


@require_GET
def decoded(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """One element whole, through the decoder that `as` names (empty: the one that is detected)."""
    connection, name = connect(request, server, db), from_key_id(key)
    kind = request.GET.get("kind") or values.get_key(connection, name).type
    address, using = request.GET.get("element", ""), request.GET.get("as", "")
    element = values.read_element(
        connection, name, kind=kind, address=address, reveal=request.GET.get("reveal") or None
    )
    decoded = decode_value(element.data, using or None, partial=element.cut)
    context = {
        "element": element,
        "decoded": decoded,
        "using": using,
        "kind": kind,
        "urls": _urls(connection, name, kind, ""),
    }
    return render(request, "keys/_decoded.html", context)


@require_POST
def reveal(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """Show masked values for ten minutes; audited."""
    connection, name = connect(request, server, db), from_key_id(key)
    token = values.reveal_value(connection, name)
    kind = request.GET.get("kind") or values.get_key(connection, name).type
    asked = request.GET.dict() | {"reveal": token}
    return render(request, "keys/_value_page.html", value_context(connection, name, kind, asked))


@require_GET
def download(request: HttpRequest, server: str, db: int, key: str) -> StreamingHttpResponse:
    """A string's bytes as they are, streamed."""
    connection, name = connect(request, server, db), from_key_id(key)
    length, chunks = values.download_value(connection, name, reveal=request.GET.get("reveal") or None)
    return send_chunks(request, begun(chunks), name=_file_name(name), size=length)


def _file_name(name: bytes) -> str:
    """A file name in plain ASCII that says which key it was."""
    plain = "".join(
        char if char.isalnum() and char.isascii() or char in "-_." else "_" for char in to_text(name)
    )
    return (plain.strip("._")[:80] or key_id(name)[:40]) + ".bin"
