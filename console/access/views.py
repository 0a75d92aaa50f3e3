"""People and groups. Forms are pages of their own: they work without JavaScript, and Back works."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.access.forms import ChangePersonForm, GroupForm, PersonForm
from console.actors import console_of
from keyspace import people
from keyspace.errors import NotFound
from keyspace.people import People, list_people

form_page = require_http_methods(["GET", "HEAD", "POST"])


@require_GET
def access(request: HttpRequest) -> HttpResponse:
    return render(request, "access/access.html", {"all": list_people(console_of(request))})


@form_page
@never_cache
def add_person(request: HttpRequest) -> HttpResponse:
    console = console_of(request)
    form = PersonForm(request.POST if request.method == "POST" else None, list_people(console))
    if not form.is_valid():
        return _form(request, form, title="Add person", act="Add person", icon="user-plus")
    username = form.cleaned_data["username"]
    password = people.add_person(console, username=username, groups=form.cleaned_data["groups"])
    return render(request, "access/password.html", {"username": username, "password": password, "new": True})


@form_page
def person(request: HttpRequest, username: str) -> HttpResponse:
    console = console_of(request)
    known = list_people(console)
    shown = next((one for one in known.people if one.name == username), None)
    if shown is None:
        raise NotFound(
            f"There is no person called {username[:150]}.", "They may have been removed meanwhile."
        )
    form = ChangePersonForm(
        request.POST if request.method == "POST" else None, known, active=shown.active, groups=shown.groups
    )
    if not form.is_valid():
        grants = [grant for grant in known.grants if grant.person == username or grant.group in shown.groups]
        return _form(request, form, template="access/person.html", person=shown, grants=grants)
    people.change_person(console, username=username, **form.cleaned_data)
    messages.success(request, f"{username} was changed.")
    return redirect("access")


@require_POST
@never_cache
def renew_password(request: HttpRequest, username: str) -> HttpResponse:
    password = people.renew_password(console_of(request), username=username)
    return render(request, "access/password.html", {"username": username, "password": password, "new": False})


@require_POST
def remove_second_factor(request: HttpRequest, username: str) -> HttpResponse:
    people.remove_second_factor(console_of(request), username=username)
    messages.success(request, f"The second factor of {username} was removed.")
    return redirect("access_person", username)


@require_POST
def remove_person(request: HttpRequest, username: str) -> HttpResponse:
    people.remove_person(console_of(request), username=username)
    messages.success(request, f"{username} was removed.")
    return redirect("access")


@form_page
def add_group(request: HttpRequest) -> HttpResponse:
    console = console_of(request)
    form = GroupForm(request.POST if request.method == "POST" else None, list_people(console))
    if not form.is_valid():
        return _form(request, form, title="Add group", act="Add group", icon="users")
    people.add_group(console, **form.cleaned_data)
    messages.success(request, f"The group {form.cleaned_data['group']} was added.")
    return redirect("access")


@form_page
def group(request: HttpRequest, group: str) -> HttpResponse:
    console = console_of(request)
    known = list_people(console)
    if group not in known.groups:
        raise NotFound(f"There is no group called {group[:150]}.", "It may have been removed meanwhile.")
    data = request.POST if request.method == "POST" else None
    form = GroupForm(data, known, named=False, members=known.groups[group])
    if not form.is_valid():
        return _form(request, form, template="access/group.html", group=group, grants=_of_group(known, group))
    people.change_group(console, group=group, members=form.cleaned_data["members"])
    messages.success(request, f"The group {group} was changed.")
    return redirect("access")


@require_POST
def remove_group(request: HttpRequest, group: str) -> HttpResponse:
    people.remove_group(console_of(request), group=group)
    messages.success(request, f"The group {group} was removed.")
    return redirect("access")


def _of_group(known: People, group: str) -> list[Any]:
    return [grant for grant in known.grants if grant.group == group]


def _form(
    request: HttpRequest, form: Any, *, template: str = "access/form.html", **context: Any
) -> HttpResponse:
    return render(request, template, {"form": form, **context}, status=422 if form.errors else 200)
