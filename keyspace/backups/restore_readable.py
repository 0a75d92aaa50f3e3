"""Restoring from the lines of a readable export, key by key: where no server here could load it whole."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from keyspace.backups import store
from keyspace.backups.dumps import Dump
from keyspace.backups.readable import read_readable
from keyspace.backups.restore_look import Looker
from keyspace.backups.restore_report import Policy, Report
from keyspace.backups.restore_source import Wanted, chosen
from keyspace.backups.restore_target import Target
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.restore_way import WayBack
from keyspace.backups.surroundings import Around, Library
from keyspace.backups.typed import TypedPiece
from keyspace.models import Backup
from keyspace.wire import open_wire

_UNREAD = b"\x00" * 11
"""Stands for a payload that nobody has."""


def restore_readable(
    backup: Backup,
    wanted: Wanted,
    target: Target,
    policy: Policy,
    to_db: int | None,
    progress: Callable[[Report], None],
    back: Callable[[int], WayBack],
    report: Report,
    *,
    dry: bool = False,
) -> list[Library]:
    """Returns its function libraries. What is there is overwritten without a look at its value: it differs, or it does no harm. So a dry
    run calls it different."""
    libraries: dict[str, Library] = {}
    around = partial(Around, lambda library: libraries.update({library.name: library}))
    for stored in backup.files:
        with store.open_file(stored["name"]) as source:
            for first, pieces in read_readable(source, around()):
                key = Dump(first.name, first.expires, _UNREAD)
                if wanted.type not in ("", first.type):
                    continue
                if not chosen(replace(wanted, type=""), first.db, [key]):
                    continue
                report.looked += 1
                into = first.db if to_db is None else to_db
                if dry:
                    _count_key(target, into, key, policy, report)
                else:
                    _restore_key(target, into, key, pieces, policy, report, back(into))
                progress(report)
    return list(libraries.values())


def _count_key(target: Target, db: int, key: Dump, policy: Policy, report: Report) -> None:
    if policy.leaves_out(key):
        report.count("expired", key.name)
        return
    with open_wire(target.at(db, key.name)) as wire:
        found = Looker(wire, policy).look([key])[0]
    report.count(found.kind, key.name)
    if found.kind != "new" and (policy.existing == "skip" or found.newer):
        report.skipped += 1
    elif found.large:
        report.count("lost" if policy.beyond_trash else "too_large", key.name)


def _restore_key(
    target: Target,
    db: int,
    key: Dump,
    pieces: Iterable[TypedPiece],
    policy: Policy,
    report: Report,
    back: WayBack,
) -> None:
    if policy.leaves_out(key):
        report.count("expired", key.name)
        return
    with open_wire(target.at(db, key.name)) as wire:
        found = Looker(wire, policy).look([key])[0]
        if found.kind != "new" and (policy.existing == "skip" or found.newer):
            report.count("skipped", key.name)
            return
        refused = found.large or (found.old is not None and bool(back.keep([found.old])))
        if refused and not policy.beyond_trash:
            report.skipped += 1
            report.count("too_large", key.name)
            return
        replaces = policy.existing != "skip"
        problem = write_typed(wire, key.name, pieces, policy.expiry(key), replace=replaces)
        if problem is None:
            report.restored, report.typed = report.restored + 1, report.typed + 1
            if not refused:
                back.wrote([(key.name, wire.call("DUMP", key.name), found.old is not None)])
        elif problem == "there":
            report.count("skipped", key.name)
        else:
            report.failed += 1
            report.note("failed", key.name, problem)
