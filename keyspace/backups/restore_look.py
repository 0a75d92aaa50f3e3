"""What is there already: before keys are overwritten, and for a dry run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from keyspace.backups.dumps import Dump, same_value, type_of_payload
from keyspace.backups.restore_report import Policy
from keyspace.wire import Command, Wire

Alike = Callable[[Dump], bool]
"""Whether the target holds the same value as this key of the backup, however either stores it."""
_SAME_MS = 1000


@dataclass(frozen=True)
class Found:
    """A key of the backup (`dump`) and what the target has under its name: `kind` is new, same or different.

    `old` is None for a new one, and for one that is too `large` to be read; `newer`: it was used since the backup.
    """

    dump: Dump
    kind: str
    old: Dump | None = None
    large: bool = False
    newer: bool = False


class Looker:
    """Looks at keys over one wire."""

    def __init__(self, wire: Wire, policy: Policy, alike: Alike | None = None) -> None:
        self._wire, self._policy, self._alike = wire, policy, alike
        self._absolute: bool | None = None

    def look(self, page: list[Dump], *, watch: bool = False) -> list[Found]:
        """In the order of `page`; `watch`: a MULTI that follows writes nothing when one of them has changed."""
        first: list[Command] = [("WATCH", *[dump.name for dump in page])] if watch else []
        first += [("MEMORY", "USAGE", dump.name) for dump in page]
        if self._policy.existing == "older":
            first += [("OBJECT", "IDLETIME", dump.name) for dump in page]
        replies = self._wire.call_many(first)
        if watch and isinstance(watched := replies.pop(0), Exception):
            raise watched
        sizes, idle = replies[: len(page)], replies[len(page) :] or [None] * len(page)
        olds = self._read([dump.name for dump, size in zip(page, sizes, strict=True) if _readable(size)])
        return [
            self._find(dump, size, olds.get(dump.name), still)
            for dump, size, still in zip(page, sizes, idle, strict=True)
        ]

    def _find(self, dump: Dump, size: Any, old: Dump | None, idle: Any) -> Found:
        if size is None or (old is None and _readable(size)):
            return Found(dump, "new")
        newer = isinstance(idle, int) and time.time() - idle > self._policy.moment / 1000
        if old is None:
            return Found(dump, "different", large=True, newer=newer)
        return Found(dump, "same" if self._same(dump, old) else "different", old, newer=newer)

    def _same(self, dump: Dump, old: Dump) -> bool:
        """Value and TTL, give or take a second."""
        after = self._policy.expiry(dump)
        if (old.expires is None) != (after == 0) or abs((old.expires or 0) - after) >= _SAME_MS:
            return False
        if same_value(old.payload, dump.payload):
            return True
        kinds = type_of_payload(old.payload), type_of_payload(dump.payload)
        if self._alike is None or kinds[0] != kinds[1] or (_plain(old) and _plain(dump)):
            return False
        return self._alike(dump)

    def _read(self, names: list[bytes]) -> dict[bytes, Dump]:
        if not names:
            return {}
        expiry = "PEXPIRETIME" if self._knows_absolute() else "PTTL"
        commands: list[Command] = [command for name in names for command in (("DUMP", name), (expiry, name))]
        replies = self._wire.call_many(commands)
        now = 0 if self._absolute else int(time.time() * 1000)
        found = {}
        for name, payload, end in zip(names, replies[::2], replies[1::2], strict=True):
            if isinstance(payload, Exception):
                raise payload
            if payload is not None:
                found[name] = Dump(name, now + end if end >= 0 else None, payload)
        return found

    def _knows_absolute(self) -> bool:
        if self._absolute is None:
            reply = self._wire.call_many([("COMMAND", "INFO", "PEXPIRETIME")])[0]
            self._absolute = not isinstance(reply, Exception) and any(reply or [])
        return self._absolute


def _plain(dump: Dump) -> bool:
    """Whether it is a string as it is, neither compressed nor stored as a number: then other bytes are another value."""
    return dump.payload[0] == 0 and dump.payload[1] < 0xC0


def _readable(size: Any) -> bool:
    """Whether a key of this MEMORY USAGE may be dumped; also where the server does not tell."""
    return size is not None and not (isinstance(size, int) and size > settings.TRASH_KEY_BYTES)
