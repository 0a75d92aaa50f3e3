"""Proving a backup: its structure, then a scratch server that loads it, and its keys by db against what the file announces."""

import hashlib
import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyspace.backups import store
from keyspace.backups.archive import ArchiveReader
from keyspace.backups.bucket import CHUNK
from keyspace.backups.loading import Loaded, load_export
from keyspace.backups.rdb import FOOT_BYTES, MISMATCH, Damaged, RdbChecker, announced_counts
from keyspace.backups.readable import read_pieces
from keyspace.backups.releases import readers_of_export
from keyspace.backups.scratch import (
    NotReadable,
    find_damage,
    start_scratch,
)
from keyspace.backups.sealed import WrongKey
from keyspace.backups.surroundings import library_names
from keyspace.errors import NotFound
from keyspace.models import Backup

State = Backup.State
_CHANGED = "it is not what was stored: it changed on the disk since"
_ONE_SUM = (
    " Where cannot be told: an RDB has one checksum over all of it, and what changed still reads as a value."
)
Progress = Callable[[int, int | None], None]


@dataclass
class Verdict:
    """`state` of Backup.State, a sentence about it, keys by db as loaded."""

    state: str
    note: str = ""
    keys: dict[int, int] = field(default_factory=dict)


def verify_files(backup: Backup, progress: Progress) -> Verdict:
    """Check and load every file of the backup. `progress` gets bytes and all bytes; what it raises ends the work."""
    total, before = backup.size or 0, 0
    verdicts = []
    for stored in backup.files:
        verdicts.append(_verify_file(backup, stored, _shifted(progress, before, total)))
        before += stored["size"]
        if verdicts[-1].state == State.DAMAGED:
            return verdicts[-1]
    return _joined(verdicts)


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def _joined(verdicts: list[Verdict]) -> Verdict:
    keys: dict[int, int] = {}
    for verdict in verdicts:
        for db, count in verdict.keys.items():
            keys[db] = keys.get(db, 0) + count
    unsure = next((verdict for verdict in verdicts if verdict.state != State.LOADED), None)
    return (
        Verdict(unsure.state, unsure.note, keys)
        if unsure
        else Verdict(State.LOADED, next((v.note for v in verdicts if v.note), ""), keys)
    )


def _verify_file(backup: Backup, stored: dict[str, Any], progress: Progress) -> Verdict:
    try:
        if backup.files[0]["name"].endswith(".rdb"):
            with store.local_path(stored["name"]) as path:
                return _verify_rdb(path, stored, progress, distrust=backup.kind == Backup.Kind.UPLOAD)
        _check_contents(stored)
        return _load_keys(stored, progress, distrust=backup.kind == Backup.Kind.UPLOAD)
    except Damaged as error:
        return Verdict(State.DAMAGED, _in_words(error, stored))
    except NotFound as error:
        return Verdict(State.DAMAGED, f"Damaged: {error.sentence}")
    except WrongKey as error:
        return Verdict(State.UNVERIFIABLE, f"Not verifiable here: {error.sentence}")
    except NotReadable as error:
        return Verdict(State.UNVERIFIABLE, f"The file is whole but was not loaded: {error}.")


def _in_words(error: Damaged, stored: dict[str, Any]) -> str:
    """What is wrong, and where, as far as the file lets that be known."""
    if error.offset is not None:
        share = min(100, 100 * error.offset / (stored["size"] or 1))
        return f"Damaged at {share:.0f} % (byte {error.offset}): {error.reason}."
    one_sum = stored["name"].endswith(".rdb") and error.reason in (MISMATCH, _CHANGED)
    return f"Damaged: {error.reason}.{_ONE_SUM if one_sum else ''}"


def _check_contents(stored: dict[str, Any]) -> None:
    """The file still has the size and SHA-256 that it was stored with. Raises Damaged, with the place where its own form shows it."""
    digest, size = hashlib.sha256(), 0
    for chunk in store.read_chunks(stored["name"]):
        digest.update(chunk)
        size += len(chunk)
    if size != stored["size"] or digest.hexdigest() != stored["sha256"]:
        with store.open_file(stored["name"]) as source:
            archive = stored["name"].endswith(".ksarch")
            for _ in ArchiveReader(source, size=size).pages() if archive else read_pieces(source):
                pass
        raise Damaged(_CHANGED)


