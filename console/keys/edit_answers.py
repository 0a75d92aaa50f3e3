"""What a change of a key answers: a toast with the way back, and what the page then reads anew."""

import json
from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.keys.key_views import key_context
from console.keys.query import Query
from keyspace.servers import Connection

UNDO_SECONDS = 3600


def trash_undo(connection: Connection, entry: str | None) -> str | None:
    """The address that puts back what the entry of the trash holds."""
    return reverse("trash_undo", args=[connection.server.name, connection.db, entry]) if entry else None


def signed_undo(connection: Connection, name: bytes, act: dict[str, Any]) -> str:
    """The address that takes a rename, a TTL or a new key back: what to do is in it, signed."""
    token = signing.dumps(act, salt="undo")
    return f"{reverse('key_undo', args=[connection.server.name, connection.db, name])}?act={token}"


def creation_undo(connection: Connection, name: bytes, left: str) -> str | None:
    """The address that deletes a new key again; `left` is the digest by which it is known."""
    return signed_undo(connection, name, {"do": "create", "left": left}) if left else None


def read_undo(token: str) -> dict[str, Any]:
    """Raises BadSignature for an address that is not ours or too old."""
    act: dict[str, Any] = signing.loads(token, salt="undo", max_age=UNDO_SECONDS)
    return act


def triggers(text: str, *, undo: str | None = None, more: str = "", gone: str = "") -> str:
    """The HX-Trigger header: the toast, and that the key changed (`gone`: the address of a key that is no more)."""
    toast: dict[str, Any] = {"text": text, "kind": "done"}
    if undo:
        toast["undo"] = {"url": undo, "label": "Undo"}
    if more:
        toast["more"] = more
    return json.dumps({"key-changed": {"gone": gone}, "toast": toast})


def done(request: HttpRequest, connection: Connection, name: bytes, text: str, **told: Any) -> HttpResponse:
    """The dialog closes and the pane reads itself again; without JavaScript the key's page comes back."""
    place = [connection.server.name, connection.db, name]
    if request.headers.get("HX-Request") != "true":
        return redirect("key", *place)
    response = HttpResponse()
    response["HX-Trigger"] = triggers(text, **told)
    return response


def open_key(
    request: HttpRequest, connection: Connection, name: bytes, text: str, **told: Any
) -> HttpResponse:
    """The pane of a key that is new or has a new name, with its address."""
    page = reverse("key", args=[connection.server.name, connection.db, name])
    if request.headers.get("HX-Request") != "true":
        return redirect(page)
    response = render(request, "keys/_pane.html", key_context(connection, name, request, Query()))
    response["HX-Retarget"], response["HX-Reswap"], response["HX-Push-Url"] = "#_pane", "outerHTML", page
    answer = json.loads(triggers(text, **told))
    answer["key-listed"] = answer.pop("key-changed")
    response["HX-Trigger"] = json.dumps(answer)
    return response
