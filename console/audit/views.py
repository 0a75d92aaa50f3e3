"""The audit: who did what, where and when; whether all of it is still what was written."""

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from console.actors import actor_of
from console.audit.forms import WITHIN, FilterForm
from console.audit.told import read_out
from console.streams import send_chunks
from keyspace.audit_check import state_of_chain, verify_audit
from keyspace.audit_entries import AuditReader, Entries, audit_reader, list_choices, list_entries, read_entry
from keyspace.audit_export import export_entries
from keyspace.audit_links import links_of
from keyspace.encoding import to_text
from keyspace.globs import escape_glob
from keyspace.models import AuditEntry


@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    reader = audit_reader(actor_of(request))
    choices = list_choices(reader)
    form = FilterForm(request.GET, choices)
    context = {"form": form, "choices": choices} | _chain(reader)
    if not form.is_valid():
        return render(request, "audit/audit.html", context, status=400)
    given = form.cleaned_data
    found = list_entries(reader, wanted=form.wanted(), before=given["before"], after=given["after"])
    return render(request, "audit/audit.html", context | _page(form, found))


def _chain(reader: AuditReader) -> dict[str, Any]:
    return {
        "chain": state_of_chain(), "keep_days": settings.AUDIT_KEEP_DAYS, "reader": reader, "once": uuid.uuid4().hex,
    }  # fmt: skip


def _page(form: FilterForm, found: Entries) -> dict[str, Any]:
    links = links_of(found.entries)
    return {
        "rows": [_row(entry, link) for entry, link in zip(found.entries, links, strict=True)],
        "narrowed": form.narrowed, "query": form.query(), "unfinished": found.unfinished,
        "older_url": form.query(before=found.older) if found.older is not None else "",
        "newer_url": form.query(after=found.newer) if found.newer is not None else "",
        "how_far": form.how_far,
        "times": [(name, form.query(within=name, since=None, until=None, offset=None)) for name in ("", *WITHIN)],
    }  # fmt: skip


def _row(entry: AuditEntry, links: Any) -> dict[str, Any]:
    return {"entry": entry, "told": read_out(entry.detail), "links": links}


@require_GET
def entry(request: HttpRequest, number: int) -> HttpResponse:
    """All there is of one entry; the address carries the search it was found by."""
    reader = audit_reader(actor_of(request))
    found = read_entry(reader, entry_id=number)
    state, search = state_of_chain(), request.GET.urlencode()
    context = {
        "entry": found, "told": read_out(found.detail, briefly=False), "links": links_of([found])[0],
        "intact": found.digest() == found.hash,
        "verified": state.broken_at is None and found.pk <= state.whole_id, "chain": state,
        "same_key": None if found.name is None else to_text(escape_glob(found.name)),
        "back_url": reverse("audit") + (f"?{search}" if search else ""),
    }  # fmt: skip
    return render(request, "audit/entry.html", context)


@require_GET
def export(request: HttpRequest, form: str) -> HttpResponseBase:
    """What the search of the address finds, all of it."""
    reader = audit_reader(actor_of(request))
    choices = list_choices(reader)
    search = FilterForm(request.GET, choices)
    if not search.is_valid():
        context = {"form": search, "choices": choices} | _chain(reader)
        return render(request, "audit/audit.html", context, status=400)
    pieces = export_entries(reader, wanted=search.wanted(), form=form)
    return send_chunks(request, pieces, name=f"audit-{timezone.now():%Y%m%d-%H%M%S}.{form}")


@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """All of the chain, by a job."""
    given = request.POST.get("once", "")
    once = f"{request.user.pk}-{given}" if given.isalnum() and len(given) <= 40 else None
    return redirect("job", job_id=verify_audit(audit_reader(actor_of(request)), once=once).pk)