def check_rdb(path: Path, stored: dict[str, Any]) -> int:
    """Structure and SHA-256 of an RDB in one pass; returns the memory its server used. Raises Damaged."""
    checker, digest = RdbChecker(), hashlib.sha256()
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            checker.feed(chunk)
            digest.update(chunk)
    head = checker.finish()
    if checker.size != stored["size"] or digest.hexdigest() != stored["sha256"]:
        raise Damaged(_CHANGED)
    return head.used_memory


def _verify_rdb(path: Path, stored: dict[str, Any], progress: Progress, *, distrust: bool) -> Verdict:
    """The check and the load run side by side: the load is the longer one, and says what the file holds."""
    with ThreadPoolExecutor(1, "check") as beside:
        checked = beside.submit(check_rdb, path, stored)
        try:
            scratch = start_scratch(
                path, progress=progress, used_memory=stored.get("used_memory", 0), distrust=distrust
            )
        except Damaged as error:
            _raise_located(path, checked.exception() or error)
            raise
        except NotReadable:
            _raise_located(path, checked.exception())
            raise
        with scratch:
            _raise_located(path, checked.exception())
            counts, libraries = scratch.counts(), library_names(scratch.client())
    return _compare(path, counts, _beside(len(libraries)))


def _raise_located(path: Path, error: BaseException | None) -> None:
    """What is wrong, in the words of who sees it best, and where the server's own checker stumbles; the end of the file is no place."""
    if isinstance(error, Damaged) and error.offset is None:
        where = find_damage(path)
        inside = where is not None and where < path.stat().st_size - FOOT_BYTES
        raise Damaged(error.reason, where if inside else None) from None
    if error is not None:
        raise error from None


def _beside(libraries: int, lacks: str = "") -> str:
    """What the file holds beside its keys, and what it says that it lacks."""
    held = f"With {libraries} function librar{'y' if libraries == 1 else 'ies'}." if libraries else ""
    return f"{held} {lacks}".strip()


def _compare(path: Path, counts: dict[int, tuple[int, int]], note: str) -> Verdict:
    """What was loaded against what the file announces for each db."""
    keys = {db: count for db, (count, _) in counts.items()}
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for db, (count, expires) in counts.items():
            if data.find(announced_counts(db, count, expires)) < 0:
                return Verdict(
                    State.DAMAGED,
                    f"Damaged: db {db} has {count} keys when loaded, which is not what the file announces.",
                    keys,
                )
    return Verdict(State.LOADED, note, keys)


def _load_keys(stored: dict[str, Any], progress: Progress, *, distrust: bool) -> Verdict:
    """Restore an export into a scratch server and count."""
    with start_scratch(
        used_memory=stored.get("used_memory", 0), distrust=distrust, among=readers_of_export(stored["name"])
    ) as scratch:
        told = load_export(scratch, stored, progress)
        loaded = {db: keys for db, (keys, _) in scratch.counts().items()}
        libraries = len(library_names(scratch.client()))
    if told.refused or told.foreign:
        return Verdict(State.UNVERIFIABLE, _not_taken(told), told.keys)
    if loaded.keys() != told.keys.keys() or sum(loaded.values()) + told.twice != sum(told.keys.values()):
        return Verdict(
            State.DAMAGED, "Damaged: another number of keys was loaded than the file says.", loaded
        )
    if libraries != told.libraries:
        return Verdict(
            State.DAMAGED,
            "Damaged: another number of function libraries was loaded than the file says.",
            loaded,
        )
    return Verdict(State.LOADED, _beside(libraries, told.lacks), loaded)


def _not_taken(told: Loaded) -> str:
    refused = [f"cannot read {told.refused} of its values"] if told.refused else []
    refused += [f"does not take its function libraries ({'; '.join(told.foreign)})"] if told.foreign else []
    return f"The file is whole, but the server here {' and '.join(refused)}. {told.lacks}".strip()
