"""Redis glob patterns (``* ? [a-z] [^a] \\x``) as Python regular expressions over bytes, with the same meaning."""

import re
from functools import lru_cache

MAGIC = re.compile(rb"[*?\[\\]")


def is_glob(pattern: bytes) -> bool:
    """Whether the pattern can match anything but itself."""
    return MAGIC.search(pattern) is not None


def escape_glob(name: bytes) -> bytes:
    """A pattern that matches this name and nothing else."""
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", name)


@lru_cache(maxsize=1024)
def compile_glob(pattern: bytes) -> re.Pattern[bytes]:
    """What stringmatchlen() of Redis accepts; use `.fullmatch`. Its time grows with the name, not with the number of stars.

    What stands between two stars is taken where it first fits, and never tried elsewhere (an atomic group): that is
    always right for globs, and keeps a pattern such as ``*a*a*a*a*b`` from holding the process up.
    """
    if pattern and not pattern.strip(b"*") and pattern != b"*":
        return re.compile(b".+", re.DOTALL)  # the servers' own matching leaves the empty name out here
    first, *rest = _parts(pattern)
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = b"".join(b"(?>.*?" + part + b")" for part in rest[:-1] if part)
    return re.compile(first + middle + b".*" + rest[-1], re.DOTALL)


def _parts(pattern: bytes) -> list[bytes]:
    """The regular expressions of what stands before, between and behind the stars."""
    parts, out, at = [], bytearray(), 0
    while at < len(pattern):
        if pattern[at : at + 1] == b"*":
            parts.append(bytes(out))
            out.clear()
            at += 1
        else:
            at = _step(pattern, at, out)
    return [*parts, bytes(out)]


def _step(pattern: bytes, at: int, out: bytearray) -> int:
    char = pattern[at : at + 1]
    if char == b"[":
        return _bracket(pattern, at + 1, out)
    if char == b"?":
        out += b"."
    elif char == b"\\" and at + 1 < len(pattern):
        at += 1
        out += re.escape(pattern[at : at + 1])
    else:
        out += re.escape(char)
    return at + 1


def _bracket(pattern: bytes, at: int, out: bytearray) -> int:
    """A class; as in Redis an unclosed one ends with the pattern, and a reversed range is turned."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    chars: set[int] = set()
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            chars.add(pattern[at + 1])
            at += 2
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            low, high = sorted((pattern[at], pattern[at + 2]))
            chars.update(range(low, high + 1))
            at += 3
        else:
            chars.add(pattern[at])
            at += 1
    if negated:
        chars = set(range(256)) - chars
    out += b"[" + b"".join(re.escape(bytes([char])) for char in sorted(chars)) + b"]" if chars else b"(?!)"
    return at + 1
