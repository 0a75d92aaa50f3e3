"""Adding, changing, trying and removing servers."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from console.actors import connect, console_of
from console.servers.forms import ServerForm
from keyspace import stored_servers
from keyspace.models import Server
from keyspace.stored_servers import get_server, is_configured

form_page = require_http_methods(["GET", "HEAD", "POST"])


@form_page
def add_server(request: HttpRequest) -> HttpResponse:
    console = console_of(request)
    stored_servers.check_may_manage(console)
    form = ServerForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return _form(request, form, None)
    server = stored_servers.add_server(
        console, server_name=form.cleaned_data["name"], settings=form.settings()
    )
    messages.success(request, f"{server.name} was added.")
    return redirect("home")


@form_page
def change_server(request: HttpRequest, server: str) -> HttpResponse:
    console = console_of(request)
    row = get_server(console, server_name=server)
    form = ServerForm(request.POST if request.method == "POST" else None, instance=row)
    if request.method != "POST" or not form.is_valid():
        return _form(request, form, row)
    stored_servers.change_server(console, server_name=server, settings=form.settings())
    messages.success(request, f"{server} was changed.")
    return redirect("server", server=server)


def _form(request: HttpRequest, form: ServerForm, row: Server | None) -> HttpResponse:
    if row is not None:
        connect(request, row.name)  # the shell shows where one is
    configured = row is not None and is_configured(row)
    grants = row.grants.count() if row else 0
    context = {"form": form, "row": row, "configured": configured, "grants": grants}
    return render(request, "servers/form.html", context, status=422 if form.is_bound and form.errors else 200)


@require_POST
def check_new_server(request: HttpRequest) -> HttpResponse:
    stored_servers.check_may_manage(console_of(request))
    return _check(request, ServerForm(request.POST), "")


@require_POST
def check_server(request: HttpRequest, server: str) -> HttpResponse:
    row = get_server(console_of(request), server_name=server)
    return _check(request, ServerForm(request.POST if not is_configured(row) else None, instance=row), server)


def _check(request: HttpRequest, form: ServerForm, server_name: str) -> HttpResponse:
    if form.is_bound and not form.is_valid():
        return render(request, "servers/_check.html", {"form": form}, status=422)
    settings = form.settings() if form.is_bound else stored_servers.Settings()
    checked = stored_servers.check_settings(console_of(request), settings=settings, server_name=server_name)
    return render(request, "servers/_check.html", {"checked": checked})


@require_POST
def remove_server(request: HttpRequest, server: str) -> HttpResponse:
    stored_servers.remove_server(console_of(request), server_name=server)
    messages.success(request, f"{server} was removed from the console; the server itself was not touched.")
    return redirect("home")
