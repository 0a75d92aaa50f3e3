"""Bulk work: choose, look, confirm. What runs then is on the Jobs page."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.actors import connect
from console.bulk.forms import ChoiceForm, OrderForm, initial_of, once_of
from keyspace.access import Permission, check_permission
from keyspace.bulk import services
from keyspace.bulk.putting_back import start_put_back
from keyspace.errors import BadInput
from keyspace.jobs import may_control
from keyspace.models import Job
from keyspace.servers import Connection


@require_http_methods(["GET", "HEAD", "POST"])
def bulk(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """The choice, filled in from the address, or from what `choose` sends with it; sending it begins the dry run."""
    connection = connect(request, server, db)
    check_permission(connection, Permission.BULK)
    if request.method == "POST" and "choose" not in request.POST:
        form = ChoiceForm(request.POST)
        if form.is_valid():
            job = services.start_look(connection, choice=form.choice(), once=once_of(request))
            return redirect(_look_address(connection, job, request.POST.get("do", "")))
    else:
        form = ChoiceForm(initial=(request.POST or request.GET).dict())
    return render(request, "bulk/bulk.html", _choosing(connection, form), status=422 if form.errors else 200)


def _choosing(connection: Connection, form: ChoiceForm) -> dict[str, Any]:
    do = form.data.get("do") or form.initial.get("do", "")
    return {"connection": connection, "form": form, "do": do, "once": uuid.uuid4().hex}


def _look_address(connection: Connection, job: Job, do: str) -> str:
    address = reverse("bulk_look", args=[connection.server.name, connection.db, job.pk])
    return f"{address}?do={do}" if do in services.DO else address


@require_http_methods(["GET", "HEAD", "POST"])
def look(request: HttpRequest, server: str, db: int, look_id: uuid.UUID) -> HttpResponse:
    """The dry run and what may be done with it; sending that starts the job."""
    connection = connect(request, server, db)
    looked_at = services.get_look(connection, look_id=look_id)
    if request.method != "POST":
        form = OrderForm(initial={"do": request.GET.get("do", "delete")})
        return render(request, "bulk/look.html", _looking(request, connection, looked_at, form))
    form = OrderForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        try:
            job = services.start_bulk(
                connection, look_id=look_id, order=form.order(), number=given["number"], name=given["name"]
            )
            return redirect("job", job_id=job.pk)
        except BadInput as problem:
            form.add_error(None, str(problem))
    return render(request, "bulk/look.html", _looking(request, connection, looked_at, form), status=422)


@require_GET
def state(request: HttpRequest, server: str, db: int, look_id: uuid.UUID) -> HttpResponse:
    """Asked again and again while the dry run runs; when it has ended the page is loaded anew, with its forms."""
    connection = connect(request, server, db)
    looked_at = services.get_look(connection, look_id=look_id)
    if not looked_at.job.unfinished:
        response = HttpResponse()
        response["HX-Refresh"] = "true"
        return response
    form = OrderForm(initial={"do": "delete"})
    return render(request, "bulk/_looking.html", _looking(request, connection, looked_at, form))


@require_POST
def put_back(request: HttpRequest, server: str, db: int, job_id: uuid.UUID) -> HttpResponse:
    """What a bulk delete put into the trash comes back, as a job."""
    return redirect("job", job_id=start_put_back(connect(request, server, db), job_id=job_id).pk)


def _looking(
    request: HttpRequest, connection: Connection, looked_at: services.LookedAt, form: OrderForm
) -> dict[str, Any]:
    do = str(form["do"].value() or "delete")
    return {
        "connection": connection, "look": looked_at, "job": looked_at.job, "result": looked_at.result, "form": form,
        "do": do if do in services.DO else "delete", "acts": _acts(), "again": initial_of(looked_at.choice),
        "may_control": may_control(connection.actor, looked_at.job), "may_copy": connection.access.may(Permission.REVEAL_VALUES),
    }  # fmt: skip


def _acts() -> list[tuple[str, str]]:
    return [("delete", "Delete"), ("set", "Set TTL"), ("extend", "Extend TTL"), ("persist", "Persist")]
