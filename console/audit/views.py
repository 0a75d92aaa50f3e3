"""The audit: who did what, where and when."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.actors import console_of
from console.audit.forms import FilterForm
from console.audit.told import read_out
from keyspace.audit_entries import Filter, list_entries, list_operations


@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    console = console_of(request)
    form = FilterForm(request.GET, list_operations(console))
    if not form.is_valid():
        return render(request, "audit/audit.html", {"form": form}, status=400)
    wanted, given = form.wanted(), form.cleaned_data
    found = list_entries(console, wanted=wanted, before=given["before"], after=given["after"])
    context = {
        "form": form, "rows": [(entry, read_out(entry.detail)) for entry in found.entries], "filtered": any(vars(wanted).values()),
        "older_url": _page(wanted, before=found.older), "newer_url": _page(wanted, after=found.newer),
    }  # fmt: skip
    return render(request, "audit/audit.html", context)


def _page(wanted: Filter, **border: int | None) -> str:
    """The query string of a neighbouring page, empty where there is none."""
    if None in border.values():
        return ""
    return "?" + urlencode({**{name: value for name, value in vars(wanted).items() if value}, **border})
