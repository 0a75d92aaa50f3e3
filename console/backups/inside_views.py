"""What is in a backup: its statistics."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from keyspace.backups import statistics as counted
from keyspace.backups.tally import DEPTH
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
