"""Writing the keys of a file of lines, or (dry) comparing them. Small keys go together: one look at a batch of them, and one MULTI for
those that are not there; what is overwritten goes one by one.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import redis

from keyspace.backups.dumps import Dump
from keyspace.backups.restore import Policy, Report
from keyspace.backups.restore_look import Looker
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.restore_way import WayBack
from keyspace.backups.typed import NotTyped, TypedPiece, read_typed, unpack
from keyspace.backups.typed_writing import write_commands
from keyspace.bulk.watched import execute, in_halves
from keyspace.errors import refusal
from keyspace.importing import digest_of
from keyspace.servers import Client
from keyspace.wire import Command, Wire

BATCH, BATCH_BYTES = 250, 4 * 1024 * 1024
SMALL = 64 * 1024
"""Bytes of a key that waits for others."""
_UNREAD = b"\x00" * 11
"""Stands for a payload that a line does not have."""


@dataclass(frozen=True)
class _Small:
    """A key of one line, and what writes it."""

    piece: TypedPiece
    key: Dump
    commands: list[Command]

    @property
    def size(self) -> int:
        return sum(
            len(word) for command in self.commands for word in command if isinstance(word, bytes | str)
        )


class LineWriter:
    """Keys are given to `add`; those that are still `held` are written by `flush`."""

    def __init__(
        self, client: Client, wire: Wire, policy: Policy, report: Report, back: WayBack | None
    ) -> None:
        """Without a `back` it compares, and writes nothing."""
        self._client, self._wire, self._policy, self._report, self._back = client, wire, policy, report, back
        self._held: dict[bytes, _Small] = {}
        self._bytes = 0

    @property
    def held(self) -> int:
        return len(self._held)

    def add(self, first: TypedPiece, pieces: Iterator[TypedPiece], again: Iterator[TypedPiece]) -> None:
        """A key by its first piece and all of them; `again` are the same for comparing."""
        key = Dump(first.name, first.expires, _UNREAD)
        if key.name in self._held:
            self.flush()
        self._report.looked += 1
        if self._policy.leaves_out(key):
            self._report.count("expired", key.name)
            return
        small = self._as_small(first, key)
        if small is None:
            self.flush()
            self._write_key(first, key, pieces, again)
            return
        self._held[key.name] = small
        self._bytes += small.size
        if len(self._held) >= BATCH or self._bytes > BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        held, self._held, self._bytes = list(self._held.values()), {}, 0
        if not held:
            return
        if self._back is not None and self._policy.existing == "skip":
            in_halves(held, self._write_small, self._give_up)
            return
        kinds = self._compare_small(held)
        for each, kind in kinds:
            self._report.count(kind, each.key.name)
        if self._back is None:
            return
        self._report.skipped += sum(kind == "same" for _, kind in kinds)
        in_halves([each for each, kind in kinds if kind == "new"], self._write_small, self._give_up)
        for each, kind in kinds:
            if kind == "different":
                self._put(self._back, each.key, iter([each.piece]))

    def _as_small(self, first: TypedPiece, key: Dump) -> _Small | None:
        """None for a key that is written alone: a large one, a stream (old servers know it otherwise), and any where all are
        overwritten."""
        alone = self._back is not None and self._policy.existing == "overwrite"
        if alone or not first.last or first.type == "stream":
            return None
        small = _Small(first, key, write_commands(first.name, first.type, first.piece))
        return small if small.commands and small.size <= SMALL else None

    def _write_small(self, batch: list[_Small]) -> bool:
        """False when a key came or went between the look and the MULTI, or the server refused one of several: nothing was written."""
        names = [each.key.name for each in batch]
        watched, *there = self._wire.call_many([("WATCH", *names), *(("EXISTS", name) for name in names)])
        if isinstance(watched, redis.exceptions.ClusterCrossSlotError) and len(batch) > 1:
            return False
        _raise_any((watched, *there))
        new = [each for each, count in zip(batch, there, strict=True) if not count]
        if not new:
            self._wire.call("UNWATCH")
        elif not self._write_new(new):
            return False
        for each, count in zip(batch, there, strict=True):
            if count:
                self._report.count("skipped", each.key.name)
        return True

    def _write_new(self, new: list[_Small]) -> bool:
        noted = self._back is not None and self._back.notes_new
        parts = [self._commands(each, noted) for each in new]
        try:
            answers = execute(self._wire, [command for part in parts for command in part])
        except redis.ResponseError as error:
            if len(new) > 1:
                return False
            self._fail(new[0], refusal(error))
            return True
        if answers is None:
            return False
        rest = iter(answers)
        told = [[next(rest) for _ in part] for part in parts]
        self._note([(each, own[-1] if noted else None, own) for each, own in zip(new, told, strict=True)])
        return True

    def _commands(self, small: _Small, noted: bool) -> list[Command]:
        name, end = small.key.name, self._policy.expiry(small.key)
        ends: list[Command] = [("PEXPIREAT", name, end)] if end else []
        return [*small.commands, *ends, *([("DUMP", name)] if noted else [])]

    def _note(self, written: list[tuple[_Small, bytes | None, list[Any]]]) -> None:
        made = []
        for each, now, answers in written:
            problem = next((refusal(answer) for answer in answers if isinstance(answer, Exception)), None)
            if problem is not None:
                self._fail(each, problem)
                continue
            self._report.restored += 1
            made.append((each.key.name, now, False))
        if self._back is not None:
            self._back.wrote(made)

    def _fail(self, small: _Small, problem: str) -> None:
        self._report.failed += 1
        self._report.note("failed", small.key.name, problem)

    def _give_up(self, small: _Small) -> None:
        self._fail(small, "It changes all the time; nothing was written.")

    def _write_key(
        self, first: TypedPiece, key: Dump, pieces: Iterator[TypedPiece], again: Iterator[TypedPiece]
    ) -> None:
        report, policy, back = self._report, self._policy, self._back
        if back is None or policy.existing == "different":
            kind = self._compare(first, again)
            report.count(kind, key.name)
            if back is None or kind == "same":
                report.skipped += back is not None
                return
        self._put(back, key, pieces)

    def _put(self, back: WayBack, key: Dump, pieces: Iterator[TypedPiece]) -> None:
        report, policy, replaces = self._report, self._policy, False
        if policy.existing != "skip":
            found = Looker(self._wire, policy).look([key])[0]
            replaces = found.old is not None
            if found.large or (found.old is not None and back.keep([found.old])):
                report.skipped, report.too_large = report.skipped + 1, report.too_large + 1
                report.note("too_large", key.name, "left alone: what is there is too large for the trash")
                return
        problem = write_typed(
            self._wire, key.name, pieces, policy.expiry(key), replace=policy.existing != "skip"
        )
        self._note_written(back, key.name, problem, replaces=replaces)

    def _note_written(self, back: WayBack, name: bytes, problem: str | None, *, replaces: bool) -> None:
        if problem is None:
            self._report.restored += 1
            now = self._wire.call("DUMP", name) if replaces or back.notes_new else None
            back.wrote([(name, now, replaces)])
        elif problem == "there":
            self._report.count("skipped", name)
        else:
            self._report.failed += 1
            self._report.note("failed", name, problem)

    def _compare_small(self, batch: list[_Small]) -> list[tuple[_Small, str]]:
        """Each with new, same or different. Strings in three questions each, asked for all at once; others are read as large keys are."""
        names = [each.key.name for each in batch]
        asked = [word for name in names for word in (("TYPE", name), ("PTTL", name), ("STRLEN", name))]
        told = self._wire.call_many(asked)
        same_length = [
            each for each, length in zip(batch, told[2::3], strict=True)
            if each.piece.type == "string" and length == len(unpack(each.piece.piece["value"]))
        ]  # fmt: skip
        values = self._wire.call_many([("GET", each.key.name) for each in same_length])
        held = dict(zip([each.key.name for each in same_length], values, strict=True))
        found = []
        for each, kind, ttl in zip(batch, told[::3], told[1::3], strict=True):
            name, here = each.key.name, None
            if each.piece.type == "string":
                here = held.get(name) == unpack(each.piece.piece["value"])
            found.append((each, self._likeness(each.piece, [each.piece], kind, ttl, here)))
        return found

    def _compare(self, first: TypedPiece, pieces: Iterable[TypedPiece]) -> str:
        kind, ttl = self._wire.call_many([("TYPE", first.name), ("PTTL", first.name)])
        return self._likeness(first, pieces, kind, ttl)

    def _likeness(
        self, first: TypedPiece, pieces: Iterable[TypedPiece], kind: Any, ttl: Any, alike: bool | None = None
    ) -> str:
        """new, same or different; `kind` and `ttl` as TYPE and PTTL answered, `alike` where the values have been compared."""
        _raise_any((kind, ttl))
        if kind == b"none":
            return "new"
        end = None if ttl < 0 else int(time.time() * 1000) + ttl
        close = (end is None) == (first.expires is None) and abs((end or 0) - (first.expires or 0)) < 2000
        if kind.decode() != first.type or not close:
            return "different"
        if alike is not None:
            return "same" if alike else "different"
        try:
            here = digest_of(
                first.type, (part.piece for part in read_typed(self._client, 0, first.name, first.type, None))
            )
        except NotTyped:
            return "different"
        return "same" if here == digest_of(first.type, (piece.piece for piece in pieces)) else "different"


def _raise_any(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
