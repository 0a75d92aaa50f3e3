"""What changed between two backups, or a backup and the live server: streamed, in memory bounded by one of 64 parts of the names.

Each side is read once. Of each key a digest of (db, name), a digest of its value and the name go to one of 64 files by the digest; then
the files are compared one after the other. Payloads that differ are compared by their typed form where both sides can be asked, because
the same value may be stored in two encodings.
"""

import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import redis

from keyspace.access import Permission
from keyspace.backups.dumps import Dump, read_dumps, type_of
from keyspace.backups.opening import reading
from keyspace.backups.restore_source import Wanted, source_of
from keyspace.backups.store import parts_directory
from keyspace.backups.typed import NotTyped, Piece, read_typed, to_line
from keyspace.encoding import key_id, to_text
from keyspace.jobs import Run, job
from keyspace.models import Backup
from keyspace.servers import Client, client_of

PARTS = 64
EXAMPLES = 200
MAX_REFINED = 20_000
_ROW = struct.Struct("<16s8sqHI")  # digest of the name, of the value, expiry, length of the name, db
_TYPE_LIMIT = 2_000_000


@dataclass
class Difference:
    """Numbers by kind (added, removed, changed, same, ttl), the same by prefix, and examples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    prefixes: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def note(self, kind: str, db: int, name: bytes) -> None:
        self.counts[kind] += 1
        if kind == "same":
            return
        prefix = to_text(name.partition(b":")[0][:60]) + (":" if b":" in name else "")
        if prefix in self.prefixes or len(self.prefixes) < 1000:
            self.prefixes.setdefault(prefix, Counter())[kind] += 1
        rows = self.examples.setdefault(kind, [])
        if len(rows) < EXAMPLES:
            rows.append({"db": db, "name": to_text(name)[:300], "id": key_id(name)})

    def as_dict(self) -> dict[str, Any]:
        order = sorted(self.prefixes.items(), key=lambda item: -sum(item[1].values()))[:100]
        return {
            "counts": dict(self.counts), "examples": self.examples,
            "prefixes": [{"prefix": prefix, **dict(counts)} for prefix, counts in order],
        }  # fmt: skip


class Parted:
    """One side: its keys' rows in PARTS files of a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self._files: list[IO[bytes]] = [
            (directory / f"{name}{number}").open("w+b", buffering=64 * 1024) for number in range(PARTS)
        ]
        self.keys = 0

    def add(self, db: int, page: list[Dump]) -> None:
        salt, pack, files = db.to_bytes(4, "little"), _ROW.pack, self._files
        for dump in page:
            name = dump.name
            digest = blake2b(name, digest_size=16, salt=salt).digest()
            value = blake2b(dump.payload[:-10], digest_size=8).digest()
            head = pack(
                digest, value, -1 if dump.expires is None else dump.expires, min(len(name), 65535), db
            )
            files[digest[0] % PARTS].write(head + name[:65535])
        self.keys += len(page)

    def part(self, number: int) -> Iterable[tuple[bytes, tuple[bytes, int, int, bytes]]]:
        """(digest, (value, expiry, db, name)) of one file."""
        file = self._files[number]
        file.seek(0)
        while head := file.read(_ROW.size):
            digest, value, expires, length, db = _ROW.unpack(head)
            yield digest, (value, expires, db, file.read(length))

    def close(self) -> None:
        for file in self._files:
            file.close()


Alike = Callable[[int, bytes], bool]


def compare_sides(
    old: Iterable[tuple[int, list[Dump]]],
    new: Iterable[tuple[int, list[Dump]]],
    *,
    progress: Callable[[int, str], None],
    alike: Alike | None = None,
) -> Difference:
    """What is in `new` and not in `old` is added. `alike` says of a key whose payloads differ whether its values are the same."""
    with tempfile.TemporaryDirectory(prefix="compare~", dir=parts_directory()) as place:
        sides = Parted(Path(place), "old"), Parted(Path(place), "new")
        try:
            for side, pages, phase in zip(
                sides, (old, new), ("reading the older side", "reading the newer side"), strict=True
            ):
                for db, page in pages:
                    side.add(db, page)
                    progress(sides[0].keys + sides[1].keys, phase)
            return _join(*sides, alike, lambda: progress(sides[0].keys + sides[1].keys, "comparing"))
        finally:
            for side in sides:
                side.close()


def _join(old: Parted, new: Parted, alike: Alike | None, step: Callable[[], None]) -> Difference:
    found = Difference()
    for number in range(PARTS):
        before = dict(old.part(number))
        for digest, (value, expires, db, name) in new.part(number):
            was = before.pop(digest, None)
            found.note(_kind(was, value, expires, found, alike, db, name), db, name)
        for _, _, db, name in before.values():
            found.note("removed", db, name)
        step()
    return found


def _kind(
    was: tuple[bytes, int, int, bytes] | None,
    value: bytes,
    expires: int,
    found: Difference,
    alike: Alike | None,
    db: int,
    name: bytes,
) -> str:
    if was is None:
        return "added"
    if was[0] != value and not (
        alike is not None and found.counts["changed"] < MAX_REFINED and alike(db, name)
    ):
        return "changed"
    return "ttl" if abs(was[1] - expires) > 1000 or (was[1] < 0) != (expires < 0) else "same"


