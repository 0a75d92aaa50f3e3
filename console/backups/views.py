"""Backups of a server: what it says of its saves, what runs, the history; and what can be done with one of them."""

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST, require_safe

from console.actors import connect
from console.streams import asked_part, begun, send_chunks
from keyspace.access import Permission
from keyspace.backups import services, transfer
from keyspace.backups.history import Wanted, others_of
from keyspace.backups.page import get_backups, get_checks, opened_backup
from keyspace.errors import BadInput
from keyspace.models import Backup, Job, OpenBackup
from keyspace.servers import Connection


@require_GET
def backups(request: HttpRequest, server: str) -> HttpResponse:
    connection = connect(request, server)
    backup = opened_backup(connection.server)
    if backup is not None:  # it has none of its own: it is one
        return redirect("backup", server=backup.server, backup_id=backup.pk)
    return render(request, "backups/backups.html", _page(request, connection))


@require_GET
def state(request: HttpRequest, server: str) -> HttpResponse:
    """Asked every second while something runs, every few seconds else."""
    return _state(request, connect(request, server))


def _state(request: HttpRequest, connection: Connection) -> HttpResponse:
    return render(request, "backups/_state.html", _page(request, connection) | {"oob": True})


@require_GET
def checks(request: HttpRequest, server: str) -> HttpResponse:
    """What stands in the way; apart from the page, because every node is asked."""
    connection = connect(request, server)
    return render(
        request, "backups/_checks.html", {"connection": connection, "checks": get_checks(connection)}
    )


def _page(request: HttpRequest, connection: Connection) -> dict[str, Any]:
    given = {name: request.GET.get(name, "").replace("\0", "")[:255] for name in ("kind", "state", "by")}
    wanted = Wanted(**given)
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    page = get_backups(connection, wanted=wanted, before=before, after=after)
    return _rights(connection) | {
        "page": page, "kinds": Backup.Kind.choices,
        "states": [choice for choice in Backup.State.choices if choice[0] != Backup.State.RUNNING],
        "query": _query(given | {"before": before, "after": after}),
        "older_url": page.history.older and _query(given | {"before": page.history.older}),
        "newer_url": page.history.newer and _query(given | {"after": page.history.newer}),
    }  # fmt: skip


def _query(given: dict[str, str]) -> str:
    return "?" + urlencode({name: value for name, value in given.items() if value})


def _rights(connection: Connection) -> dict[str, Any]:
    return {
        "connection": connection, "may_back_up": connection.access.may(Permission.BACK_UP),
        "may_restore": connection.access.may(Permission.RESTORE) and not connection.server.read_only, "once": uuid.uuid4().hex,
    }  # fmt: skip


@require_POST
def start(request: HttpRequest, server: str) -> HttpResponse:
    connection = connect(request, server)
    services.start_backup(
        connection,
        kind=request.POST.get("kind", "auto"),
        replicas="replicas" in request.POST,
        once=_once(request),
    )
    return _state(request, connection)


def _once(request: HttpRequest) -> str | None:
    given = request.POST.get("once", "")
    return f"{request.user.pk}-{given}" if given.isalnum() and len(given) <= 40 else None


@require_GET
def backup(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    connection = connect(request, server)
    found = services.get_backup(connection, backup_id=str(backup_id))
    context = _rights(connection) | {
        "backup": found, "others": others_of(found), "last_verified": services.is_last_verified(found),
        "repeatable": services.may_be_repeated(found),
        "opened": OpenBackup.objects.filter(backup=found).select_related("row").first(),
    }  # fmt: skip
    return render(request, "backups/backup.html", context)


@require_POST
def repeat(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    services.repeat_backup(connect(request, server), backup_id=str(backup_id), once=_once(request))
    return redirect("backups", server=server)


@require_POST
def verify(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    return _to_job(request, services.verify_backup(connect(request, server), backup_id=str(backup_id)))


@require_POST
def open_(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    return _to_job(request, services.open_backup(connect(request, server), backup_id=str(backup_id)))


@require_POST
def compare(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    other = request.POST.get("other") or None
    return _to_job(
        request, services.compare_backup(connect(request, server), backup_id=str(backup_id), other_id=other)
    )


def _to_job(request: HttpRequest, job: Job) -> HttpResponse:
    return redirect("job", job_id=job.pk)


@require_POST
def close(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    services.close_backup(connect(request, server), backup_id=str(backup_id))
    messages.success(request, "The backup was closed.")
    return redirect("backups", server=server)


@require_POST
def delete(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    services.delete_backup(connect(request, server), backup_id=str(backup_id))
    messages.success(request, "The backup and its files were deleted.")
    return redirect("backups", server=server)


@require_safe
def download(request: HttpRequest, server: str, backup_id: uuid.UUID, number: int) -> HttpResponseBase:
    """The file, or the part of it that a Range header asks for: a broken download goes on where it was."""
    file = transfer.download_backup(connect(request, server), backup_id=str(backup_id), number=number)
    part = asked_part(request, size=file.size, mark=file.mark)
    if part is None:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.size}"})
    chunks = begun(file.chunks(part.first, part.last)) if request.method == "GET" else iter(())
    response = send_chunks(
        request, chunks, name=file.name, size=part.size, status=206 if part.partial else 200
    )
    response["Accept-Ranges"], response["ETag"] = "bytes", f'"{file.mark}"'
    if part.partial:
        response["Content-Range"] = f"bytes {part.first}-{part.last}/{file.size}"
    return response


@require_POST
def upload(request: HttpRequest, server: str) -> HttpResponse:
    connection = connect(request, server)
    name = getattr(request.FILES.get("file"), "name", "")
    found = transfer.upload_backup(connection, chunks=_sent(request), label=f"file {name}")
    messages.success(request, "The file is whole; it is being loaded to prove it.")
    return redirect("backup", server=server, backup_id=found.pk)


def _sent(request: HttpRequest) -> Iterator[bytes]:
    file = request.FILES.get("file")
    if file is None:
        raise BadInput("No file was chosen.", "Choose a dump.rdb or an export of this console.")
    yield from file.chunks()
