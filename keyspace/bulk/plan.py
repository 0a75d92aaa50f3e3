"""A plan on disk: which keys end when, written down before any of them is moved, so that none is moved twice.

One file a job: records of expiry (Unix ms, i64), length of the name (u32) and the name.
"""

import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.conf import settings

from keyspace.errors import Conflict

_RECORD = struct.Struct("<qI")


@dataclass(frozen=True)
class Planned:
    """A key and when it ended (Unix ms) as the plan was made."""

    name: bytes
    expires_at: int


def plan_path(job: uuid.UUID) -> Path:
    place = Path(settings.DATA_DIR) / "plans"
    place.mkdir(mode=0o700, exist_ok=True)
    return place / str(job)


class PlanWriter:
    """Writes a plan; it is whole, and on disk, after `finish`."""

    def __init__(self, job: uuid.UUID) -> None:
        self._path = plan_path(job)
        self._part = self._path.with_suffix(".part")
        descriptor = os.open(self._part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")
        self._seen: set[bytes] = set()
        self.keys = 0

    def add(self, planned: list[Planned]) -> None:
        """SCAN may name a key twice; a plan does not."""
        for each in planned:
            if each.name not in self._seen:
                self._seen.add(each.name)
                self._file.write(_RECORD.pack(each.expires_at, len(each.name)) + each.name)
                self.keys += 1

    def finish(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self._path)

    def __enter__(self) -> "PlanWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def read_plan(job: uuid.UUID, *, at: int, count: int) -> Iterator[tuple[list[Planned], int]]:
    """(the next `count` keys from the offset `at` on, the offset behind them). Raises Conflict when the plan is gone."""
    try:
        source = plan_path(job).open("rb")
    except FileNotFoundError:
        raise Conflict(
            "The plan of this job is gone, so it cannot go on.", "What it did stays done; start it anew."
        ) from None
    with source:
        source.seek(at)
        page: list[Planned] = []
        while head := source.read(_RECORD.size):
            expires_at, length = _RECORD.unpack(head)
            page.append(Planned(source.read(length), expires_at))
            if len(page) == count:
                yield page, source.tell()
                page = []
        if page:
            yield page, source.tell()


def remove_plan(job: uuid.UUID) -> None:
    plan_path(job).unlink(missing_ok=True)
