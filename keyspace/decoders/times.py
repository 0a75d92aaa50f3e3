"""Points in time as text, exactly."""

import re
from datetime import UTC, datetime

from keyspace.decoders.base import DecodeError

_FIRST, _LAST = -62135596800, 253402300799
"""The years 1 to 9999, in seconds of Unix time."""
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z\Z", re.ASCII)


def instant(seconds: int, nanoseconds: int) -> str | None:
    """Unix time as ``2024-01-31T12:00:00.5Z``; None where no calendar has a date for it."""
    if not (_FIRST <= seconds <= _LAST and 0 <= nanoseconds < 10**9):
        return None
    day = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{day}{fraction}Z"


def read_instant(shown: str) -> tuple[int, int]:
    """(seconds, nanoseconds), the inverse of `instant`. Raises DecodeError."""
    found = _INSTANT.match(shown)
    try:
        day = datetime.strptime(found[1] if found else "", "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise DecodeError("A time is written like 2024-01-31T12:00:00.5Z.") from error
    since = day - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86400 + since.seconds, int((found[2] if found and found[2] else "0").ljust(9, "0"))


def told(value: float) -> str | None:
    """What a number is as Unix time, when it is one from 2001 to 2100 in s, ms, µs or ns; else None."""
    for unit, factor in (
        ("seconds", 1),
        ("milliseconds", 10**3),
        ("microseconds", 10**6),
        ("nanoseconds", 10**9),
    ):
        if 10**9 * factor <= value < 4_102_444_800 * factor:
            seconds, rest = divmod(int(value), factor)
            fraction = rest * (10**9 // factor) if factor > 1 else int((value - int(value)) * 1000) * 10**6
            shown = instant(seconds, fraction)
            return f"As Unix time in {unit}: {(shown or '').replace('T', ' ').replace('Z', ' UTC')}."
    return None
