"""Where a page offers changes: buttons in rows, the menu of a value, and the address by which it is read again after one."""

from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from console.templatetags.icons import icon
from console.templatetags.values import _carried
from keyspace.edits import EDITS
from keyspace.encoding import key_id
from keyspace.types.base import Edit
from keyspace.types.elements import Element

register = template.Library()


def _place(context: Context, slug: str) -> str:
    connection = context["connection"]
    return reverse("key_edit", args=[connection.server.name, connection.db, context["name"], slug])


@register.simple_tag(takes_context=True)
def edit_button(context: Context, slug: str, address: str) -> str:
    """An icon that opens the dialog of one change of one element; nothing for whom it is not, or without an address."""
    edit = EDITS[slug][1]
    if not address or not context["may"]["edit_values"] or (edit.reveals and context["page"].masked):
        return ""
    reveal = f"&reveal={quote(context['reveal'])}" if context["reveal"] else ""
    using = f"&as={quote(context['using'])}" if context["using"] and edit.reveals else ""
    url = escape(f"{_places(context)[slug]}?element={quote(address)}{reveal}{using}")
    return _safe(
        f'<button class="icon-button" type="button" hx-get="{url}" hx-target="#dialog" aria-label="{edit.label}" title="{edit.label}">'
        f"{icon(edit.icon, size=14)}</button>"
    )


def _safe(html: str) -> SafeString:
    """Markup of ours in which what came from Redis was escaped; a page has hundreds of these."""
    return mark_safe(html)


def _places(context: Context) -> "_Places":
    """Addresses by slug, each reversed once a page."""
    places: _Places | None = context.render_context.get("edit_places")
    if places is None:
        places = context.render_context["edit_places"] = _Places(context)
    return places


class _Places(dict[str, str]):
    def __init__(self, context: Context) -> None:
        self.context = context

    def __missing__(self, slug: str) -> str:
        self[slug] = _place(self.context, slug)
        return self[slug]


@register.filter
def address_of(element: Element) -> str:
    """The address of a member by its bytes; "" for one of which the page has only the beginning."""
    return "" if element.cut or element.hidden else key_id(element.data)


@register.simple_tag(takes_context=True)
def edits_here(context: Context) -> list[tuple[type[Edit], str]]:
    """(edit, address) of the changes of the whole value that the shown face is for."""
    page, connection = context["page"], context["connection"]
    if not context["may"]["edit_values"]:
        return []
    return [
        (edit, _place(context, edit.slug))
        for edit in context["type"].edits
        if not edit.element
        and not edit.made.startswith("JSON")
        and edit.face in ("", page.face.slug)
        and not (edit.reveals and page.masked)
        and all(connection.supports(command) for command in edit.needs)
    ]


@register.simple_tag(takes_context=True)
def value_query(context: Context) -> str:
    """The parameters by which the shown page of the value is read again."""
    shown: dict[str, Any] = {name: value for name, value in context["page"].query.items() if value}
    return urlencode(_carried(context, face=None, using=None) | shown)
