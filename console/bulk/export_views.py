"""Exports: choose keys and a form; the file comes at once, or is made by a job and kept."""

import uuid
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from console.actors import connect
from console.bulk.forms import ChoiceForm, once_of
from console.streams import begun, send_chunks
from keyspace import exports
from keyspace.access import Permission, check_permission
from keyspace.encoding import from_key_id
from keyspace.servers import Connection


class ExportForm(ChoiceForm):
    form = forms.ChoiceField(choices=list(exports.FORMS.items()), initial="archive", label="Form")


@require_http_methods(["GET", "HEAD", "POST"])
def export(request: HttpRequest, server: str, db: int) -> HttpResponseBase:
    """The choice, filled in from the address or by `choose`; sending it gives the file or (`act` keep) starts the job."""
    connection = connect(request, server, db)
    check_permission(connection, Permission.REVEAL_VALUES)
    if request.method != "POST" or "choose" in request.POST:
        form = ExportForm(initial={"form": "archive"} | (request.POST or request.GET).dict())
        return render(request, "exports/export.html", _context(connection, form))
    form = ExportForm(request.POST)
    if not form.is_valid():
        return render(request, "exports/export.html", _context(connection, form), status=422)
    choice, kind = form.choice(), form.cleaned_data["form"]
    if request.POST.get("act") == "keep":
        return redirect(
            "job", job_id=exports.start_export(connection, choice=choice, form=kind, once=once_of(request)).pk
        )
    return _send(request, exports.export_keys(connection, choice=choice, form=kind))


def _send(request: HttpRequest, file: exports.ExportFile) -> HttpResponseBase:
    return send_chunks(request, begun(file.chunks), name=file.name, size=file.size)


def _context(connection: Connection, form: ExportForm) -> dict[str, Any]:
    return {"connection": connection, "form": form, "once": uuid.uuid4().hex}


@require_GET
def export_key(request: HttpRequest, server: str, db: int, key: str, form: str) -> HttpResponseBase:
    """One key as archive, lines or csv."""
    return _send(request, exports.export_key(connect(request, server, db), from_key_id(key), form=form))


@require_GET
def export_file(request: HttpRequest, server: str, job_id: uuid.UUID) -> HttpResponseBase:
    """The file that an export's job has made."""
    return _send(request, exports.download_export(connect(request, server), job_id=job_id))
