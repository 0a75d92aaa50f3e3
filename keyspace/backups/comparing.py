"""What changed between two backups, or a backup and the live server: streamed, in memory bounded by one of 64 parts of the names.

Each side is read once, into digests on disk (`parted`), and those are joined part by part. What differs in its payload is then looked at
in its typed form (`judging`), because the same value may be stored in two encodings; all that is found goes to disk (`differences`).
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import redis

from keyspace.access import Permission
from keyspace.backups.differences import Differences, DifferentKey, place_of, remove_found
from keyspace.backups.dumps import Dump, read_dumps
from keyspace.backups.judging import Clients, Judge, hold_keys
from keyspace.backups.live_side import LiveSide
from keyspace.backups.opening import reading
from keyspace.backups.parted import PARTS, Parted, Row
from keyspace.backups.restore_source import Wanted, source_of
from keyspace.backups.store import parts_directory
from keyspace.jobs import Run, job
from keyspace.models import Backup
from keyspace.servers import Client

MOST_JUDGED, MOST_DIFFS = 20_000, 200
TTL_SLACK = 1000
Pages = Iterable[tuple[int, list[Dump]]]
Progress = Callable[[int, str], None]


def compare_sides(
    old: Pages,
    new: Pages,
    *,
    progress: Progress,
    into: Path | None = None,
    judge: Callable[[Differences], Judge | None] = lambda found: None,
) -> Differences:
    """What is in `new` and not in `old` is added. The keys go to files in `into` (None: only the numbers are kept).

    `judge` is asked once the candidates are known; without one every other payload is a change.
    """
    with tempfile.TemporaryDirectory(prefix="compare~", dir=parts_directory()) as place:
        found = Differences(into or Path(place) / "found")
        sides = Parted(Path(place), "old"), Parted(Path(place), "new")
        try:
            for side, pages, word in zip(sides, (old, new), ("older", "newer"), strict=True):
                for db, page in pages:
                    side.add(db, page)
                    progress(sides[0].keys + sides[1].keys, f"reading the {word} side")
            keys = sides[0].keys + sides[1].keys
            _join(*sides, found, lambda: progress(keys, "comparing"))
            _judge(found, judge(found), lambda: progress(keys, "comparing values"))
        finally:
            for side in sides:
                side.close()
            found.close()
    return found


def _join(old: Parted, new: Parted, found: Differences, step: Callable[[], None]) -> None:
    for number in range(PARTS):
        before, after = dict(old.part(number)), dict(new.part(number))  # a SCAN may have told a key twice
        for digest, row in after.items():
            _note(found, before.pop(digest, None), row)
        for _, expires, db, name in before.values():
            found.note("removed", DifferentKey(db, name, _end(expires), None))
        step()


def _note(found: Differences, was: Row | None, now: Row) -> None:
    value, expires, db, name = now
    if was is None:
        found.note("added", DifferentKey(db, name, None, _end(expires)))
        return
    key = DifferentKey(db, name, _end(was[1]), _end(expires))
    if was[0] != value:
        found.put_aside(key)
    else:
        found.note(_kind_of_alike(key), key)


def _end(expires: int) -> int | None:
    return None if expires < 0 else expires


def _kind_of_alike(key: DifferentKey) -> str:
    """Of a key with the same value: servers before 7 tell ends only to a moment."""
    if key.before is None or key.after is None:
        return "same" if key.before == key.after else "ttl"
    return "ttl" if abs(key.before - key.after) > TTL_SLACK else "same"


def _judge(found: Differences, judge: Judge | None, step: Callable[[], None]) -> None:
    """Settle the candidates; the diffs of the first that did change are kept, for both sides may be gone later."""
    kept = 0
    for number, key in enumerate(found.candidates()):
        step()
        if judge is not None and number < MOST_JUDGED and judge.alike(key.db, key.name):
            found.note(_kind_of_alike(key), key)
            continue
        found.note("changed", key)
        if judge is not None and kept < MOST_DIFFS:
            kept += _keep_diff(found, judge, key)


def _keep_diff(found: Differences, judge: Judge, key: DifferentKey) -> bool:
    """Unless one side has not got the key: it went meanwhile, or was not held."""
    diff = judge.diff(key.db, key.name)
    if all(diff["types"]):
        found.keep_diff(key, diff)
    return all(diff["types"])


@job("compare_backup", permission=Permission.BACK_UP, on_remove=remove_found)
def compare_backup(run: Run) -> dict[str, Any]:
    older, newer = sides_of(run.params)
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
        found = compare_sides(
            sides[0].pages, sides[1].pages, progress=progress, into=place_of(run.job),
            judge=lambda found: _judge_of(stack, sides, found),
        )  # fmt: skip
    return found.as_dict() | {
        "older": str(older),
        "newer": str(newer) if newer else "live",
        "seconds": round(time.monotonic() - began, 2),
    }


def sides_of(params: dict[str, Any]) -> tuple[Backup, Backup | None]:
    """(the older backup, the newer one or None: the live server) of a comparison."""
    backup = Backup.objects.get(pk=params["backup"])
    other = Backup.objects.get(pk=params["other"]) if params.get("other") else None
    if other is not None and other.created_at < backup.created_at:
        return other, backup
    return backup, other


def _total(older: Backup, newer: Backup | None) -> int | None:
    one = sum(older.keys.values())
    return one + (sum(newer.keys.values()) if newer else one) or None


class _Side:
    """A backup, or (None) the live server. `entry` is a client of the server that is asked; None for an archive that is streamed."""

    def __init__(
        self,
        stack: ExitStack,
        backup: Backup | None,
        run: Run,
        loading: Callable[[int, int | None], None],
        *,
        streamed: bool,
    ) -> None:
        self.entry: Client | None = None
        if backup is None:
            live = LiveSide(stack, run.connection.server)
            self.entry, self.pages, self.holding = live.entry, live.pages(), live.holding
        elif streamed:
            self.pages = stack.enter_context(source_of(backup, Wanted(), loading)).pages
            self.holding = lambda names: _held(stack, backup, names, loading)
        else:
            clients = stack.enter_context(reading(backup, loading))
            self.entry, self.pages, self.holding = clients(0), _server_pages(clients), lambda names: clients


def _server_pages(clients: Clients) -> Iterator[tuple[int, list[Dump]]]:
    for name in clients(0).info("keyspace"):
        for page in read_dumps(clients(int(name[2:]))):
            yield int(name[2:]), page


def _held(
    stack: ExitStack, backup: Backup, names: tuple[bytes, ...], loading: Callable[[int, int | None], None]
) -> Clients | None:
    """The archive is read once more, for these keys."""
    again = stack.enter_context(source_of(backup, Wanted(names=names), loading))
    return hold_keys(stack, again.pages)


def _compress_alike(old: _Side, new: _Side) -> None:
    """A server that compresses its payloads and one that does not would differ in every long string."""
    if old.entry is None or new.entry is None:
        return
    try:
        setting = new.entry.config_get("rdbcompression").get("rdbcompression") or "yes"
        old.entry.config_set("rdbcompression", setting)
    except redis.ResponseError:
        return  # the live server does not tell: values are compared by their typed form


def _judge_of(stack: ExitStack, sides: list[_Side], found: Differences) -> Judge | None:
    names = tuple(key.name for key in islice(found.candidates(), MOST_JUDGED))
    if not names:
        return None
    old, new = (side.holding(names) for side in sides)
    return None if old is None or new is None else Judge(old, new)
