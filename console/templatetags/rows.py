"""The rows of values, and their acts: fifty of them are most of a page's time, so that they are written here and not in templates."""

from html import escape
from typing import Any

from django import template
from django.template import Context
from django.utils.safestring import SafeString, mark_safe

from console.templatetags.edits import edit_button
from console.templatetags.format import middle, ttl
from console.templatetags.icons import icon
from console.templatetags.values import cell, row_acts
from keyspace.types.elements import Element
from keyspace.types.hash import HashRow

register = template.Library()


class _Flat(dict[str, Any]):
    """A context as one dict: the tags below look up a dozen names a row, and a Context searches a pile of dicts for each."""

    def __init__(self, context: Context) -> None:
        super().__init__(context.flatten())  # type: ignore[arg-type]
        self.render_context = context.render_context


def _flat(context: Context) -> Any:
    """The _Flat of this rendering, made once."""
    flat = context.render_context.get("flat")
    if flat is None:
        flat = context.render_context["flat"] = _Flat(context)
    return flat


@register.simple_tag(takes_context=True)
def acts(context: Context, element: Element | None, address: str, *slugs: str) -> SafeString:
    """The cell of a row's buttons: open and copy the element, and the edits `slugs` of the element at `address`."""
    flat = _flat(context)
    return mark_safe(row_acts(flat, element) + "".join([edit_button(flat, slug, address) for slug in slugs]))


@register.simple_tag(takes_context=True)
def fast_cell(context: Context, element: Element | None) -> SafeString:
    """`cell`, with what it looks up at hand."""
    return mark_safe(cell(_flat(context), element))


@register.simple_tag(takes_context=True)
def hash_rows(context: Context) -> SafeString:
    """Field, value, TTL where a field has one, and the acts the role may."""
    flat = _flat(context)
    return mark_safe("\n".join([_row(flat, row) for row in flat["page"].rows]))


def _row(flat: Any, row: HashRow) -> str:
    name = row.field.text
    shown = escape(middle(name, 120)) if row.field.length else '<span class="faint">empty</span>'
    life = (
        f'<td class="num">{ttl(row.ttl, flat["connection"].frozen_at)}</td>' if flat["page"].has_ttls else ""
    )
    value = "wrap" if flat["using"] else "cut"
    return (
        f'<tr data-row><th scope="row" class="mono cut" title="{escape(middle(name, 500))}">{shown}</th>'
        f'<td class="mono {value}" data-cell="field {escape(row.value.address)}">{cell(flat, row.value)}</td>{life}'
        f'<td class="row-acts">{_ttl_button(flat, row)}{row_acts(flat, row.value)}'
        f"{edit_button(flat, 'hash-set', row.value.address)}{edit_button(flat, 'hash-delete', row.value.address)}</td></tr>"
    )


def _ttl_button(flat: Any, row: HashRow) -> str:
    if not flat.get("field_ttls") or not row.value.address:
        return ""
    name = escape(middle(row.field.text, 60))
    return (
        f'<button class="icon-button" type="button" hx-get="{flat["urls"]["ttl"]}?field={row.value.address}" hx-target="#dialog" '
        f'aria-label="TTL of {name}" title="TTL of this field">{icon("timer", 14)}</button>'
    )