@job("compare_backup", permission=Permission.BACK_UP)
def compare_backup(run: Run) -> dict[str, Any]:
    backup = Backup.objects.get(pk=run.params["backup"])
    other = Backup.objects.get(pk=run.params["other"]) if run.params.get("other") else None
    older, newer = (
        (other, backup) if other is not None and other.created_at < backup.created_at else (backup, other)
    )
    began = time.monotonic()

    def loading(done: int, total: int | None) -> None:
        run.report(done=done, total=total, unit="bytes", phase="loading")

    def progress(done: int, phase: str) -> None:
        run.report(done=done, total=_total(older, newer), unit="keys", phase=phase)

    with ExitStack() as stack:
        # Two archives of one product need no server; anything else is loaded, so that encodings do not count as changes.
        streamed = (
            newer is not None and older.format == newer.format == "archive" and older.product == newer.product
        )
        sides = [_Side(stack, side, run, loading, streamed=streamed) for side in (older, newer)]
        _compress_alike(*sides)
        run.report(done=0, total=None, unit="keys")
        found = compare_sides(sides[0].pages, sides[1].pages, progress=progress, alike=_alike(*sides))
        report = found.as_dict() | {
            "older": str(older),
            "newer": str(newer) if newer else "live",
            "seconds": round(time.monotonic() - began, 2),
        }
        _add_previews(report, *sides)
        return report


def _total(older: Backup, newer: Backup | None) -> int | None:
    one = sum(older.keys.values())
    return one + (sum(newer.keys.values()) if newer else one) or None


class _Side:
    """A backup, or (None) the live server."""

    def __init__(
        self,
        stack: ExitStack,
        backup: Backup | None,
        run: Run,
        loading: Callable[[int, int | None], None],
        *,
        streamed: bool,
    ) -> None:
        self.client: Callable[[int], Client] | None = None
        if backup is None:
            server = run.connection.server
            self.client = lambda db: client_of(server, db=db)
            self.pages: Iterable[tuple[int, list[Dump]]] = _live_pages(self.client)
        elif backup.format == "archive" and streamed:
            self.pages = stack.enter_context(source_of(backup, Wanted(), loading)).pages
        else:
            self.client = stack.enter_context(reading(backup, loading))
            self.pages = _live_pages(self.client)


def _live_pages(client: Callable[[int], Client]) -> Iterable[tuple[int, list[Dump]]]:
    for name in client(0).info("keyspace"):
        for page in read_dumps(client(int(name[2:]))):
            yield int(name[2:]), page


def _compress_alike(old: _Side, new: _Side) -> None:
    """A server that compresses its payloads and one that does not would differ in every long string."""
    if old.client is None or new.client is None:
        return
    try:
        setting = new.client(0).config_get("rdbcompression").get("rdbcompression") or "yes"
        old.client(0).config_set("rdbcompression", setting)
    except redis.ResponseError:
        return  # the live server does not tell: values are compared by their typed form


def _alike(old: _Side, new: _Side) -> Alike | None:
    if old.client is None or new.client is None:
        return None
    one, other = old.client, new.client
    return lambda db, name: _typed_digest(one(db), db, name) == _typed_digest(other(db), db, name) is not None


def _typed_digest(client: Client, db: int, name: bytes) -> bytes | None:
    """A digest of the value in which order counts only where the type has one; None where it cannot be read, or is too long to sort."""
    kind = type_of(client, name)
    ordered = kind in ("string", "list", "stream", "ReJSON-RL")
    total = blake2b(kind.encode(), digest_size=16)
    rows: list[bytes] = []
    try:
        for piece in read_typed(client, db, name, kind, None):
            _forget_times(piece.piece)
            values = [to_line(piece)] if ordered else [repr(row).encode() for row in piece.piece["value"]]
            rows += [blake2b(value, digest_size=8).digest() for value in values]
            if len(rows) > _TYPE_LIMIT:
                return None
    except NotTyped:
        return None
    for row in rows if ordered else sorted(rows):
        total.update(row)
    return total.digest()


def _forget_times(piece: Piece) -> None:
    """How long ago an entry was delivered differs with every look."""
    for group in piece.get("groups", []):
        group["pending"] = [[entry, consumer, times] for entry, consumer, _, times in group["pending"]]


def _add_previews(report: dict[str, Any], old: _Side, new: _Side) -> None:
    """The beginning of both values of the first changed keys, where both sides can be asked."""
    if old.client is None or new.client is None:
        return
    from keyspace.encoding import from_key_id

    for row in report["examples"].get("changed", [])[:50]:
        name = from_key_id(row["id"])
        row["before"], row["after"] = (
            _preview(side.client(row["db"]), row["db"], name) for side in (old, new) if side.client
        )


def _preview(client: Client, db: int, name: bytes) -> str:
    try:
        piece = next(iter(read_typed(client, db, name, type_of(client, name), None)), None)
    except NotTyped:
        return ""
    return "" if piece is None else str(piece.piece["value"])[:300]
