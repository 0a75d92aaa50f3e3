"""Exports of chosen keys: an archive that any console takes back, JSON Lines that any engine takes back, CSV of one collection.

Reading many values is more than looking at one: a pattern takes an operator's role. Keys whose values are masked for the person are
left out, whatever the form.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, check_permission, performs
from keyspace.backups import store
from keyspace.backups.archive import ArchiveWriter
from keyspace.backups.dumps import Dump, Selection, facts_of, read_dumps
from keyspace.backups.readable import ReadableWriter
from keyspace.backups.typed import NotTyped, read_typed
from keyspace.bulk.away import begin_again
from keyspace.bulk.choice import Choice, choice_of, read_pages
from keyspace.bulk.expiring import reader_of_ends
from keyspace.bulk.pace import Pace
from keyspace.csv_of_key import FILE_TYPES, csv_rows
from keyspace.errors import BadInput, Denied, NotFound
from keyspace.jobs import Run, find_job, job, start_job
from keyspace.keys import Filter, find_key
from keyspace.models import Job
from keyspace.servers import Connection
from keyspace.wire import open_wire

FORMS = {
    "archive": "archive (exact, compressed)",
    "lines": "readable JSON Lines",
    "packed": "readable JSON Lines, compressed",
}
ENDINGS = {"archive": "ksarch", "lines": "jsonl", "packed": "jsonl.zst", "csv": "csv"}
KEPT_FOR = timedelta(days=7)


@dataclass(frozen=True)
class ExportFile:
    """What is sent to a browser: its file name, and its bytes as they are read."""

    name: str
    chunks: Iterator[bytes]
    size: int | None = None


@dataclass
class Exported:
    """Keys written so far, and left out: masked ones, and types without a readable form."""

    keys: int = 0
    masked: int = 0
    unreadable: int = 0


def _file_name(connection: Connection, form: str) -> str:
    return f"{connection.server.name}-db{connection.db}-{timezone.now():%Y%m%d-%H%M%S}.{ENDINGS[form]}"


def _check(choice: Choice, form: str) -> None:
    choice.check()
    if form not in FORMS:
        raise BadInput("There is no such form of export.", "Choose one from the list.")


@performs(Permission.READ_KEYS, audited=True)
def export_key(connection: Connection, name: bytes, *, form: str) -> ExportFile:
    """One key, or (`form` csv) one collection as a table. Raises NotFound, Denied for a masked key."""
    if connection.access.masked(name):
        raise Denied(
            "The values of this key are masked for you, so it cannot be exported.",
            "An admin can widen your grant.",
        )
    kind = find_key(connection, name).type
    audit.tell(form=form, type=kind)
    if form == "csv":
        if kind not in FILE_TYPES:
            raise BadInput(f"A {kind} is no table.", "Hashes, lists, sets, sorted sets and streams are.")
        return ExportFile(_file_name(connection, "csv"), csv_rows(connection, name, kind))
    choice = Choice(Filter(b""), names=(name,))
    _check(choice, form)
    return ExportFile(_file_name(connection, form), write_export(connection, choice, form, Exported()))


@performs(Permission.REVEAL_VALUES)
def export_keys(connection: Connection, *, choice: Choice, form: str) -> ExportFile:
    """The chosen keys, streamed while they are read."""
    _check(choice, form)
    audit.tell(keys=choice.words, form=form, kept=False)
    return ExportFile(_file_name(connection, form), write_export(connection, choice, form, Exported()))


@performs(Permission.REVEAL_VALUES)
def start_export(connection: Connection, *, choice: Choice, form: str, once: str | None = None) -> Job:
    """The chosen keys as a file that is kept for KEPT_FOR; made by a job."""
    _check(choice, form)
    audit.tell(keys=choice.words, form=form, kept=True)
    remove_old_exports()
    total = None if connection.access.patterns or not choice.everything else int(connection.redis.dbsize())
    return start_job(
        connection.actor, "export_keys", title=f"Export {choice.words}", server=connection.server.name, db=connection.db, total=total,
        params={"choice": choice.params(), "form": form, "file_name": _file_name(connection, form)}, once=once,
    )  # fmt: skip


@job("export_keys", permission=Permission.REVEAL_VALUES, resumable=True)
def make_export(run: Run) -> dict[str, Any]:
    """Reads only; a restart begins anew, and no part of a file is ever taken for a whole one."""
    return begin_again(run, lambda: _make(run))


def _make(run: Run) -> dict[str, Any]:
    connection, began = run.connection, time.monotonic()
    check_permission(connection, Permission.REVEAL_VALUES)
    name = f"export-{run.job.pk}/0.{ENDINGS[run.params['form']]}"
    store.remove_parts(f"export-{run.job.pk}")
    pace, done = Pace(run, connection.redis), Exported()
    run.report(done=0, phase="exporting", now=True)
    with store.Part(name) as part:
        for chunk in write_export(
            connection, choice_of(run.params["choice"]), run.params["form"], done, pace
        ):
            part.write(chunk)
            if pace.time_to_tell():
                run.report(done=done.keys, phase=f"exporting, {part.size / 1e6:.1f} MB")
        kept = part.commit()
    run.job.done = done.keys
    facts = {
        "file": kept.name,
        "file_name": run.params["file_name"],
        "size": kept.size,
        "sha256": kept.sha256,
        "bounds": _bounds(connection),
    }
    return facts | vars(done) | {"seconds": round(time.monotonic() - began, 2)}


def _bounds(connection: Connection) -> str:
    """Which keys and values the person's grants show, as a mark to compare."""
    rights = {(right.role, right.patterns, right.masks) for right in connection.access.rights}
    return hashlib.sha256(repr(sorted(rights)).encode()).hexdigest()


