"""Paths into a JSON document that lead to one place: ``$["a"][0]``, or ``.a[0]`` as people type them."""

import re
from typing import Any

from django import forms

Steps = tuple[str | int, ...]
MAX_STEPS = 128
_STEP = re.compile(
    r"""\[\s*(?P<index>\d{1,10})\s*\]
      | \[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]
      | \[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]
      | \.(?P<name>[^.\[\]"'*?@()\s]+)""",
    re.VERBOSE | re.DOTALL,
)


class PathField(forms.CharField):
    """Steps from the root; what could match many places (``*``, ``..``, filters, slices) is refused: it has no bound."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=8192, required=False, strip=False, **options)

    def clean(self, value: Any) -> Steps:
        return parse_path(super().clean(value))


def parse_path(text: str) -> Steps:
    """Raises ValidationError."""
    text = text.strip(" ")
    rest = text.removeprefix("$")
    if rest == text and text and text[0] not in ".[":
        rest = "." + text
    rest = "" if rest == "." else rest
    steps: list[str | int] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None or len(steps) >= MAX_STEPS:
            raise forms.ValidationError(
                'A path looks like $["users"][0]["name"]; it leads to one place, without * or filters.'
            )
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: "re.Match[str]") -> str | int:
    if found["index"] is not None:
        return int(found["index"])
    quoted = found["double"] if found["double"] is not None else found["single"]
    return found["name"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)


def path_text(steps: Steps) -> str:
    """The JSONPath of these steps; the module knows no escapes but those of quotes and the backslash."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f"[{_quoted(step)}]" for step in steps)


def _quoted(name: str) -> str:
    """In the quotes that need no escape: JSON.STRLEN, OBJLEN and ARRLEN do not find a place whose path has an escaped one."""
    quote = "'" if '"' in name and "'" not in name else '"'
    return quote + name.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote
