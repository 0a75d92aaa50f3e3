"""The trash of a db: what was deleted, and what was changed; restored, undone, purged."""

import json
import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from keyspace import trash as bin_
from keyspace.access import Permission
from keyspace.encoding import from_text, to_text
from keyspace.errors import Problem
from keyspace.models import TrashEntry
from keyspace.once import once
from keyspace.servers import Connection


def _context(request: HttpRequest, connection: Connection) -> dict[str, Any]:
    why, text = request.GET.get("why", ""), request.GET.get("match", "").strip()[:4096]
    why = why if why in TrashEntry.Why.values else ""
    listed = bin_.list_trash(connection, why=why, name_has=from_text(text))
    may_purge = connection.access.may(Permission.DELETE_KEYS) and not connection.server.read_only
    return {
        "connection": connection, "listed": listed, "why": why, "match": text, "reasons": TrashEntry.Why.choices,
        "may_purge": may_purge,
    }  # fmt: skip


@require_GET
def trash(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection = connect(request, server, db)
    return render(request, "trash/trash.html", _context(request, connection))


@require_GET
def list_(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection = connect(request, server, db)
    return render(request, "trash/_list.html", _context(request, connection))


@require_GET
def entry(request: HttpRequest, server: str, db: int, entry: uuid.UUID) -> HttpResponse:
    """The dialog of one entry: what it held, and putting it back."""
    connection = connect(request, server, db)
    return _dialog(request, connection, entry)


def _dialog(
    request: HttpRequest, connection: Connection, entry: uuid.UUID, problem: Problem | None = None
) -> HttpResponse:
    context = {
        "connection": connection, "kept": bin_.read_entry(connection, entry_id=entry), "problem": problem,
        "asks_replace": isinstance(problem, bin_.KeyExists), "asks_persist": isinstance(problem, bin_.TimePassed),
        "may_purge": connection.access.may(Permission.DELETE_KEYS) and not connection.server.read_only,
        "once": uuid.uuid4().hex,
    }  # fmt: skip
    return render(request, "trash/_entry.html", context, status=422 if problem else 200)


@require_POST
def undo(request: HttpRequest, server: str, db: int, entry: uuid.UUID) -> HttpResponse:
    """The Undo of a toast: back to what the key held before the act, if it is still as the act left it."""
    connection = connect(request, server, db)
    kept = bin_.read_entry(connection, entry_id=entry)
    bin_.undo_change(connection, kept.name, entry_id=entry)
    return _done(request, connection, f"Put back {to_text(kept.name)[:80]}")


@require_POST
def restore(request: HttpRequest, server: str, db: int, entry: uuid.UUID) -> HttpResponse:
    """422 with the dialog when there is a newer key, or its time has passed: it asks."""
    connection = connect(request, server, db)
    kept = bin_.read_entry(connection, entry_id=entry)

    def act() -> dict[str, Any]:
        restored = bin_.restore_key(
            connection, kept.name, entry_id=entry, replace="replace" in request.POST, persist="persist" in request.POST
        )  # fmt: skip
        return {"overwrote": restored.overwrote}

    try:
        token = request.POST.get("once") or uuid.uuid4().hex
        overwrote = once(f"{request.user.pk}-{token[:40]}", act)["overwrote"]
    except (bin_.KeyExists, bin_.TimePassed) as problem:
        return _dialog(request, connection, entry, problem)
    back = reverse("trash_undo", args=[server, db, overwrote]) if overwrote else None
    return _done(request, connection, f"Restored {to_text(kept.name)[:80]}", undo=back)


@require_POST
def purge_entry(request: HttpRequest, server: str, db: int, entry: uuid.UUID) -> HttpResponse:
    connection = connect(request, server, db)
    kept = bin_.read_entry(connection, entry_id=entry)
    bin_.purge_entry(connection, kept.name, entry_id=entry)
    return _done(request, connection, f"Purged {to_text(kept.name)[:80]} from the trash")


@require_POST
def purge(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection = connect(request, server, db)
    count = bin_.purge_trash(connection)
    return _done(request, connection, f"Purged {count} entries of the trash")


def _done(
    request: HttpRequest, connection: Connection, text: str, *, undo: str | None = None
) -> HttpResponse:
    if request.headers.get("HX-Request") != "true":
        return redirect("trash", connection.server.name, connection.db)
    response = HttpResponse()
    toast: dict[str, Any] = {"text": text, "kind": "done"} | (
        {"undo": {"url": undo, "label": "Undo"}} if undo else {}
    )
    response["HX-Trigger"] = json.dumps({"key-changed": {"gone": ""}, "trash-changed": {}, "toast": toast})
    return response
