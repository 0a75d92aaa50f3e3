"""What is there already: before keys are overwritten, and for a dry run."""

import itertools
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from django.conf import settings

from keyspace.backups.dumps import Dump, questions, receive_answers, same_value, type_of_payload
from keyspace.backups.restore_report import Policy
from keyspace.wire import Wire, pack

Alike = Callable[[list[tuple[Dump, Dump]]], Collection[bytes]]
"""(a key of the backup, what the target has): the names of those which hold the same value, however either side stores it."""
_SAME_MS = 1000
_MEMORY_USAGE = b"*3\r\n$6\r\nMEMORY\r\n$5\r\nUSAGE\r\n$%d\r\n%b\r\n"
"""Written by hand: packing is much of what a million keys cost us."""


class Found(NamedTuple):
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
        names = [dump.name for dump in page]
        older = self._policy.existing == "older"
        asked = [pack(("WATCH", *names))] if watch else []
        asked += [_MEMORY_USAGE % (len(name), name) for name in names]
        asked += [pack(("OBJECT", "IDLETIME", name)) for name in names] if older else []
        replies = self._wire.exchange(b"".join(asked), len(names) * (1 + older) + watch)
        if watch and isinstance(watched := replies.pop(0), Exception):
            raise watched
        most = settings.TRASH_KEY_BYTES
        readable = [
            size is not None and not (isinstance(size, int) and size > most) for size in replies[: len(page)]
        ]
        idle = replies[len(page) :] or [None] * len(page)
        olds = self._read(list(itertools.compress(names, readable)))
        found = [
            Found(dump, "new") if size is None else self._find(dump, may, olds.get(dump.name), still)
            for dump, size, may, still in zip(page, replies, readable, idle, strict=False)
        ]
        return self._settle_doubts(found) if self._alike is not None else found

    def _find(self, dump: Dump, readable: bool, old: Dump | None, idle: Any) -> Found:
        if old is None and readable:
            return Found(dump, "new")
        newer = isinstance(idle, int) and time.time() - idle > self._policy.moment / 1000
        if old is None:
            return Found(dump, "different", large=True, newer=newer)
        same = self._same_life(dump, old) and same_value(old.payload, dump.payload)
        return Found(dump, "same" if same else "different", old, newer=newer)

    def _same_life(self, dump: Dump, old: Dump) -> bool:
        """The TTL, give or take a second."""
        after = self._policy.expiry(dump)
        return (old.expires is None) == (after == 0) and abs((old.expires or 0) - after) < _SAME_MS

    def _settle_doubts(self, found: list[Found]) -> list[Found]:
        """What is stored otherwise may be the same value."""
        doubts = [
            (each.dump, each.old) for each in found
            if each.kind == "different" and each.old is not None and self._in_doubt(each.dump, each.old)
        ]  # fmt: skip
        if not doubts or self._alike is None:
            return found
        names = self._alike(doubts)
        return [each._replace(kind="same") if each.dump.name in names else each for each in found]

    def _in_doubt(self, dump: Dump, old: Dump) -> bool:
        kinds = type_of_payload(old.payload), type_of_payload(dump.payload)
        return kinds[0] == kinds[1] and not (_plain(old) and _plain(dump)) and self._same_life(dump, old)

    def _read(self, names: list[bytes]) -> dict[bytes, Dump]:
        if not names:
            return {}
        expiry = b"PEXPIRETIME" if self._knows_absolute() else b"PTTL"
        self._wire.send(questions(names, expiry))
        return {old.name: old for old in receive_answers(self._wire, names, expiry)}

    def _knows_absolute(self) -> bool:
        if self._absolute is None:
            reply = self._wire.call_many([("COMMAND", "INFO", "PEXPIRETIME")])[0]
            self._absolute = not isinstance(reply, Exception) and any(reply or [])
        return self._absolute


def _plain(dump: Dump) -> bool:
    """Whether it is a string as it is, neither compressed nor stored as a number: then other bytes are another value."""
    return dump.payload[0] == 0 and dump.payload[1] < 0xC0
