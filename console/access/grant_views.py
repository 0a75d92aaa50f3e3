"""Grants: who may do what, where."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from console.access.forms import GrantForm
from console.actors import console_of
from keyspace import grants
from keyspace.people import list_people

form_page = require_http_methods(["GET", "HEAD", "POST"])


@form_page
def add_grant(request: HttpRequest) -> HttpResponse:
    console = console_of(request)
    form = GrantForm(
        request.POST if request.method == "POST" else None, list_people(console), to=request.GET.get("to", "")
    )
    if not form.is_valid():
        return render(request, "access/grant.html", {"form": form}, status=422 if form.errors else 200)
    grants.add_grant(console, bounds=form.bounds(), **form.holder())
    messages.success(request, "The grant was added.")
    return redirect("access")


@form_page
def grant(request: HttpRequest, grant_id: int) -> HttpResponse:
    console = console_of(request)
    shown = grants.get_grant(console, grant_id=grant_id)
    form = GrantForm(request.POST if request.method == "POST" else None, list_people(console), grant=shown)
    if not form.is_valid():
        return render(
            request, "access/grant.html", {"form": form, "grant": shown}, status=422 if form.errors else 200
        )
    grants.change_grant(console, grant_id=grant_id, bounds=form.bounds())
    messages.success(request, "The grant was changed.")
    return redirect("access")


@require_POST
def remove_grant(request: HttpRequest, grant_id: int) -> HttpResponse:
    grants.remove_grant(console_of(request), grant_id=grant_id)
    messages.success(request, "The grant was removed.")
    return redirect("access")
