"""What is in a backup: its statistics, and what differs from another one, key by key."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from keyspace.backups import statistics as counted
from keyspace.backups.compared import get_compared, get_compared_key
from keyspace.backups.tally import DEPTH
from keyspace.encoding import from_key_id
from keyspace.errors import BadInput
from keyspace.models import OpenBackup


@require_GET
def statistics(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    return render(request, "backups/statistics.html", _context(request, server, backup_id))


@require_GET
def analysis(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    """The job while it runs; when it has ended the whole page is read again, with what it found."""
    context = _context(request, server, backup_id)
    if not context["job"] or not context["job"].unfinished:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "backups/_analysis.html", context)


@require_POST
def analyse(request: HttpRequest, server: str, backup_id: uuid.UUID) -> HttpResponse:
    counted.analyse_backup(connect(request, server), backup_id=str(backup_id))
    return redirect("backup_statistics", server=server, backup_id=backup_id)


def _context(request: HttpRequest, server: str, backup_id: uuid.UUID) -> dict[str, Any]:
    connection = connect(request, server)
    backup, found, job = counted.get_statistics(connection, backup_id=str(backup_id))
    return {
        "connection": connection, "backup": backup, "found": found, "job": job, "deepest": DEPTH,
        "with_ttl": sum(found.report["total"][3:]) if found else 0,
        "opened": OpenBackup.objects.filter(backup=backup).select_related("row").first(),
    }  # fmt: skip


@require_GET
def compared(
    request: HttpRequest, server: str, backup_id: uuid.UUID, job_id: uuid.UUID, kind: str
) -> HttpResponse:
    """The keys of one kind, of one prefix or of all, a page at a time."""
    connection = connect(request, server)
    prefix = from_key_id(request.GET["prefix"]) if request.GET.get("prefix") else None
    start = request.GET.get("start", "0")
    if not start.isdecimal() or len(start) > 15:
        raise BadInput("This is not a page of this list.", "Begin again at its first page.")
    page = get_compared(
        connection, backup_id=str(backup_id), job_id=str(job_id), kind=kind, prefix=prefix, start=int(start)
    )
    counts = page.job.result["counts"]
    kinds = [(name, words, counts.get(name, 0)) for name, words in _KINDS.items()]
    context = {
        "connection": connection,
        "backup_id": backup_id,
        "page": page,
        "kind": kind,
        "kinds": kinds,
        "prefix": prefix,
    }
    return render(request, "backups/compared.html", context)


_KINDS = {"added": "Added", "removed": "Removed", "changed": "Changed", "ttl": "Only the TTL"}


@require_GET
def compared_key(
    request: HttpRequest, server: str, backup_id: uuid.UUID, job_id: uuid.UUID, db: int, key: str
) -> HttpResponse:
    connection, name = connect(request, server), from_key_id(key)
    found = get_compared_key(connection, backup_id=str(backup_id), job_id=str(job_id), db=db, name=name)
    context = {"connection": connection, "backup_id": backup_id, "found": found, "db": db, "name": name}
    return render(request, "backups/compared_key.html", context)
