"""What the templates of types are made of: addresses within a value, and cells for its elements.

Addresses carry what the page was read with (`kind`, the face, `as`, `reveal`); `{% go page.next %}` gives a link its attributes, so
that it works as an address of its own and, with htmx, replaces the value alone.
"""

import re
from html import escape
from urllib.parse import quote, urlencode

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from console.templatetags.format import size_text
from console.templatetags.icons import icon
from keyspace.decoders import DECODERS, ROW, Decoded, decode_value
from keyspace.types.elements import Element

register = template.Library()

AT_HAND = ("text", "json", "hex")
"""Decoders that stand in the toolbar itself."""
LINE = 400
"""Characters of a value that fit a row."""
_ALONG = (("kind", "kind"), ("as", "using"), ("reveal", "reveal"))
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _carried(context: Context, *, face: str | None, using: str | None) -> dict[str, str]:
    page = context["page"]
    slug = face or page.face.slug
    carried = {"kind": context["kind"], "face": "" if slug == page.faces[0].slug else slug}
    carried |= {"as": context["using"] if using is None else using, "reveal": context["reveal"]}
    return {name: value for name, value in carried.items() if value}


@register.simple_tag(takes_context=True)
def go(context: Context, parameters: dict[str, str] | None = None, **changes: str) -> SafeString:
    """href and hx-get to the value read with `parameters`; `face` and `using` change those, other keywords (but empty) join."""
    face, using = changes.pop("face", None), changes.pop("using", None)
    changed = {name: value for name, value in changes.items() if value}
    query = urlencode(_carried(context, face=face, using=using) | (parameters or {}) | changed)
    connection = context["connection"]
    page = reverse("key", args=[connection.server.name, connection.db, context["name"]])
    return format_html(
        'href="{}?{}" hx-get="{}?{}" hx-target="#_value_page" hx-swap="outerHTML" hx-sync="#_value_page:replace"',
        page, query, context["urls"]["page"], query,
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def asks(context: Context) -> SafeString:
    """The attributes of a GET form that reads the value anew; `{% carried %}` inside it."""
    connection = context["connection"]
    page = reverse("key", args=[connection.server.name, connection.db, context["name"]])
    return format_html(
        'action="{}" hx-get="{}" hx-target="#_value_page" hx-swap="outerHTML" hx-sync="#_value_page:replace"',
        page, context["urls"]["page"],
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def carried(context: Context) -> SafeString:
    """Hidden inputs for what the addresses of this page carry."""
    inputs = _carried(context, face=None, using=None).items()
    return format_html_join("", '<input type="hidden" name="{}" value="{}">', inputs)


@register.filter
def utf8(data: bytes) -> str:
    """Bytes that are UTF-8 by their nature (JSON), as they are."""
    return data.decode("utf-8", "replace")


@register.simple_tag
def decoders() -> list[tuple[str, str, bool]]:
    """(name, label, whether it stands in the toolbar) of each decoder."""
    return [(decoder.name, decoder.label, decoder.name in AT_HAND) for decoder in DECODERS]


@register.simple_tag(takes_context=True)
def decoded(context: Context, element: Element) -> Decoded:
    """The element through the decoder that was chosen, or the one that is detected."""
    return decode_value(element.data, context["using"] or None, partial=element.cut)


@register.simple_tag(takes_context=True)
def cell(context: Context, element: Element | None) -> str:
    """An element in a row: one line of it, or the whole of what was read when a decoder was chosen."""
    if element is None:
        return ""
    if element.hidden:
        return _safe(f'<span class="masked">•••• {size_text(element.length)}</span>')
    if not element.length:
        return _safe('<span class="faint">empty</span>')
    if not element.data:
        return _safe(
            f'<span class="faint" title="Too large to show in a row: open it">{size_text(element.length)}</span>'
        )
    if context["using"]:
        return _block(decode_value(element.data, context["using"], partial=element.cut))
    text, label = _line(element)
    rest = f' <span class="faint">… {size_text(element.length)}</span>' if element.cut else ""
    chip = f'<span class="chip">{escape(label)}</span>' if label else ""
    return _safe(f"{chip}{escape(text)}{rest}")


def _safe(html: str) -> SafeString:
    """Markup of ours in which everything that came from Redis was escaped: a page has hundreds of these, `format_html` is slow."""
    return mark_safe(html)


def _line(element: Element) -> tuple[str, str]:
    """(text on one line, how it was decoded). What reads as text is shown as it is: only other bytes are decoded unasked."""
    if _is_text(element.data):
        text = element.text
        return (text if len(text) <= LINE else text[:LINE] + "…"), ""
    read = decode_value(element.data, partial=element.cut, limits=ROW)
    if read.failed or read.kind == "hex":
        text = element.text
        return (text if len(text) <= LINE else text[:LINE] + "…"), ""
    text = " ".join(read.text.split())
    return (text if len(text) <= LINE else text[:LINE] + "…"), read.label


def _is_text(data: bytes) -> bool:
    if _CONTROL.search(data):
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        # The end of what is shown may fall within a character.
        return error.start >= len(data) - 3 and error.reason == "unexpected end of data"
    return True


def _block(read: Decoded) -> SafeString:
    note = (
        format_html('<p class="faint">{}</p>', read.failed or read.note) if read.failed or read.note else ""
    )
    if read.kind in ("json", "tree"):
        return format_html('<pre class="json" data-json>{}</pre>{}', read.text, note)
    return format_html(
        '<pre class="{}">{}</pre>{}', "hex" if read.kind == "hex" else "value", read.text, note
    )


@register.simple_tag(takes_context=True)
def row_acts(context: Context, element: Element | None) -> str:
    """The buttons of a row: open the value whole in a dialog, copy it when all of it is here."""
    if element is None or element.hidden or not element.address:
        return ""
    query = "".join(f"&{name}={quote(context[variable])}" for name, variable in _ALONG if context[variable])
    address = escape(f"{context['urls']['element']}?element={quote(element.address)}{query}")
    opener = (
        f'<button class="icon-button" type="button" hx-get="{address}" hx-target="#dialog" aria-label="Open the whole value">'
        f"{icon('maximize-2', size=14)}</button>"
    )
    if element.cut or not element.length:
        return _safe(opener)
    return _safe(
        f'{opener}<button class="icon-button" type="button" data-copy="{escape(element.text)}" aria-label="Copy the value">'
        f"{icon('copy', size=14)}</button>"
    )
