"""Dialogs for a key as a whole: delete, rename, copy, create; and taking a rename or a TTL back."""

import time
from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.actors import actor_of, connect
from console.keys.edit_answers import creation_undo, done, open_key, read_undo, signed_undo, trash_undo
from console.keys.edit_forms import PLAIN, CopyForm, CreateForm, DeleteForm, RenameForm, read_seen, sign_seen
from keyspace import changes, copying, deleting, edits
from keyspace import ttl as ttls
from keyspace.encoding import from_key_id, from_text, to_text
from keyspace.errors import BadInput, Conflict, Denied, Problem
from keyspace.once import once
from keyspace.servers import Connection, open_connection
from keyspace.types.editing import ValueEdit


def _about(connection: Connection, act: str, name: bytes = b"") -> str:
    return repr((act, connection.server.name, connection.db, name))


def _show(
    request: HttpRequest, template: str, connection: Connection, act: str, name: bytes, **context: Any
) -> HttpResponse:
    context |= {
        "connection": connection,
        "name": name,
        "seen": sign_seen(request, _about(connection, act, name), context.pop("digest", "")),
    }
    return render(
        request, f"keys/edit/{template}.html", context, status=422 if request.method == "POST" else 200
    )


@require_GET
def deletion(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """What deleting the key would do, in numbers."""
    connection, name = connect(request, server, db), from_key_id(key)
    return _deletion(request, connection, name)


def _deletion(request: HttpRequest, connection: Connection, name: bytes, **more: Any) -> HttpResponse:
    weight = deleting.weigh_key(connection, name)
    more |= {"weight": weight, "expiry": ttls.get_ttl(connection, name), "digest": weight.type}
    return _show(request, "_delete", connection, "delete", name, **more)


@require_POST
def delete(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    seen, form = read_seen(request, _about(connection, "delete", name)), DeleteForm(request.POST)
    without = form.is_valid() and form.cleaned_data["without_trash"]

    def act() -> dict[str, Any]:
        deleted = deleting.delete_keys(connection, names=[name], without_trash=without, kind=seen.digest)
        return {"entry": deleted.entries.get(name)}

    try:
        entry = once(seen.once, act)["entry"]
    except (Conflict, deleting.NoWayBack) as problem:
        return _deletion(request, connection, name, problem=problem)
    gone = reverse("key", args=[connection.server.name, connection.db, name])
    more = "" if entry else "It was not kept: there is no way back."
    return done(
        request,
        connection,
        name,
        f"Deleted {to_text(name)[:80]}",
        undo=trash_undo(connection, entry),
        gone=gone,
        more=more,
    )


@require_GET
def renaming(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    return _renaming(request, connection, name, RenameForm(initial={"to": to_text(name)}))


def _renaming(
    request: HttpRequest, connection: Connection, name: bytes, form: RenameForm, **more: Any
) -> HttpResponse:
    opened = changes.open_rename(connection, name)
    more |= {"form": form, "slot": opened.slot, "digest": opened.kind}
    return _show(request, "_rename", connection, "rename", name, **more)


@require_POST
def rename(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    seen, form = read_seen(request, _about(connection, "rename", name)), RenameForm(request.POST)
    if not form.is_valid():
        return _renaming(request, connection, name, form)
    to = form.cleaned_data["to"]

    def act() -> dict[str, Any]:
        return {"to": to_text(changes.rename_key(connection, name, to=to, kind=seen.digest).to)}

    try:
        once(seen.once, act)
    except (BadInput, Conflict, Denied) as problem:
        return _renaming(request, connection, name, form, problem=problem)
    undo = signed_undo(connection, to, {"do": "rename", "to": to_text(name)})
    return open_key(request, connection, to, f"Renamed to {to_text(to)[:80]}", undo=undo,
                    gone=reverse("key", args=[server, db, name]))  # fmt: skip


@require_GET
def copying_(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    targets = copying.copy_targets(connection, name)
    asked = request.GET.get("server", server)
    asked = asked if asked in targets else targets[0]
    form = CopyForm(initial={"to": to_text(name), "server": asked, "db": db}, servers=targets)
    return _copying(request, connection, name, form, asked)


def _copying(
    request: HttpRequest, connection: Connection, name: bytes, form: CopyForm, target: str, **more: Any
) -> HttpResponse:
    """What stands in the way of a copy to `target` is said before it is tried."""
    where = open_connection(actor_of(request), target)
    more |= {"form": form, "obstacles": copying.copy_obstacles(connection, name, target=where)}
    return _show(request, "_copy", connection, "copy", name, **more)


@require_POST
def copy(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    connection, name = connect(request, server, db), from_key_id(key)
    seen = read_seen(request, _about(connection, "copy", name))
    form = CopyForm(request.POST, servers=copying.copy_targets(connection, name))
    if not form.is_valid():
        return _copying(request, connection, name, form, server)
    data = form.cleaned_data
    target = open_connection(actor_of(request), data["server"], data["db"])

    def act() -> dict[str, Any]:
        return {"left": copying.copy_key(connection, name, to=data["to"], target=target).left}

    try:
        left = once(seen.once, act)["left"]
    except (BadInput, Conflict, Denied, deleting.NoWayBack) as problem:
        return _copying(request, connection, name, form, data["server"], problem=problem)
    text = f"Copied to {to_text(data['to'])[:80]}"
    undo = creation_undo(target, data["to"], left)
    if (data["server"], data["db"]) == (server, db):
        return open_key(request, connection, data["to"], text, undo=undo)
    return done(request, connection, name, f"{text} on {data['server']}, db {data['db']}", undo=undo)


@require_GET
def new_key(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection = connect(request, server, db)
    slug = request.GET.get("kind") or "string-set"
    if not edits.find_edit(slug)[1].creates:
        raise BadInput("A key cannot begin like this.", "Choose one of the types that are offered.")
    about = CreateForm(initial={"name": request.GET.get("name", ""), "ttl": request.GET.get("ttl", "")})
    return _creation(request, connection, slug, about, edits.find_edit(slug)[1](initial={"using": "text"}))


def _creation(
    request: HttpRequest, connection: Connection, slug: str, about: CreateForm, form: Any, **more: Any
) -> HttpResponse:
    more |= {
        "about": about, "form": form, "slug": slug, "kinds": changes.list_beginnings(connection), "plain": PLAIN,
        "value_field": form["value"] if isinstance(form, ValueEdit) else None,
        "fields": [field for field in form.visible_fields() if field.name != "value"],
    }  # fmt: skip
    return _show(request, "_create", connection, "create", b"", **more)


@require_POST
def create(request: HttpRequest, server: str, db: int) -> HttpResponse:
    connection, slug = connect(request, server, db), request.GET.get("kind", "")
    seen, about = read_seen(request, _about(connection, "create")), CreateForm(request.POST)
    form = edits.find_edit(slug)[1](
        request.POST, request.FILES, element="$" if slug.startswith("json") else ""
    )
    if not (about.is_valid() and form.is_valid()):
        return _creation(request, connection, slug, about, form)
    name, ttl = about.cleaned_data["name"], about.cleaned_data["ttl"]
    ends = None if ttl is None else int(time.time() * 1000) + ttl

    def act() -> dict[str, Any]:
        return {"left": changes.create_key(connection, name, edit=form, expires_at=ends).left}

    try:
        left = once(seen.once, act)["left"]
    except (BadInput, Conflict) as problem:
        return _creation(request, connection, slug, about, form, problem=problem)
    undo = creation_undo(connection, name, left)
    return open_key(request, connection, name, f"Created {to_text(name)[:80]}", undo=undo)


@require_POST
def undo(request: HttpRequest, server: str, db: int, key: str) -> HttpResponse:
    """Take a new key, a rename or a change of a TTL back, if the key is still as that left it."""
    connection, name = connect(request, server, db), from_key_id(key)
    try:
        act = read_undo(request.GET.get("act", ""))
    except signing.BadSignature:
        raise Problem(
            "This is too long ago to be taken back here.", "Make the change by hand.", status=410
        ) from None
    if act["do"] == "rename":
        return _rename_back(request, connection, name, act)
    if act["do"] == "create":
        return _delete_again(request, connection, name, act["left"])
    seen = ttls.Expiry(*act["after"])
    field = from_key_id(act["field"]) if act["field"] else None
    if act["before"] is None:
        ttls.persist(connection, name, seen=seen, field=field)
    else:
        ttls.set_ttl(connection, name, seen=seen, expires_at=act["before"], field=field)
    return done(request, connection, name, "The TTL is as it was")


def _delete_again(request: HttpRequest, connection: Connection, name: bytes, left: str) -> HttpResponse:
    entry = deleting.undo_creation(connection, name, left=left)
    gone = reverse("key", args=[connection.server.name, connection.db, name])
    back = trash_undo(connection, entry)
    return done(request, connection, name, f"Deleted {to_text(name)[:80]} again", undo=back, gone=gone)


def _rename_back(
    request: HttpRequest, connection: Connection, name: bytes, act: dict[str, Any]
) -> HttpResponse:
    to = from_text(act["to"])
    changes.rename_key(connection, name, to=to)
    gone = reverse("key", args=[connection.server.name, connection.db, name])
    return open_key(request, connection, to, f"Renamed back to {to_text(to)[:80]}", gone=gone)
