"""How things are shown: numbers, sizes, durations, moments and bytes, each short, with the exact value on hover.

Functions ending in `_text` give plain text for Python and for attributes; the filters and tags of the same stem add the hover.
`static/js/time.js` writes durations and ages the same way when it refreshes them.
"""

import re
import time
from datetime import UTC, datetime
from html import escape

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from keyspace.encoding import to_text

register = template.Library()

NOTHING = "—"
TAIL = 14  # characters, as .head in rows.css has it
THIN = "\u202f"
TYPES = frozenset({"string", "list", "hash", "set", "zset", "stream", "json"})
MARKS = {"production": ("prod", "PROD"), "staging": ("staging", "STAGING"), "development": ("dev", "DEV")}
_END_SPACES = re.compile(r"^ +| +$")
STATES = {"up": "up", "down": "down", "loading": "loading", "busy": "busy"}
_DURATIONS = (("y", 31_536_000), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_AGES = (
    (60, 1, "s"),
    (3600, 60, "min"),
    (172_800, 3600, "h"),
    (69_120_000, 86_400, "d"),
    (float("inf"), 31_536_000, "y"),
)


def number_text(value: int | float | None) -> str:
    """`1 003 241`; a fraction keeps its digits."""
    return NOTHING if value is None else f"{value:,}".replace(",", THIN)


def _scaled(value: float, units: tuple[str, ...], step: int = 1000) -> str:
    """Three figures at most and the unit: `9.9 k`, `10 k`, `1.0 M`."""
    at = 0
    while abs(value) >= step - 0.5 and at < len(units) - 1:
        value, at = value / step, at + 1
    shown = f"{value:.0f}" if at == 0 or abs(value) >= 99.95 else f"{value:.1f}"
    return f"{shown} {units[at]}".strip()


def compact_text(value: int | None) -> str:
    """`1.0 M` where there is no room for a number; exact below a thousand."""
    return NOTHING if value is None else _scaled(value, ("", "k", "M", "G", "T"))


def size_text(value: int | float | None) -> str:
    """Bytes as `824 B`, `1.2 MB`: powers of 1000."""
    return NOTHING if value is None else _scaled(value, ("B", "kB", "MB", "GB", "TB", "PB"))


def duration_text(ms: float | None) -> str:
    """Milliseconds as `250 ms`, `7.9 s`, `59 m 12 s`, `3 d 4 h`: the two largest units."""
    if ms is None:
        return NOTHING
    if ms < 0:
        return f"-{duration_text(-ms)}"
    if ms < 999.5:
        return f"{ms:.0f} ms" if ms >= 10 or ms == int(ms) else f"{ms:.1f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s".replace(".0 s", " s")
    return life_text(ms)


def life_text(ms: float) -> str:
    """What is left of a life in whole units, rounded up so that only the end says nothing is left: `59 m 12 s`, `12 s`."""
    left = -int(-ms // 1000)
    first = next((at for at, (_, size) in enumerate(_DURATIONS) if left >= size), len(_DURATIONS))
    parts = []
    for unit, size in _DURATIONS[first : first + 2]:
        count, left = divmod(left, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"


def ago_text(seconds: float) -> str:
    """How long ago, or in how long: `now`, `42 s ago`, `2 min ago`, `13 h ago`, `5 d ago`, `in 3 h`."""
    away = abs(seconds)
    if away < 2:
        return "now"
    size, unit = next((size, unit) for limit, size, unit in _AGES if away < limit)
    words = f"{int(away // size)} {unit}"
    return f"in {words}" if seconds < 0 else f"{words} ago"


def moment_of(value: datetime | float | int, unit: float) -> datetime:
    """An aware datetime; a number counts `unit` seconds each since 1970."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.fromtimestamp(min(max(value * unit, -62_000_000_000), 253_000_000_000), UTC)


def exact_text(when: datetime) -> str:
    """`2026-11-24 16:42:07 UTC`."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def moment_text(when: datetime, now: datetime) -> str:
    """`16:42:07` today, `24 Nov 16:42` this year, `2031-01-01 16:42` otherwise."""
    when = when.astimezone(UTC)
    if when.date() == now.date():
        return when.strftime("%H:%M:%S")
    return when.strftime("%-d %b %H:%M" if when.year == now.year else "%Y-%m-%d %H:%M")


@register.filter
def number(value: int | float | None) -> str:
    return number_text(value)


@register.filter
def compact(value: int | None) -> str | SafeString:
    return (
        number_text(value)
        if value is None or value < 1000
        else _hover(compact_text(value), number_text(value))
    )


@register.filter
def size(value: int | None) -> str | SafeString:
    """Bytes, the exact number on hover."""
    return (
        size_text(value)
        if value is None or value < 1000
        else _hover(size_text(value), f"{number_text(value)} B")
    )


@register.filter(name="size_text")
def size_text_filter(value: int | None) -> str:
    return size_text(value)


@register.filter
def duration(ms: float | None) -> str:
    return duration_text(ms)


@register.filter
def percent(part: float | None, whole: float | None) -> str:
    """`61.0 %`; nothing of nothing is nothing."""
    return NOTHING if part is None or not whole else f"{part * 100 / whole:.1f} %"


def _hover(shown: str, exact: str) -> SafeString:
    return mark_safe(f'<span title="{exact}">{shown}</span>')  # numbers, and units of ours


@register.filter
def ago(value: datetime | float | None) -> str | SafeString:
    """A relative time from a datetime or Unix seconds, refreshed by the page; the absolute time on hover."""
    if value is None:
        return NOTHING
    when = moment_of(value, 1)
    words = ago_text(time.time() - when.timestamp())
    return format_html(
        '<time data-ago datetime="{}" title="{}">{}</time>', when.isoformat(), exact_text(when), words
    )


@register.filter
def moment(value: datetime | float | None) -> str | SafeString:
    """An absolute time from a datetime or Unix milliseconds; the page shows it in the reader's own zone."""
    if value is None:
        return NOTHING
    when = moment_of(value, 0.001)
    words = moment_text(when, datetime.now(UTC))
    return format_html(
        '<time data-moment datetime="{}" title="{}">{}</time>', when.isoformat(), exact_text(when), words
    )


@register.simple_tag
def ttl(ms: int | None, frozen_at: int | None = None) -> SafeString:
    """A life that ticks: `ms` left as read just now; None is no expiry. Of an opened backup it stands still, as of `frozen_at`."""
    if ms is None:
        return mark_safe('<span class="faint" title="no expiry">—</span>')
    if frozen_at is not None:
        end = exact_text(moment_of(frozen_at + ms, 0.001))
        return mark_safe(f'<span title="as of the backup, until {end}">{life_text(ms)}</span>')
    ends = int(time.time() * 1000) + ms
    return mark_safe(  # numbers and our own words
        f'<time class="ttl{" ttl-short" if ms < 60_000 else ""}" data-expires-at="{ends}"'
        f' title="expires {exact_text(moment_of(ends, 0.001))}">{life_text(ms)}</time>'
    )


@register.filter
def text(data: bytes | str | None) -> str:
    """Bytes as printable text, as `keyspace.encoding.to_text` writes them, with spaces at their ends as escapes; text as it is."""
    if data is None:
        return NOTHING
    return name_text(bytes(data)) if isinstance(data, bytes | bytearray | memoryview) else str(data)


def name_text(name: bytes) -> str:
    """`to_text` with the spaces of both ends as `\\x20`: there nobody would see them. `from_text` reads it back."""
    return _END_SPACES.sub(lambda found: "\\x20" * len(found[0]), to_text(name))


@register.filter
def both_ends(name: str) -> SafeString:
    """A long name for a place that cuts it (`.cut`): cut before its last characters, since names differ there."""
    head, tail = name[:-TAIL], name[-TAIL:]
    if len(head) < TAIL:  # of a name that nearly fits more is seen when its end is cut
        return mark_safe(escape(name))
    return mark_safe(f'<span class="head">{escape(head)}</span>{escape(tail)}')


@register.filter
def middle(value: str, most: int = 60) -> str:
    """At most `most` characters: the beginning and the end, which tell names apart, and `…` for what is between."""
    if len(value) <= most:
        return value
    tail = (most - 1) * 2 // 5
    return f"{value[: most - 1 - tail]}…{value[len(value) - tail :]}"


@register.simple_tag
def type_badge(kind: str | bytes) -> SafeString:
    """What TYPE answered, in the colour of that type; modules' types are "other"."""
    name = text(kind)
    shown = "json" if name.lower().startswith("rejson") else name
    return mark_safe(f'<span class="type type-{shown if shown in TYPES else "other"}">{escape(shown)}</span>')


@register.simple_tag
def share(part: float | None, whole: float | None) -> SafeString:
    """The percentage over a bar as long as the share."""
    words = percent(part, whole)
    width = 0.0 if not part or not whole else min(100.0, part * 100 / whole)
    bar = '<svg class="share-bar" width="100%" height="2" aria-hidden="true"><rect width="{}%" height="2"/></svg>'
    return mark_safe(f'<span class="share">{words}{bar.format(f"{width:.2f}")}</span>')


@register.simple_tag
def environment_mark(environment: str) -> SafeString | str:
    """The word that marks a production (staging, development) server on every page; nothing for the rest."""
    if environment not in MARKS:
        return ""
    name, word = MARKS[environment]
    return format_html('<span class="mark mark-{}">{}</span>', name, word)


@register.simple_tag
def state_dot(state: str) -> SafeString:
    """A server's state as a dot, and as a word for screen readers and on hover."""
    name = STATES.get(state, "unknown")
    return format_html(
        '<span class="dot dot-{}" title="{}"><span class="sr-only">{}</span></span>', name, name, name
    )


@register.simple_tag
def server_time() -> int:
    """Unix milliseconds now: what the page measures the reader's clock against."""
    return int(time.time() * 1000)
