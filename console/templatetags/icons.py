"""`{% icon "key-round" %}`: an icon of lucide as inline SVG, the colour and weight of the words beside it."""

import re
from functools import cache
from importlib.resources import files
from io import BytesIO
from zipfile import ZipFile

from django import template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
_INSIDE = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_BETWEEN = re.compile(r">\s+<|\s+(?=/>)")


@cache
def _archive() -> ZipFile:
    return ZipFile(BytesIO((files("lucide") / "lucide.zip").read_bytes()))


@register.simple_tag
@cache
def icon(name: str, size: int = 16) -> SafeString:
    """The icon `size` pixels wide, hidden from screen readers: the words beside it, or an aria-label, name it.

    Its stroke is set in static/css/base.css (`.icon`). Raises TemplateSyntaxError for a name lucide does not have.
    """
    try:
        svg = _archive().read(f"{name}.svg").decode()
    except KeyError:
        raise template.TemplateSyntaxError(f"lucide has no icon {name!r}") from None
    inside = _INSIDE.search(svg)
    lines = (
        _BETWEEN.sub(lambda found: "><" if found[0][0] == ">" else "", inside[1].strip()) if inside else ""
    )
    return mark_safe(  # the packaged file, and a number
        f'<svg class="icon" width="{int(size)}" height="{int(size)}" viewBox="0 0 24 24" aria-hidden="true">{lines}</svg>'
    )
