"""How the detail of an audit entry is read out."""

from typing import Any

from console.templatetags.format import duration_text, number_text


def read_out(detail: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, words) of each fact; a problem needs no label."""
    return [
        ("" if name == "problem" else name.replace("_", " "), _words(name, value))
        for name, value in detail.items()
    ]


def _words(name: str, value: Any) -> str:
    """A TTL is in milliseconds, and none means that the key does not expire."""
    if name.endswith("ttl") and (value is None or isinstance(value, int)):
        return "none" if value is None else duration_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, int):
        return number_text(value)
    if isinstance(value, dict):
        return ", ".join(f"{part}: {_words(part, inner)}" for part, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_words("", part) for part in value) or "none"
    return str(value)
