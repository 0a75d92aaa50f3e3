"""The TTL dialog of one key."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from console.keys.edit_answers import signed_undo, trash_undo
from console.keys.ttl_forms import PersistForm, TtlForm, sign_seen
from keyspace import ttl as ttls
from keyspace.access import Permission, check_permission
from keyspace.encoding import from_key_id, key_id, to_text
from keyspace.errors import Conflict
from keyspace.once import once
from keyspace.servers import Connection

PRESETS = ("60s", "15m", "1h", "1d", "7d")


def _field(request: HttpRequest) -> bytes | None:
    """The field of a hash whose TTL is meant, from the address; None: the key's own."""
    return from_key_id(request.GET["field"]) if request.GET.get("field") else None


def _dialog(
    request: HttpRequest, connection: Connection, name: bytes, form: TtlForm, **more: Any
) -> HttpResponse:
    field = _field(request)
    expiry = ttls.get_ttl(connection, name, field=field)
    if form.is_bound:
        form.data = request.POST.dict() | {"seen": sign_seen(expiry)}
    else:
        form.initial["seen"] = sign_seen(expiry)
    context = {"connection": connection, "name": name, "field": field, "expiry": expiry, "form": form, "presets": PRESETS,
               "supports_conditions": connection.supports("PEXPIRETIME"), **more}  # fmt: skip
    return render(request, "keys/_ttl.html", context, status=422 if form.is_bound else 200)


@require_GET
def ttl(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    check_permission(connection, Permission.EDIT_TTLS, name)
    return _dialog(request, connection, name, TtlForm())


@require_POST
def set_ttl(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """422 with the dialog again for a bad form, for a TTL that changed meanwhile, and for a time that would delete the key."""
    connection, name = connect(request, server, db), from_key_id(key)
    form = TtlForm(request.POST)
    if not form.is_valid():
        return _dialog(request, connection, name, form)
    data = form.cleaned_data

    def change() -> ttls.Change:
        return ttls.set_ttl(
            connection, name, seen=form.expected, condition=data["condition"], may_delete=data["may_delete"],
            field=_field(request), **data["target"],
        )  # fmt: skip

    try:
        answer = once(form.once, lambda: _answer(connection, name, _field(request), change()))
    except (Conflict, ttls.WouldDelete) as problem:
        return _dialog(
            request, connection, name, form, problem=problem, asks=isinstance(problem, ttls.WouldDelete)
        )
    return _done(answer)


@require_POST
def persist(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    form = PersistForm(request.POST)
    if not form.is_valid():
        return _dialog(request, connection, name, TtlForm(request.POST))

    def change() -> ttls.Change:
        return ttls.persist(connection, name, seen=form.expected, field=_field(request))

    try:
        answer = once(form.once, lambda: _answer(connection, name, _field(request), change()))
    except Conflict as problem:
        return _dialog(request, connection, name, TtlForm(request.POST), problem=problem)
    return _done(answer)


def _answer(connection: Connection, name: bytes, field: bytes | None, change: ttls.Change) -> dict[str, Any]:
    """The toast with the way back, and the address of a key that is no more."""
    toast: dict[str, Any] = {"text": _told(field or name, change), "kind": "done"}
    undo = _undo(connection, name, field, change)
    if undo:
        toast["undo"] = {"url": undo, "label": "Undo"}
    elif change.gone:
        toast["more"] = "It was not kept: there is no way back."
    gone = (
        reverse("key", args=[connection.server.name, connection.db, name])
        if change.gone and field is None
        else ""
    )
    return {"toast": toast, "key-changed": {"gone": gone}}


def _undo(connection: Connection, name: bytes, field: bytes | None, change: ttls.Change) -> str | None:
    """From the trash for what is gone; else the change the other way round."""
    if change.gone:
        return trash_undo(connection, change.entry)
    if change.kept or change.after is None:
        return None
    act = {"do": "ttl", "before": change.before.expires_at, "field": "" if field is None else key_id(field)}
    after = [change.after.type, change.after.expires_at, change.after.ttl]
    return signed_undo(connection, name, act | {"after": after})


def _done(answer: dict[str, Any]) -> HttpResponse:
    """Nothing to show but a toast: the dialog closes, and the key's pane reads itself again."""
    return HttpResponse(headers={"HX-Trigger": json.dumps(answer)})


def _told(name: bytes, change: ttls.Change) -> str:
    short = to_text(name)[:80]
    if change.gone:
        return f"{short} is gone: its time had passed."
    if change.kept:
        return f"The TTL of {short} stays as it was: the condition did not hold."
    left = change.after.ttl if change.after else None
    return (
        f"{short} does not expire any more."
        if left is None
        else f"{short} expires in {ttls.format_ms(left)}."
    )
