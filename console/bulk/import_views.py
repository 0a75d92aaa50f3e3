"""Imports: choose a file, look at what it would do, start it. What runs then is on the Jobs page."""

import uuid
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from console.actors import connect
from keyspace import imports
from keyspace.access import Permission, check_permission
from keyspace.errors import BadInput, Conflict, TooLarge
from keyspace.jobs import may_control
from keyspace.servers import Connection


class FileForm(forms.Form):
    """The name that a browser sends is only shown, in the title of the job."""

    file = forms.FileField(
        label="File", allow_empty_file=True,
        help_text="An archive (.ksarch) or readable lines (.jsonl, .jsonl.zst) exported by a console. Lines may have been edited by hand.",
    )  # fmt: skip


class ImportForm(forms.Form):
    existing = forms.ChoiceField(
        label="Keys that are there already", choices=list(imports.POLICIES.items()), initial="skip"
    )
    ttl = forms.ChoiceField(label="TTLs", choices=list(imports.TTLS.items()), initial="original")
    typed = forms.CharField(required=False, max_length=64)


@require_http_methods(["GET", "HEAD", "POST"])
def import_(request: HttpRequest, server: str, db: int) -> HttpResponse:
    """The file; sending it begins the preview."""
    connection = connect(request, server, db)
    check_permission(connection, Permission.BULK)
    if request.method != "POST":
        return _choosing(request, connection, FileForm())
    form = FileForm(request.POST, request.FILES)
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            job = imports.preview_import(connection, chunks=iter(file.chunks()), file_name=file.name or "")
        except (BadInput, TooLarge) as problem:
            form.add_error("file", str(problem))
        else:
            return redirect("import_preview", server=server, db=db, preview_id=job.pk)
    return _choosing(request, connection, form)


def _choosing(request: HttpRequest, connection: Connection, form: FileForm) -> HttpResponse:
    context = {"connection": connection, "form": form, "most": imports.most_bytes()}
    return render(request, "bulk/import.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def preview(request: HttpRequest, server: str, db: int, preview_id: uuid.UUID) -> HttpResponse:
    """What the file would do; sending the way to import starts the job."""
    connection = connect(request, server, db)
    found = imports.get_preview(connection, preview_id=preview_id)
    if request.method != "POST":
        return render(request, "bulk/import_preview.html", _looking(connection, found, ImportForm()))
    form = ImportForm(request.POST)
    if form.is_valid():
        try:
            job = imports.start_import(connection, preview_id=preview_id, **form.cleaned_data)
            return redirect("job", job_id=job.pk)
        except (BadInput, Conflict) as problem:
            form.add_error(None, str(problem))
    return render(request, "bulk/import_preview.html", _looking(connection, found, form), status=422)


@require_GET
def state(request: HttpRequest, server: str, db: int, preview_id: uuid.UUID) -> HttpResponse:
    """Asked again and again while the preview runs; when it has ended the page is loaded anew, with its form."""
    connection = connect(request, server, db)
    found = imports.get_preview(connection, preview_id=preview_id)
    if not found.job.unfinished:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "bulk/_import_state.html", _looking(connection, found, ImportForm()))


def _looking(connection: Connection, found: imports.Preview, form: ImportForm) -> dict[str, Any]:
    return {
        "connection": connection, "preview": found, "job": found.job, "result": found.result, "form": form,
        "may_control": may_control(connection.actor, found.job),
    }  # fmt: skip
