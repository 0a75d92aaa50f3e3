"""Addresses within the keys page, and how a name stands in its folder."""

from dataclasses import replace
from urllib.parse import urlencode

from django import template

from console.keys.listing import Found
from console.keys.query import Query
from keyspace.encoding import key_id, to_text

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
    text = to_text(name) or '""'
    return text if len(text) <= 120 else f"{text[:70]}…{text[-48:]}"


@register.filter
def page_string(query: Query) -> str:
    """The query string of the page itself: what a folder's rows link to keeps the tree, not the folder."""
    return replace(query, folder=None).string()


@register.filter
def field_query(field: bytes | None) -> str:
    """The query string that means a field of a hash; nothing for the key itself."""
    return "" if field is None else f"?{urlencode({'field': key_id(field)})}"
