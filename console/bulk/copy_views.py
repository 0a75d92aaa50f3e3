"""Copies: choose keys and where to, look at both sides, confirm. What runs then is on the Jobs page."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console.actors import actor_of, connect
from console.bulk.forms import CopyForm, SpeedForm, initial_of, once_of
from keyspace.access import Permission, check_permission
from keyspace.bulk import copies, copying, services
from keyspace.errors import BadInput
from keyspace.jobs import may_control
from keyspace.servers import Connection, open_connection


@require_http_methods(["GET", "HEAD", "POST"])
def copy(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """The choice and the target, filled in from the address or by `choose`; sending it begins the dry run."""
    connection = connect(request, server, db)
    check_permission(connection, Permission.REVEAL_VALUES)
    targets = [each.server.name for each in copies.copy_targets(connection)]
    if request.method != "POST" or "choose" in request.POST:
        form = CopyForm(initial=(request.POST or request.GET).dict(), servers=targets)
        return _choose(request, connection, form)
    form = CopyForm(request.POST, servers=targets)
    if not form.is_valid():
        return _choose(request, connection, form, status=422)
    given = form.cleaned_data
    try:
        job = copies.start_copy_look(
            connection, choice=form.choice(), target=open_connection(actor_of(request), given["to_server"], given["to_db"]),
            existing=given["existing"], once=once_of(request),
        )  # fmt: skip
    except BadInput as problem:
        form.add_error("to_db", str(problem))
        return _choose(request, connection, form, status=422)
    return redirect("bulk_copy_look", server=server, db=db, look_id=job.pk)


def _choose(
    request: HttpRequest, connection: Connection, form: CopyForm, *, status: int = 200
) -> HttpResponse:
    context = {"connection": connection, "form": form, "once": uuid.uuid4().hex}
    return render(request, "bulk/copy.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def copy_look(request: HttpRequest, server: str, db: int, look_id: uuid.UUID) -> HttpResponse:
    """What the dry run found on both sides; sending it starts the copy."""
    connection = connect(request, server, db)
    looked_at = services.get_look(connection, look_id=look_id)
    if request.method != "POST":
        return _confirm(request, connection, looked_at, SpeedForm())
    form = SpeedForm(request.POST)
    if form.is_valid():
        try:
            return redirect(
                "job", job_id=copies.start_copy(connection, look_id=look_id, **form.cleaned_data).pk
            )
        except BadInput as problem:
            form.add_error(None, str(problem))
    return _confirm(request, connection, looked_at, form, status=422)


def _confirm(
    request: HttpRequest,
    connection: Connection,
    look: services.LookedAt,
    form: SpeedForm,
    *,
    status: int = 200,
) -> HttpResponse:
    to = look.job.params.get("copy", {})
    again: dict[str, Any] = {
        "to_server": to.get("server"),
        "to_db": to.get("db"),
        "existing": to.get("existing"),
    }
    context = {
        "connection": connection, "look": look, "job": look.job, "result": look.result, "form": form,
        "again": initial_of(look.choice) | again, "existing": copying.EXISTING.get(str(to.get("existing")), ""),
        "may_control": may_control(connection.actor, look.job),
    }  # fmt: skip
    return render(request, "bulk/copy_look.html", context, status=status)
