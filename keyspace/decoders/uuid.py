"""UUIDs (RFC 9562) as text, with what they tell; 16 bytes when asked for, since any 16 bytes could be one."""

import re
import uuid

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading
from keyspace.decoders.times import instant

_TEXT = re.compile(rb"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")
_EPOCH = 0x01B21DD213814000
"""1970 in units of 100 ns since the beginning of the Gregorian calendar, from where versions 1 and 6 count."""


class Uuid(Reading):
    name, label = "uuid", "UUID"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        return 85 if not partial and _TEXT.match(data) else 0

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        if not partial and _TEXT.match(data):
            return Layer(text=data.decode(), note=_about(uuid.UUID(data.decode())))
        if not partial and len(data) == 16:
            found = uuid.UUID(bytes=data)
            return Layer(text=str(found), note=_about(found))
        raise DecodeError("This is neither a UUID in text nor 16 bytes.")

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """16 bytes where `like` is, else text."""
        data = text.strip().encode("utf-8", "replace")
        if not _TEXT.match(data):
            raise DecodeError("A UUID is written as 8-4-4-4-12 hex digits.")
        return uuid.UUID(data.decode()).bytes if len(like) == 16 else data


def _about(found: uuid.UUID) -> str:
    """Version, and the time in those versions that have one."""
    if not found.int or found.int == (1 << 128) - 1:
        return "The UUID of all zeros." if not found.int else "The UUID of all ones."
    if found.variant != uuid.RFC_4122:
        return "Not of a version that RFC 9562 describes."
    time = _time(found)
    return f"Version {found.version}{f', made {time}' if time else ''}."


def _time(found: uuid.UUID) -> str | None:
    if found.version == 7:
        seconds, rest = divmod(found.int >> 80, 1000)
        return instant(seconds, rest * 10**6)
    if found.version == 1:
        ticks = found.time
    elif found.version == 6:
        ticks = (found.int >> 80) << 12 | found.int >> 64 & 0xFFF
    else:
        return None
    seconds, rest = divmod(ticks - _EPOCH, 10**7)
    return instant(seconds, rest * 100)