@performs(Permission.REVEAL_VALUES)
def download_export(connection: Connection, *, job_id: uuid.UUID) -> ExportFile:
    """The file of a finished export of one's own. Raises NotFound; Denied when the grants are others than when it was made."""
    found = find_job(connection.actor, job_id)
    mine = found.user_id == getattr(connection.actor.user, "pk", None)
    if (
        found.kind != "export_keys"
        or found.server != connection.server.name
        or not mine
        or not found.result.get("file")
    ):
        raise NotFound(
            "There is no such export of yours here.", "Exports are kept for a week; make it again."
        )
    if found.result.get("bounds") not in (None, _bounds(connection)):
        raise Denied("Your grants have changed since this export was made.", "Make it again.")
    audit.tell(job=str(job_id), size=found.result["size"])
    return ExportFile(
        found.result["file_name"], store.read_chunks(found.result["file"]), found.result["size"]
    )


def remove_old_exports() -> int:
    """Files of exports older than KEPT_FOR; their jobs stay. How many went."""
    old = Job.objects.filter(
        kind="export_keys", state=Job.State.DONE, finished_at__lt=timezone.now() - KEPT_FOR
    )
    gone = 0
    for found in old:
        if found.result.get("file"):
            store.remove(found.result["file"])
            Job.objects.filter(pk=found.pk).update(result=found.result | {"file": ""})
            gone += 1
    return gone


def write_export(
    connection: Connection, choice: Choice, form: str, done: Exported, pace: Pace | None = None
) -> Iterator[bytes]:
    """The bytes of an export, as they come; `done` counts along. With a `pace` it hears of cancel and yields to others."""
    return (
        _archive(connection, choice, done, pace)
        if form == "archive"
        else _lines(connection, choice, form, done, pace)
    )


def _header(connection: Connection, choice: Choice) -> dict[str, Any]:
    facts = facts_of(connection.redis)
    facts.pop("info", None)
    return {
        "server": connection.server.name,
        "db": connection.db,
        "made_at": int(time.time() * 1000),
        "keys": choice.words,
        **facts,
    }


def _archive(connection: Connection, choice: Choice, done: Exported, pace: Pace | None) -> Iterator[bytes]:
    out: list[bytes] = []
    writer = ArchiveWriter(out.append, _header(connection, choice))
    for page in _dump_pages(connection, choice, done):
        writer.add(connection.db, page)
        done.keys += len(page)
        if pace is not None:
            pace.after(len(page))
        if out:
            yield b"".join(out)
            out.clear()
    writer.finish()
    yield b"".join(out)


def _dump_pages(connection: Connection, choice: Choice, done: Exported) -> Iterator[list[Dump]]:
    filter = choice.filter
    narrowed = choice.selected or choice.idle or choice.memory or filter.ttl or filter.folder is not None
    if not narrowed and not connection.access.patterns and not _masks(connection):
        yield from read_dumps(connection.redis, Selection(filter.match, filter.type))
        return
    with open_wire(connection.redis) as wire:
        for page in read_pages(connection, choice, wire, permission=Permission.READ_KEYS):
            names = _unmasked(connection, page.names, done)
            if names:
                yield from read_dumps(connection.redis, Selection(names=tuple(names)), count=len(names))


def _masks(connection: Connection) -> bool:
    return any(right.masks for right in connection.access.rights)


def _unmasked(connection: Connection, names: list[bytes], done: Exported) -> list[bytes]:
    if not _masks(connection):
        return names
    shown = [name for name in names if not connection.access.masked(name)]
    done.masked += len(names) - len(shown)
    return shown


def _lines(
    connection: Connection, choice: Choice, form: str, done: Exported, pace: Pace | None
) -> Iterator[bytes]:
    out: list[bytes] = []
    writer = ReadableWriter(out.append, _header(connection, choice), compress=form == "packed")
    ends = reader_of_ends(connection)
    with open_wire(connection.redis) as wire:
        for page in read_pages(connection, choice, wire, permission=Permission.READ_KEYS):
            names = _unmasked(connection, page.names, done)
            kinds = wire.call_many([("TYPE", name) for name in names])
            for name, kind, end in zip(names, kinds, ends(wire, names), strict=True):
                for _ in _write_typed(connection, writer, name, kind, end, done):
                    if pace is not None:
                        pace.after(1)
                    if sum(map(len, out)) > 256 * 1024:
                        yield b"".join(out)
                        out.clear()
    writer.finish()
    yield b"".join(out)


def _write_typed(
    connection: Connection, writer: ReadableWriter, name: bytes, kind: Any, end: int, done: Exported
) -> Iterator[None]:
    """One step a piece: of a large key not all of it is held."""
    if isinstance(kind, Exception):
        raise kind
    if kind == b"none" or end == -2:
        return
    try:
        for piece in read_typed(
            connection.redis, connection.db, name, kind.decode(), end if end > 0 else None
        ):
            writer.add(piece)
            done.keys += piece.part == 0
            yield
    except NotTyped as problem:
        done.unreadable += 1
        writer.leave_out(name, problem.sentence)
