"""How keys are put back, and what came of it."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from keyspace.backups.dumps import Dump
from keyspace.encoding import to_text

EXAMPLES = 20
EXISTING = {
    "skip": "leave what is there",
    "older": "overwrite what nobody has used since the backup",
    "different": "overwrite what differs",
    "overwrite": "overwrite everything",
}
TTLS = {
    "original": "expire at the original time",
    "remaining": "live on for what was left at the backup",
    "none": "never expire",
}
METHODS = {"keys": "key by key, into the emptied server", "primary": "copy it whole from a temporary primary"}


@dataclass(frozen=True)
class Policy:
    """`existing` of EXISTING, `ttl` of TTLS; `moment` is the backup's own time (Unix ms); `expired`: also what has expired since;
    `keep_past`: with its expiry in the past, for a scratch server that is frozen; `beyond_trash`: what does not fit the trash is
    overwritten all the same."""

    existing: str = "skip"
    ttl: str = "original"
    expired: bool = False
    moment: int = 0
    keep_past: bool = False
    beyond_trash: bool = False

    def expiry(self, dump: Dump) -> int:
        """Unix ms for RESTORE ABSTTL, 0 for none."""
        if dump.expires is None or self.ttl == "none":
            return 0
        if self.keep_past:
            return dump.expires
        now = int(time.time() * 1000)
        if self.ttl == "remaining":
            return now + max(1, dump.expires - self.moment)
        return dump.expires if dump.expires > now else 0  # asked for although it expired: then it stays

    def leaves_out(self, dump: Dump) -> bool:
        """Whether its time has come since the backup, and that counts."""
        if dump.expires is None or self.expired or self.ttl != "original":
            return False
        return dump.expires <= time.time() * 1000


@dataclass
class Report:
    """What happened, or in a dry run would: numbers of keys and, for each kind, up to EXAMPLES names.

    `newer` were used since the backup, `too_large` do not fit the trash: both were left alone, and are among `skipped`. `lost` were
    overwritten without a way back.
    """

    looked: int = 0
    new: int = 0
    same: int = 0
    different: int = 0
    expired: int = 0
    skipped: int = 0
    newer: int = 0
    too_large: int = 0
    lost: int = 0
    restored: int = 0
    typed: int = 0
    failed: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def count(self, kind: str, name: bytes) -> None:
        """One more of a kind that has a number."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.note(kind, name)

    def count_all(self, kind: str, names: list[bytes]) -> None:
        """The same for many."""
        setattr(self, kind, getattr(self, kind) + len(names))
        for name in names[:EXAMPLES]:
            self.note(kind, name)

    def note(self, kind: str, name: bytes, problem: str = "") -> None:
        names = self.examples.setdefault(kind, [])
        if len(names) < EXAMPLES:
            names.append(to_text(name)[:200])
        if problem and len(self.problems) < EXAMPLES:
            self.problems.append(f"{to_text(name)[:120]}: {problem[:200]}")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
