"""Restoring: the order, its dry run, and doing it."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.actors import actor_of, connect
from console.backups.forms import RestoreForm
from keyspace.access import Permission, check_permission
from keyspace.backups import restore_services, services
from keyspace.backups.restore_undo import undo_restore
from keyspace.encoding import from_key_id, key_id, to_text
from keyspace.errors import BadInput
from keyspace.jobs import find_job
from keyspace.models import Backup, Job, Server
from keyspace.servers import Connection, list_connections, open_connection

_KEPT = ("type", "db", "to_db", "existing", "ttl", "expired", "empty", "beyond_trash", "method", "reach")
"""What the form shows again after a dry run."""


@require_http_methods(["GET", "HEAD", "POST"])
def restore(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    """A dry run comes first: its report stands beside the order, with the button that does it."""
    connection = connect(request, server)
    check_permission(connection, Permission.BACK_UP)
    backup = services.get_backup(connection, backup_id=str(backup_id))
    targets = _targets(request, backup)
    job = find_job(actor_of(request), request.GET["job"]) if request.GET.get("job") else None
    form = RestoreForm(request.POST or None, targets, initial=_initial(request, backup, targets, job))
    if request.method == "POST" and form.is_valid() and _as_looked_at(request, backup, form):
        return _order(request, backup, form)
    context = _context(request, connection, backup, form, job)
    return render(request, "backups/restore.html", context, status=422 if form.errors else 200)


def _target_of(request: HttpRequest, form: RestoreForm, connection: Connection) -> Connection:
    """The server that the form shows, where the person has it; else the backup's own."""
    name = form["target"].value()
    listed = [value for value, _ in form.fields["target"].choices]  # type: ignore[attr-defined]
    return open_connection(actor_of(request), name) if name in listed else connection


@require_POST
def selection(request: HttpRequest, server: str, backup_id: uuid.UUID, db: int) -> HttpResponse:
    """The form for what was selected in the keys list of an opened backup."""
    connection = connect(request, server)
    check_permission(connection, Permission.BACK_UP)
    backup = services.get_backup(connection, backup_id=str(backup_id))
    targets = _targets(request, backup)
    initial = _initial(request, backup, targets, None) | {"db": db}
    initial |= {name: request.POST.get(name, "") for name in ("names", "folders")}
    form = RestoreForm(None, targets, initial=initial)
    return render(request, "backups/restore.html", _context(request, connection, backup, form, None))


def _context(
    request: HttpRequest, connection: Connection, backup: Backup, form: RestoreForm, job: Job | None
) -> dict[str, Any]:
    target = _target_of(request, form, connection)
    return _picked(form) | {
        "connection": connection, "backup": backup, "form": form, "job": job, "once": uuid.uuid4().hex, "may_control": True,
        "offer": restore_services.offer_primary(target, backup_id=str(backup.pk)),
        "doable": job is not None and job.state == "done" and job.params.get("dry"),
    }  # fmt: skip


def _picked(form: RestoreForm) -> dict[str, Any]:
    """What was selected: the first of it to be shown, and how many there are."""
    try:
        names, folders = form.picked("names"), form.picked("folders")
    except BadInput:
        return {}
    return {
        "names": names[:20],
        "folders": folders[:20],
        "more": max(0, len(names) - 20) + max(0, len(folders) - 20),
    }


@require_GET
def restore_key(request: HttpRequest, server: str, backup_id: uuid.UUID, db: int, key: str) -> HttpResponse:
    """From a key of an opened backup to the form, with that key chosen."""
    services.get_backup(connect(request, server), backup_id=str(backup_id))
    response = redirect("backup_restore", server=server, backup_id=backup_id)
    response["Location"] += "?" + urlencode({"names": key_id(from_key_id(key)), "db": db})
    return response


@require_GET
def dry(request: HttpRequest, server: str, backup_id: uuid.UUID, job_id: uuid.UUID) -> HttpResponse:
    """The dry run while it runs; when it has ended the whole page is read again, with the button that restores."""
    connection = connect(request, server)
    backup, job = (
        services.get_backup(connection, backup_id=str(backup_id)),
        find_job(actor_of(request), job_id),
    )
    if not job.unfinished:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(
        request,
        "backups/_dry.html",
        {"connection": connection, "backup": backup, "job": job, "may_control": True},
    )


@require_POST
def undo(request: HttpRequest, server: str, job_id: uuid.UUID) -> HttpResponse:
    return redirect("job", job_id=undo_restore(connect(request, server), job_id=str(job_id)).pk)


def _targets(request: HttpRequest, backup: Backup) -> list[str]:
    """Servers this person may restore to, the backup's own first."""
    found = [
        connection.server.name for connection in list_connections(actor_of(request))
        if connection.access.may(Permission.RESTORE)
        and not (connection.server.read_only or connection.server.source == Server.Source.BACKUP)
    ]  # fmt: skip
    return sorted(found, key=lambda name: (name != backup.server, name))


def _initial(request: HttpRequest, backup: Backup, targets: list[str], job: Job | None) -> dict[str, Any]:
    if job is None:
        chosen = {name: request.GET[name] for name in ("names", "db", "empty") if request.GET.get(name)}
        return {"target": targets[0] if targets else "", "match": "*", **chosen}
    params = job.params
    return {
        "target": job.server, "match": to_text(from_key_id(params["match"])), "names": " ".join(params.get("names") or []),
        "folders": " ".join(params.get("folders") or []),
        **{name: params.get(name) for name in _KEPT},
    }  # fmt: skip


def _as_looked_at(request: HttpRequest, backup: Backup, form: RestoreForm) -> bool:
    """Whether what is ordered for good is what the dry run beside it looked at; without one nothing is compared."""
    if request.POST.get("act") != "restore" or not request.POST.get("dry"):
        return True
    job = find_job(actor_of(request), request.POST["dry"])
    ordered = {"backup": str(backup.pk), **form.order(dry=True).params()}
    if (job.server, job.params) == (form.cleaned_data["target"], ordered):
        return True
    form.add_error(None, "The order is not the one of the dry run any more: run it again.")
    return False


def _order(request: HttpRequest, backup: Backup, form: RestoreForm) -> HttpResponse:
    dry = request.POST.get("act") != "restore"
    target = open_connection(actor_of(request), form.cleaned_data["target"])
    once = request.POST.get("once", "")
    job = restore_services.restore_backup(
        target, backup_id=str(backup.pk), order=form.order(dry=dry), confirmed=request.POST.get("confirmed", ""),
        once=f"{request.user.pk}-{once}" if once.isalnum() and len(once) <= 40 else None,
    )  # fmt: skip
    if not dry:
        return redirect("job", job_id=job.pk)
    response = redirect("backup_restore", server=backup.server, backup_id=backup.pk)
    response["Location"] += f"?job={job.pk}"
    return response
