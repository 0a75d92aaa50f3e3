"""What became of the keys: done, skipped, failed, unknown, and why."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import redis

from keyspace.encoding import to_text

MOST_LINES = 1000
"""Skipped, failed and unknown keys that a report names; all are counted."""
GONE = "gone already: it expired or was deleted meanwhile"
NO_ANSWER = "gone, but the connection was lost before the answer came"


@dataclass
class Tally:
    """Keys by outcome. `reasons` counts those that are not done by reason; `lines` names them: [name, outcome, reason].

    `unknown`: they are gone, and nobody can tell by whom; `readable`: done, by their readable form. `waiting`: sent to
    be deleted, and not answered yet.
    """

    done: int = 0
    skipped: int = 0
    failed: int = 0
    unknown: int = 0
    trashed: int = 0
    readable: int = 0
    yielded: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    lines: list[list[str]] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list, repr=False)

    @property
    def handled(self) -> int:
        return self.done + self.skipped + self.failed + self.unknown

    def skip(self, names: Iterable[bytes], reason: str) -> None:
        self.skipped += self._note(names, "skipped", reason)

    def fail(self, names: Iterable[bytes], reason: str) -> None:
        self.failed += self._note(names, "failed", reason)

    def lose(self, names: Iterable[bytes], reason: str) -> None:
        self.unknown += self._note(names, "unknown", reason)

    def count_skipped(self, count: int, reason: str) -> None:
        """Skipped keys whose names the server does not tell."""
        self.skipped += self._count(count, reason)

    def count_unknown(self, count: int, reason: str) -> None:
        self.unknown += self._count(count, reason)

    @contextmanager
    def sending(self, names: list[bytes]) -> Iterator[None]:
        """They are being deleted: when the connection breaks before the answer, they stay in `waiting`."""
        self.waiting = names
        try:
            yield
        except redis.ResponseError:
            self.waiting = []
            raise
        self.waiting = []

    def add(self, other: "Tally") -> None:
        """Take over what another Tally counted."""
        self.done, self.skipped = self.done + other.done, self.skipped + other.skipped
        self.failed, self.unknown = self.failed + other.failed, self.unknown + other.unknown
        self.trashed, self.readable = self.trashed + other.trashed, self.readable + other.readable
        for reason, count in other.reasons.items():
            self._count(count, reason)
        self.lines += other.lines[: MOST_LINES - len(self.lines)]

    def of_gone(self) -> "Tally":
        """The part of it whose keys are not found again: done, or gone."""
        reasons = {reason: count for reason, count in self.reasons.items() if reason in (GONE, NO_ANSWER)}
        lines = [line for line in self.lines if line[2] in reasons]
        return Tally(
            done=self.done, skipped=reasons.get(GONE, 0), unknown=reasons.get(NO_ANSWER, 0), trashed=self.trashed,
            yielded=self.yielded, reasons=reasons, lines=lines,
        )  # fmt: skip

    def _note(self, names: Iterable[bytes], outcome: str, reason: str) -> int:
        noted = list(names)
        room = MOST_LINES - len(self.lines)
        self.lines += [[to_text(name)[:500], outcome, reason] for name in noted[:room]]
        return self._count(len(noted), reason)

    def _count(self, count: int, reason: str) -> int:
        if count:
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        return count

    def as_dict(self) -> dict[str, Any]:
        told = asdict(self)
        del told["waiting"]
        return told

    def brief(self) -> dict[str, Any]:
        """The numbers alone: a checkpoint is written twice a second."""
        return {**self.as_dict(), "lines": self.lines[:100]}


def tally_of(kept: dict[str, Any] | None) -> Tally:
    """A Tally that goes on from what a checkpoint kept."""
    return Tally(**kept) if kept else Tally()
