"""Batches of RESTORE on a wire: into free names at full speed, over what is there only after a look, watched."""

from collections import deque
from collections.abc import Callable, Iterable

import redis

from keyspace.backups.dumps import Dump
from keyspace.backups.restore_look import Alike, Found, Looker
from keyspace.backups.restore_report import Policy, Report
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.restore_way import WayBack
from keyspace.backups.typed import TypedPiece
from keyspace.wire import Command, Wire, pack

_TOO_LARGE = "left alone: what is there is too large for the trash"
Fallback = Callable[[Dump], Iterable[TypedPiece]]


class Pipeline:
    """Batches of RESTORE on a wire, one of them under way while the next is prepared."""

    def __init__(
        self, wire: Wire, policy: Policy, report: Report, fallback: Fallback | None, *,
        back: WayBack | None = None, alike: Alike | None = None,
    ) -> None:  # fmt: skip
        self.wire, self._policy, self._report, self._fallback = wire, policy, report, fallback
        self.back = back or WayBack()
        self.looker = Looker(wire, policy, alike)
        self._waiting: deque[tuple[list[Dump], bool]] = deque()

    def send(self, chosen: list[Dump]) -> None:
        """Keys that must not be there; those that are stay."""
        noted, expiry = self.back.notes_new, self._policy.expiry
        packed = [
            pack((b"RESTORE", name, 0 if expires is None else expiry(dump), payload, b"ABSTTL"))
            for dump in chosen
            for name, expires, payload in (dump,)
        ]
        if noted:
            dumps = [pack(("DUMP", dump.name)) for dump in chosen]
            packed = [part for pair in zip(packed, dumps, strict=True) for part in pair]
        self.wire.send(b"".join(packed))
        self._waiting.append((chosen, noted))
        self.settle(most=1)

    def settle(self, *, most: int = 0) -> None:
        """Read replies until at most `most` batches are under way; a key that was refused waits until none is."""
        refused: list[tuple[Dump, Exception]] = []
        while len(self._waiting) > most:
            refused += self._receive()
            most = 0 if refused else most
        for dump, reply in refused:
            self._fall_back(dump, reply)

    def _receive(self) -> list[tuple[Dump, Exception]]:
        chosen, noted = self._waiting.popleft()
        replies = self.wire.receive(len(chosen) * (1 + noted))
        answers, dumps = (replies[::2], replies[1::2]) if noted else (replies, [None] * len(chosen))
        if not noted and answers.count(b"OK") == len(chosen):
            self._report.restored += len(chosen)
            if not self.back.forgets:
                self.back.wrote([(dump.name, None, False) for dump in chosen])
            return []
        refused, written = [], []
        for dump, answer, now in zip(chosen, answers, dumps, strict=True):
            if not isinstance(answer, Exception):
                written.append((dump.name, now if isinstance(now, bytes) else None, False))
            elif "BUSYKEY" in str(answer):
                self._report.count("skipped", dump.name)
            else:
                refused.append((dump, answer))
        self._report.restored += len(written)
        self.back.wrote(written)
        return refused

    def overwrite(self, batch: list[Dump]) -> bool:
        """Look at the keys and write them as one; False when one of them changed between, and nothing was written."""
        try:
            found = self.looker.look(batch, watch=True)
        except redis.exceptions.ClusterCrossSlotError:
            return False  # one key alone is in one slot
        chosen = [each for each in found if wants(each, self._policy)]
        lost = [each.old for each in chosen if each.old is not None and each.kind == "different"]
        self.back.expect([each.dump for each in chosen if each.kind == "different"])
        refused = self.back.keep(lost) if lost else set()
        kept = {old.name for old in lost} - refused
        refused |= {each.dump.name for each in chosen if each.large}
        if not self._policy.beyond_trash:
            chosen = [each for each in chosen if each.dump.name not in refused]
        if chosen and not self._write(chosen, kept):
            self.back.forget(lost)
            return False
        if not chosen:
            self.wire.call("UNWATCH")
        self._tell(found, chosen, refused)
        return True

    def _write(self, chosen: list[Found], kept: set[bytes]) -> bool:
        """In one MULTI; a key that the server refuses is written by its typed form behind it."""
        new = {each.dump.name for each in chosen if each.kind == "new"}
        noted = list(kept | (new if self.back.notes_new else set()))
        commands: list[Command] = [("MULTI",)]
        commands += [(*_restore(each.dump, self._policy), "REPLACE") for each in chosen]
        replies = self.wire.call_many([*commands, *[("DUMP", name) for name in noted], ("EXEC",)])
        if replies[-1] is None:
            return False
        _raise_first(replies)
        answers, now = replies[-1][: len(chosen)], dict(zip(noted, replies[-1][len(chosen) :], strict=True))
        written = [each.dump.name for each, answer in zip(chosen, answers, strict=True) if answer == b"OK"]
        self._report.restored += len(written)
        self.back.wrote([(name, now.get(name), name in kept) for name in written if name in kept | new])
        for each, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, Exception):
                name = each.dump.name
                self._fall_back(each.dump, answer, noted=name in kept | new, replaces=name in kept)
        return True

    def _tell(self, found: list[Found], chosen: list[Found], refused: set[bytes]) -> None:
        writing = {each.dump.name for each in chosen}
        for each in found:
            name = each.dump.name
            self._report.count(each.kind, name)
            if name in writing:
                if name in refused:
                    self._report.count("lost", name)
                continue
            self._report.skipped += 1
            if name in refused:
                self._report.too_large += 1
                self._report.note("too_large", name, _TOO_LARGE)
            elif each.newer:
                self._report.count("newer", name)

    def _fall_back(self, dump: Dump, reply: Exception, *, noted: bool = True, replaces: bool = False) -> None:
        """`noted`: it is new, or (`replaces`) what was there is kept: the way back has to know it."""
        _raise_first([reply] if isinstance(reply, _ENDS_IT) else [])
        problem = str(reply)
        if self._fallback is not None and ("Bad data format" in problem or "DUMP payload" in problem):
            replace = self._policy.existing != "skip"
            typed = self._fallback(dump)
            problem = (
                write_typed(self.wire, dump.name, typed, self._policy.expiry(dump), replace=replace) or ""
            )
        if problem == "there":
            self._report.skipped += 1
        elif problem:
            self._report.failed += 1
            self._report.note("failed", dump.name, problem)
        else:
            self._report.restored, self._report.typed = self._report.restored + 1, self._report.typed + 1
            if noted:
                now = self.wire.call("DUMP", dump.name) if self.back.notes_new or replaces else None
                self.back.wrote([(dump.name, now, replaces)])


_ENDS_IT = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoPermissionError,
)


def _raise_first(replies: Iterable[object]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def wants(found: Found, policy: Policy) -> bool:
    """Whether the policy writes this key."""
    if found.kind == "new":
        return True
    if policy.existing == "older":
        return found.kind == "different" and not found.newer
    return policy.existing == "overwrite" or (policy.existing == "different" and found.kind == "different")


def _restore(dump: Dump, policy: Policy) -> Command:
    expires = 0 if dump.expires is None else policy.expiry(dump)
    return (b"RESTORE", dump.name, expires, dump.payload, b"ABSTTL")
