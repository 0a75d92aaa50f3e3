"""How the detail of an audit entry is read out."""

from typing import Any

from console.templatetags.format import duration_text, exact_text, moment_of, number_text, size_text
from keyspace.audit_links import LINKED

SIZES = {"size", "bytes", "memory"}
# Not worth a word in a row while there is none of it.
RARE = {"gone", "without_trash", "skipped", "failed", "unknown"}


def read_out(detail: dict[str, Any], *, briefly: bool = True) -> list[tuple[str, str]]:
    """(label, words) of each fact; a problem needs no label. `briefly`: without what stands as a link in its place."""
    told: list[tuple[str, str]] = []
    for name, value in detail.items():
        if briefly and (name in LINKED or (name in RARE and not value)):
            continue
        stem = name.removesuffix("_before")
        if name.endswith("_after") and f"{name.removesuffix('_after')}_before" in detail:
            continue
        if stem != name and f"{stem}_after" in detail:
            told.append((_label(stem), f"{_words(stem, value)} → {_words(stem, detail[f'{stem}_after'])}"))
        else:
            told.append((_label(name), _words(name, value)))
    return told


def _label(name: str) -> str:
    return "" if name == "problem" else name.replace("_", " ").replace("ttl", "TTL")


def _words(name: str, value: Any) -> str:
    """A TTL is in milliseconds, and none means that the key does not expire; a moment is in Unix ms."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _number(name, value)
    if isinstance(value, dict):
        return ", ".join(f"{_label(part)}: {_words(part, inner)}" for part, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_words("", part) for part in value) or "none"
    return str(value)


def _number(name: str, value: int) -> str:
    if "ttl" in name.split("_") or name == "jitter":
        return duration_text(value)
    if name == "expires_at":
        return exact_text(moment_of(value, 0.001))
    return size_text(value) if name in SIZES else number_text(value)
