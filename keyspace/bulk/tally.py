"""What became of the keys: done, skipped, failed, and why."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from keyspace.encoding import to_text

MOST_LINES = 1000
"""Skipped and failed keys that a report names; all are counted."""


@dataclass
class Tally:
    """Keys by outcome. `reasons` counts the skipped and failed by reason; `lines` names them: [name, outcome, reason]."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    trashed: int = 0
    yielded: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    lines: list[list[str]] = field(default_factory=list)

    @property
    def handled(self) -> int:
        return self.done + self.skipped + self.failed

    def skip(self, names: Iterable[bytes], reason: str) -> None:
        self.skipped += self._note(names, "skipped", reason)

    def fail(self, names: Iterable[bytes], reason: str) -> None:
        self.failed += self._note(names, "failed", reason)

    def count_skipped(self, count: int, reason: str) -> None:
        """Skipped keys whose names the server does not tell."""
        if count:
            self.skipped += count
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def add(self, other: "Tally") -> None:
        """Take over what another Tally counted."""
        self.done, self.skipped, self.failed = (
            self.done + other.done,
            self.skipped + other.skipped,
            self.failed + other.failed,
        )
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        self.lines += other.lines[: MOST_LINES - len(self.lines)]

    def _note(self, names: Iterable[bytes], outcome: str, reason: str) -> int:
        noted = list(names)
        if noted:
            self.reasons[reason] = self.reasons.get(reason, 0) + len(noted)
            room = MOST_LINES - len(self.lines)
            self.lines += [[to_text(name)[:500], outcome, reason] for name in noted[:room]]
        return len(noted)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def brief(self) -> dict[str, Any]:
        """The numbers alone: a checkpoint is written twice a second."""
        return {**asdict(self), "lines": self.lines[:100]}


def tally_of(kept: dict[str, Any] | None) -> Tally:
    """A Tally that goes on from what a checkpoint kept."""
    return Tally(**kept) if kept else Tally()
