"""Any other type (a module's): what the server tells of it, and how large its DUMP is."""

from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms

from keyspace.types.base import Face, KeyType, Page
from keyspace.types.reading import PageForm, Reading, gone
from keyspace.wire import Command

FREE_DUMP = 1024 * 1024
"""Bytes of memory up to which the key is dumped unasked to tell the size."""
MAX_DUMP = 64 * 1024 * 1024
"""Bytes of memory beyond which it is not dumped at all: that would stop the server for others."""


class DumpForm(PageForm):
    """`dump`: measure it, though it is large."""

    dump = forms.BooleanField(required=False)

    defaults: ClassVar[dict[str, Any]] = {"dump": False}


@dataclass(frozen=True, kw_only=True)
class UnsupportedPage(Page):
    """What little can be told; None: the server does not say. `dump_bytes` is the length of what DUMP answers; where it is
    None, `may_dump` says whether reading again with `dump=on` would tell."""

    type: str
    encoding: str | None
    memory: int | None
    dump_bytes: int | None
    may_dump: bool


def read_facts_alone(reading: Reading) -> UnsupportedPage:
    name = reading.name
    kind, encoding, memory = reading.try_asking(
        ("TYPE", name), ("OBJECT", "ENCODING", name), ("MEMORY", "USAGE", name)
    )
    if isinstance(kind, Exception):
        raise kind
    if kind == b"none":
        raise gone(name)
    size = memory if isinstance(memory, int) else None
    dumped = _dump(reading, size)
    return UnsupportedPage(
        type=kind.decode(errors="replace"),
        encoding=encoding.decode(errors="replace") if isinstance(encoding, bytes) else None,
        memory=size,
        dump_bytes=len(dumped) if isinstance(dumped, bytes) else None,
        may_dump=dumped is None and (size is None or size <= MAX_DUMP),
        note=_note(dumped, size),
        total=0,
    )


def _dump(reading: Reading, size: int | None) -> Any:
    """DUMP's answer or error; None when it was not asked for its cost."""
    wanted = reading.asked["dump"] or (size is not None and size <= FREE_DUMP)
    if not wanted or (size is not None and size > MAX_DUMP):
        return None
    return reading.try_asking(("DUMP", reading.name))[0]


def _note(dumped: Any, size: int | None) -> str:
    if isinstance(dumped, bytes):
        return ""
    if isinstance(dumped, Exception):
        return "The server does not dump this key."
    if size is not None and size > MAX_DUMP:
        return "Its DUMP is not measured: so large a key would stop the server for everyone."
    return "Its DUMP is not measured yet: the server answers nobody else while it makes one."


class UnsupportedType(KeyType):
    name, slug, label, noun = "unsupported", "unsupported", "other", "elements"
    faces = (Face("facts", "Facts", DumpForm, read_facts_alone),)

    def length_command(self, name: bytes) -> Command | None:
        return None
