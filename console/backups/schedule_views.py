"""Schedules: when a server is backed up by itself, and what is kept."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from console.actors import connect
from console.backups.forms import ScheduleForm
from keyspace.backups import scheduling


@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: HttpRequest, server: str, number: int | None = None) -> HttpResponse:
    connection = connect(request, server)
    found = scheduling.get_schedule(connection, number=number)
    form = ScheduleForm(request.POST or None, instance=found)
    if request.method == "POST" and form.is_valid():
        scheduling.save_schedule(connection, schedule=form.save(commit=False))
        messages.success(request, f"{found.name} was saved.")
        return redirect("backups", server=server)
    context = {
        "connection": connection,
        "form": form,
        "schedule": found if number else None,
        "due": scheduling.due_times(found) if number else [],
    }
    return render(request, "backups/schedule.html", context, status=422 if form.errors else 200)


@require_POST
def remove(request: HttpRequest, server: str, number: int) -> HttpResponse:
    scheduling.remove_schedule(connect(request, server), number=number)
    messages.success(request, "The schedule was removed; its backups stay.")
    return redirect("backups", server=server)
