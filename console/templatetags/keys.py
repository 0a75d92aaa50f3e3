"""Addresses within the keys page, and how a name stands in its folder."""

from dataclasses import replace
from html import escape
from urllib.parse import urlencode

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from console.keys.listing import Found
from console.keys.query import Query
from console.templatetags.format import both_ends, name_text, number, size, ttl, type_badge
from keyspace.encoding import key_id, to_text
from keyspace.keys import Row

register = template.Library()


@register.filter
def with_view(query: Query, view: str) -> str:
    return query.string(view=view)


@register.filter
def with_sort(query: Query, sort: str) -> str:
    return query.string(sort=sort, view="tree")


@register.filter
def for_folder(query: Query, prefix: bytes) -> str:
    """The query string that opens a folder of the tree."""
    tree = Query(view="tree", sort=query.sort, separator=query.separator).string()
    return f"{tree}&{urlencode({'prefix': key_id(prefix)})}"


@register.filter
def direct_in(query: Query, prefix: bytes) -> str:
    """The query string that scans for the keys directly in a folder."""
    return Query(view="tree", sort=query.sort, separator=query.separator, folder=prefix).string()


@register.filter
def as_choice(query: Query) -> str:
    """The filter as the pages for bulk work and exports take it; nothing typed chooses nothing there."""
    folder = "" if query.folder is None else key_id(query.folder)
    given = {
        "match": to_text(query.filter.match) if query.filtered else "", "type": query.type, "ttl": query.ttl, "folder": folder,
        "separator": query.separator if folder else "",
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value}
    return f"?{urlencode(given, errors='surrogateescape')}" if given else ""


@register.filter
def rows_from(query: Query, found: Found) -> str:
    """The query string of the next step of a scan: it counts on while the page asks by itself, and anew for a person's click."""
    given = query.string()
    more = urlencode({"cursor": found.step.cursor or "", "have": found.have if found.goes_on else 0})
    return f"{given}&{more}" if given else f"?{more}"


@register.filter
def short_in(name: bytes, query: Query) -> str:
    """The name as the list shows it: without the folder it stands in, cut in the middle."""
    if query.folder and name.startswith(query.folder):
        name = name[len(query.folder) :]
    text = name_text(name) or '""'
    return text if len(text) <= 120 else f"{text[:70]}…{text[-48:]}"


@register.filter
def page_string(query: Query) -> str:
    """The query string of the page itself: what a folder's rows link to keeps the tree, not the folder."""
    return replace(query, folder=None).string()


@register.filter
def field_query(field: bytes | None) -> str:
    """The query string that means a field of a hash; nothing for the key itself."""
    return "" if field is None else f"?{urlencode({'field': key_id(field)})}"


@register.simple_tag(takes_context=True)
def key_rows(context: Context, rows: list[Row]) -> SafeString:
    """The lines of the list, written here and not in a template: two hundred of them are most of a page's time.

    A link to the key's page; htmx puts the key's pane beside the list (its target stands on the list, once for all rows).
    """
    connection, query = context["connection"], context["query"]
    page = reverse("keys", args=[connection.server.name, connection.db])
    suffix = escape(page_string(query))
    frozen_at = connection.frozen_at
    lines = [_key_row(row, f"{page}{key_id(row.name)}/", suffix, query, frozen_at) for row in rows]
    return mark_safe("".join(lines))


def _key_row(row: Row, address: str, suffix: str, query: Query, frozen_at: int | None) -> str:
    cells = (number(row.length), ttl(row.ttl, frozen_at), size(row.memory))
    return (
        f'<a class="row key-row" href="{address}{suffix}" hx-get="{address}pane/" data-row>{type_badge(row.type)}'
        f'<span class="mono name" title="{escape(name_text(row.name))}">{both_ends(short_in(row.name, query))}</span>'
        + "".join([f'<span class="num">{cell}</span>' for cell in cells])
        + "</a>"
    )


@register.filter
def address(name: bytes) -> str:
    """The address of a key, as paths and parameters carry it."""
    return key_id(name)
