"""What a comparison found: numbers by kind and prefix in memory, every key that differs in a file a kind, read back page by page."""

import json
import shutil
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from keyspace.encoding import key_id, to_text
from keyspace.models import Job
from keyspace.secrets import decrypt, encrypt

KINDS = ("added", "removed", "changed", "ttl")
MOST_PREFIXES, SHOWN_PREFIXES = 1000, 100
LONGEST_PREFIX = 60
PAGE = 100
BUDGET_SECONDS = 0.5
_ROW = struct.Struct("<IIqq")
_MAYBE = "maybe"


@dataclass(frozen=True)
class DifferentKey:
    """One key. `before` and `after` are when it expires (Unix ms), None: never, or it is not there."""

    db: int
    name: bytes
    before: int | None
    after: int | None


class Differences:
    """Written into `place` while a comparison runs; `close` it.

    Keys whose payloads differ are put aside first (`put_aside`): the same value may be stored in two ways. `candidates` are those.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.place = place
        self.counts: Counter[str] = Counter()
        self.prefixes: dict[bytes, Counter[str]] = {}
        self._files: dict[str, IO[bytes]] = {kind: (place / kind).open("wb") for kind in (*KINDS, _MAYBE)}

    def note(self, kind: str, key: DifferentKey) -> None:
        """`kind` of KINDS, or "same", which is only counted."""
        self.counts[kind] += 1
        if kind == "same":
            return
        prefix = prefix_of(key.name)
        if prefix in self.prefixes or len(self.prefixes) < MOST_PREFIXES:
            self.prefixes.setdefault(prefix, Counter())[kind] += 1
        _write(self._files[kind], key)

    def put_aside(self, key: DifferentKey) -> None:
        _write(self._files[_MAYBE], key)

    def candidates(self) -> Iterator[DifferentKey]:
        self._files[_MAYBE].flush()
        for key, _ in _read(self.place / _MAYBE, 0):
            yield key

    def keep_diff(self, key: DifferentKey, diff: dict[str, Any]) -> None:
        """Encrypted: values are not left lying about in the open where backups may be sealed."""
        _diff_path(self.place, key.db, key.name).write_text(encrypt(json.dumps(diff)))

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        (self.place / _MAYBE).unlink(missing_ok=True)

    def as_dict(self) -> dict[str, Any]:
        order = sorted(self.prefixes.items(), key=lambda item: -sum(item[1].values()))[:SHOWN_PREFIXES]
        rows = [{"prefix": to_text(prefix), "id": key_id(prefix), **dict(counts)} for prefix, counts in order]
        return {"counts": dict(self.counts), "prefixes": rows}


def prefix_of(name: bytes) -> bytes:
    """Up to the first colon; b"" for a name that has none (or not soon)."""
    return name[: name.find(b":", 0, LONGEST_PREFIX) + 1]


def _write(file: IO[bytes], key: DifferentKey) -> None:
    before, after = (-1 if end is None else end for end in (key.before, key.after))
    file.write(_ROW.pack(len(key.name), key.db, before, after) + key.name)


def _read(path: Path, start: int) -> Iterator[tuple[DifferentKey, int]]:
    """Each key from the byte `start` on, and where the next one begins."""
    with path.open("rb") as file:
        file.seek(start)
        while len(head := file.read(_ROW.size)) == _ROW.size:
            length, db, before, after = _ROW.unpack(head)
            name = file.read(length)
            start += _ROW.size + length
            yield DifferentKey(db, name, _end(before), _end(after)), start


def _end(told: int) -> int | None:
    return None if told < 0 else told


def place_of(job: Job) -> Path:
    """Where the differences that a job found are kept, as long as its row is."""
    return Path(settings.DATA_DIR) / "compared" / str(job.pk)


def read_page(
    place: Path, kind: str, prefix: bytes | None, start: int
) -> tuple[list[DifferentKey], int | None]:
    """Up to PAGE keys of a kind, with that prefix, from the byte `start` on; where to go on, or None at the end.

    It takes BUDGET_SECONDS at most, so a page may have fewer keys and yet go on.
    """
    found: list[DifferentKey] = []
    until = time.monotonic() + BUDGET_SECONDS
    for key, after in _read(place / kind, start):
        if prefix is None or prefix_of(key.name) == prefix:
            found.append(key)
        if len(found) == PAGE or time.monotonic() > until:
            return found, after if after < (place / kind).stat().st_size else None
    return found, None


def read_diff(place: Path, db: int, name: bytes) -> dict[str, Any] | None:
    """The diff of the key's values as it was when they were compared, where it was kept."""
    try:
        return json.loads(decrypt(_diff_path(place, db, name).read_text()))  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None


def _diff_path(place: Path, db: int, name: bytes) -> Path:
    return place / f"diff-{blake2b(name, digest_size=16, salt=db.to_bytes(4, 'little')).hexdigest()}.json"


def remove_found(job: Job) -> None:
    shutil.rmtree(place_of(job), ignore_errors=True)
