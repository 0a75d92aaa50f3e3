"""The dialog of one change of a key, its conflict, and what it answers."""

import difflib
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from console.keys.edit_answers import done, trash_undo
from console.keys.edit_forms import PLAIN, SHOWN, TOO_LONG, Shown, read_seen, show_value, sign_seen
from keyspace import edits
from keyspace.decoders import decode_value
from keyspace.encoding import from_key_id, to_text
from keyspace.errors import BadInput, Conflict, NotFound, Problem, TooLarge
from keyspace.once import once
from keyspace.servers import Connection
from keyspace.types.editing import Edit, ValueEdit

MOST_LINES = 3000
"""Lines of either side up to which a diff is made."""


@require_GET
def edit(request: HttpRequest, server: str, db: int, key: str, slug: str) -> HttpResponse:
    """The dialog, with what it changes read fresh."""
    connection, name = connect(request, server, db), from_key_id(key)
    form = edits.find_edit(slug)[1](element=request.GET.get("element", ""))
    return _dialog(request, connection, name, form, using=request.GET.get("as", ""))


@require_POST
def apply_edit(request: HttpRequest, server: str, db: int, key: str, slug: str) -> HttpResponse:
    """422 with the dialog again for what is not valid, or cannot be written, and for what changed meanwhile."""
    connection, name = connect(request, server, db), from_key_id(key)
    form = edits.find_edit(slug)[1](request.POST, request.FILES, element=request.GET.get("element", ""))
    seen = read_seen(request, _about(connection, name, form))
    if not form.is_valid():
        return _dialog(request, connection, name, form)

    def act() -> dict[str, Any]:
        made = edits.edit_key(
            connection, name, edit=form, seen=seen.digest, overwrite="overwrite" in request.POST, reveal=_reveal(request)
        )  # fmt: skip
        return {"sentence": made.sentence, "entry": made.entry, "gone": made.gone}

    try:
        answer = once(seen.once, act)
    except edits.Changed as changed:
        return _conflict(request, connection, name, form, changed)
    except (BadInput, Conflict, TooLarge) as problem:
        return _dialog(request, connection, name, form, problem=problem)
    return _done(request, connection, name, answer)


def _done(request: HttpRequest, connection: Connection, name: bytes, answer: dict[str, Any]) -> HttpResponse:
    text = f"{answer['sentence']} {to_text(name)[:80]}"
    more = "" if answer["entry"] else "Nothing was kept to undo it."
    gone = reverse("key", args=[connection.server.name, connection.db, name]) if answer["gone"] else ""
    text += ", which had nothing else and is gone" if gone else ""
    return done(
        request, connection, name, text, undo=trash_undo(connection, answer["entry"]), more=more, gone=gone
    )


def _reveal(request: HttpRequest) -> str | None:
    return request.GET.get("reveal") or None


def _about(connection: Connection, name: bytes, form: Edit) -> str:
    """What a signed form is about: this change of this element of this key."""
    return repr((connection.server.name, connection.db, name, form.slug, form.address))


def _dialog(
    request: HttpRequest,
    connection: Connection,
    name: bytes,
    form: Edit,
    *,
    using: str = "",
    problem: Problem | None = None,
) -> HttpResponse:
    """The form with a fresh digest. What cannot be opened any more is told in its place."""
    context: dict[str, Any] = _context(request, connection, name, form) | {"problem": problem}
    try:
        # Of a form that was filled in only what it would change is asked: what it would add is for the act to refuse.
        fresh = type(form)(element=form.address)
        opened = edits.open_edit(connection, name, edit=fresh, reveal=_reveal(request))
    except (Conflict, NotFound, edits.Masked, TooLarge, BadInput) as refused:
        status = 422 if form.is_bound else 200
        return render(request, "keys/edit/_refused.html", context | {"problem": refused}, status=status)
    context["seen"] = sign_seen(request, _about(connection, name, form), opened.digest)
    context["opened"] = opened
    if not form.is_bound:
        form.initial.update(form.filled_from(opened.subject))
        if isinstance(form, ValueEdit):
            context["shown"] = _fill(form, opened.subject.value, using)
    elif isinstance(form, ValueEdit) and form.reveals:
        chosen = request.POST.get("using", "")
        context["shown"] = Shown("", chosen, [(chosen, chosen or "text")], "")
    return render(request, "keys/edit/_edit.html", context, status=422 if form.is_bound else 200)


def _fill(form: ValueEdit, value: bytes | None, using: str) -> Shown | None:
    """The value that is there, in a form that can be written back; None where a new one is typed."""
    if not form.reveals:
        form.initial["using"] = "text"
        return None
    if value is None:
        return TOO_LONG
    shown = show_value(value, form.fixed_using or using)
    form.initial.update(value=shown.text, using=shown.using)
    return shown


def _context(request: HttpRequest, connection: Connection, name: bytes, form: Edit) -> dict[str, Any]:
    query = "&".join(f"{part}={request.GET[part]}" for part in ("element", "reveal") if request.GET.get(part))
    return {
        "connection": connection, "name": name, "form": form, "query": f"?{query}" if query else "", "plain": PLAIN,
        "value_field": form["value"] if isinstance(form, ValueEdit) else None,
        "fields": [field for field in form.visible_fields() if field.name != "value"],
        "element": form.told_element(), "beside": _beside(connection, form), "upload": _upload(form),
    }  # fmt: skip


def _upload(form: Edit) -> str:
    """The change that puts a file in the place of the same value; "" where there is none."""
    slug = f"{form.slug.partition('-')[0]}-upload"
    return slug if slug in edits.EDITS else ""


def _beside(connection: Connection, form: Edit) -> list[type[Edit]]:
    """The other changes of the same element."""
    if not form.element:
        return []
    kind = edits.find_edit(form.slug)[0]
    return [
        other for slug, (of, other) in edits.EDITS.items()
        if of == kind and other.element and slug != form.slug and other.face == form.face
        and all(connection.supports(command) for command in other.needs)
    ]  # fmt: skip


def _conflict(
    request: HttpRequest, connection: Connection, name: bytes, form: Edit, changed: edits.Changed
) -> HttpResponse:
    """Theirs and yours, and three ways on. What is masked from the person is not told."""
    context = _context(request, connection, name, form) | {"changed": changed, "problem": changed}
    context["seen"] = sign_seen(request, _about(connection, name, form), changed.digest)
    using = request.POST.get("using", "")
    if not changed.hidden and changed.theirs.value is not None:
        theirs = decode_value(changed.theirs.value, using or None, limits=SHOWN).text
        context["theirs"] = theirs
        if isinstance(form, ValueEdit):
            context["diff"] = diff(theirs, form.cleaned_data["value"])
    if isinstance(form, ValueEdit):
        context["shown"] = Shown("", using, [(using, using)], "")
    return render(request, "keys/edit/_conflict.html", context, status=422)


def diff(theirs: str, yours: str) -> list[tuple[str, str]] | None:
    """Lines as (same | theirs | yours, text), long runs of same ones left out; None where it is too much to compare."""
    old, new = theirs.split("\n"), yours.split("\n")
    if max(len(old), len(new)) > MOST_LINES or max(len(theirs), len(yours)) > 400_000:
        return None
    rows: list[tuple[str, str]] = []
    for line in difflib.unified_diff(old, new, lineterm="", n=3):
        if line.startswith(("---", "+++")) and not rows:
            continue
        kind = {"-": "theirs", "+": "yours", "@": "gap"}.get(line[:1], "same")
        rows.append((kind, "…" if kind == "gap" else line[1:]))
    return rows
