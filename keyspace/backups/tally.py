"""Adding up what keys take, by type, db and prefix, in memory that does not grow with their number.

Prefixes are a tree along the separator. One with more than FANOUT parts below it holds ids, not kinds of keys: its parts are given up,
and what it adds up to stays exact. Beyond PREFIXES of the first level the rest is one row.
"""

import heapq
from dataclasses import dataclass, field
from typing import Any

from keyspace.encoding import key_id, to_text

SEPARATOR = b":"
DEPTH, FANOUT, PREFIXES = 4, 200, 5000
LONGEST_PART = 200
BIGGEST = 100
SHOWN, MIN_SHARE = 300, 0.005
HOUR, DAY, WEEK = 3_600_000, 86_400_000, 604_800_000
LIVES = ("no TTL", "under an hour", "under a day", "under a week", "longer")
Sum = list[int]
"""Keys, bytes, then keys by LIVES."""


def life_of(ttl: int | None) -> int:
    """Which of LIVES `ttl` (ms) is."""
    if ttl is None:
        return 0
    return 1 if ttl < HOUR else 2 if ttl < DAY else 3 if ttl < WEEK else 4


@dataclass(slots=True)
class Prefix:
    """A node of the tree: `parts` are the prefixes below it by their last part; None once there were too many."""

    sum: Sum = field(default_factory=lambda: [0] * 7)
    parts: dict[bytes, "Prefix"] | None = field(default_factory=dict)


class Tally:
    """Give each key to `add`; `as_dict` is the report."""

    def __init__(self) -> None:
        self.total: Sum = [0] * 7
        self.types: dict[str, Sum] = {}
        self.dbs: dict[int, Sum] = {}
        self.root: dict[bytes, Prefix] = {}
        self.rest = Prefix()
        self.biggest: list[tuple[int, int, bytes, str, int | None]] = []

    def add(self, db: int, name: bytes, kind: str, memory: int, ttl: int | None) -> None:
        """`memory` in bytes, `ttl` in ms as of the backup."""
        life = 2 + life_of(ttl)
        _count(self.types.setdefault(kind, [0] * 7), memory, life)
        _count(self.dbs.setdefault(db, [0] * 7), memory, life)
        _count(self.total, memory, life)
        self._add_prefixes(name, memory, life)
        row = (memory, db, name, kind, ttl)
        if len(self.biggest) < BIGGEST:
            heapq.heappush(self.biggest, row)
        elif memory > self.biggest[0][0]:
            heapq.heapreplace(self.biggest, row)

    def _add_prefixes(self, name: bytes, memory: int, life: int) -> None:
        *parts, _ = name[: DEPTH * LONGEST_PART].split(SEPARATOR, DEPTH)
        prefix = self._first_level(parts[0] if parts else None)
        _count(prefix.sum, memory, life)
        for part in parts[1:]:
            if prefix.parts is None or len(part) > LONGEST_PART:
                return
            below = prefix.parts.get(part)
            if below is None:
                if len(prefix.parts) >= FANOUT:
                    prefix.parts = None
                    return
                below = prefix.parts[part] = Prefix()
            _count(below.sum, memory, life)
            prefix = below

    def _first_level(self, part: bytes | None) -> Prefix:
        """`b""` is where keys without a separator go: no prefix ends there."""
        at = b"" if part is None else part[:LONGEST_PART] + SEPARATOR
        prefix = self.root.get(at)
        if prefix is None:
            if len(self.root) >= PREFIXES:
                return self.rest
            prefix = self.root[at] = Prefix()
        return prefix

    def as_dict(self) -> dict[str, Any]:
        """JSON: sums as lists (see Sum), largest first; `prefixes` in the order of the tree with their `depth`."""
        return {
            "lives": LIVES,
            "total": self.total,
            "types": [{"type": kind, "sum": total} for kind, total in _by_memory(self.types)],
            "dbs": [{"db": db, "sum": total} for db, total in sorted(self.dbs.items())],
            "prefixes": self._rows(),
            "rest": self.rest.sum if self.rest.sum[0] else None,
            "biggest": [_big(row) for row in sorted(self.biggest, key=lambda row: -row[0])],
        }

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for name, prefix in sorted(self.root.items(), key=lambda item: -item[1].sum[1])[:SHOWN]:
            self._add_rows(rows, name, prefix, 0, 0)
        return rows[:SHOWN]

    def _add_rows(
        self, rows: list[dict[str, Any]], name: bytes, prefix: Prefix, depth: int, above: int
    ) -> None:
        """A prefix whose keys all stand below one other is not a row of its own. `above`: bytes of the name that the row above has."""
        below = sorted((prefix.parts or {}).items(), key=lambda item: -item[1].sum[1])
        only = len(below) == 1 and below[0][1].sum[0] == prefix.sum[0]
        if not only:
            shown = to_text(name[above:])
            rows.append({"prefix": to_text(name), "part": shown, "depth": depth, "sum": prefix.sum})
            above = len(name)
        for part, child in below:
            if only or self._counts(child):
                self._add_rows(rows, name + part + SEPARATOR, child, depth + (not only), above)

    def _counts(self, prefix: Prefix) -> bool:
        """Whether it is a part of the whole that one would see."""
        keys, memory = prefix.sum[:2]
        return keys >= MIN_SHARE * self.total[0] or memory >= MIN_SHARE * self.total[1]


def _count(total: Sum, memory: int, life: int) -> None:
    total[0] += 1
    total[1] += memory
    total[life] += 1


def _by_memory(sums: dict[str, Sum]) -> list[tuple[str, Sum]]:
    return sorted(sums.items(), key=lambda item: -item[1][1])


def _big(row: tuple[int, int, bytes, str, int | None]) -> dict[str, Any]:
    memory, db, name, kind, ttl = row
    key = key_id(name) if len(name) <= 1000 else None
    return {"memory": memory, "db": db, "name": to_text(name[:300]), "id": key, "type": kind, "ttl": ttl}
