"""The jobs behind an import: the preview, and the writing. One pass over the file each; a page of keys is held."""

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from keyspace import audit
from keyspace.access import Permission, check_permission
from keyspace.backups import store
from keyspace.backups.archive import ArchiveReader, Block
from keyspace.backups.dumps import Dump, type_of_payload
from keyspace.backups.rdb import Damaged
from keyspace.backups.restore import Pipeline, Policy, Report, restore_batch
from keyspace.backups.restore_alike import Likeness
from keyspace.backups.restore_back import TrashBack
from keyspace.backups.restore_source import LazyScratch, Source
from keyspace.backups.restore_target import Target
from keyspace.backups.surroundings import EMPTY_DUMP
from keyspace.backups.typed import TypedPiece
from keyspace.bulk.pace import Pace
from keyspace.errors import Conflict
from keyspace.import_fit import Fit
from keyspace.import_lines import LineWriter
from keyspace.importing import Checked, check_lines, read_keys
from keyspace.jobs import Run, job
from keyspace.wire import open_wire

BATCH = 250


@job("preview_import", permission=Permission.BULK, resumable=True)
def run_preview(run: Run) -> dict[str, Any]:
    """Reads only, so a restart begins anew."""
    return _Importing(run, Policy("different"), dry=True).run()


@job("import_keys", permission=Permission.BULK, resumable=True)
def run_import(run: Run) -> dict[str, Any]:
    """Goes on behind the keys it has counted; writing some of them again does no harm."""
    policy = Policy(run.params["existing"], run.params["ttl"], moment=run.params["made_at"])
    work = _Importing(run, policy, dry=False)
    outcome = "failed"
    try:
        found = work.run()
        outcome = "done"
    finally:
        run.job.result = work.result()
        report = work.report
        detail = {"job": str(run.job.pk), "written": report.restored, "skipped": report.skipped}
        detail |= {"failed": report.failed, "in_trash": run.job.result["undo"]["overwritten"]}
        audit.record(work.connection, "import_keys", key=None, outcome=outcome, detail=detail)
    store.remove(run.params["file"])
    return found


def _product(header: dict[str, Any]) -> str:
    """The server that the file came from, as its header says: Valkey 9.0.1."""
    return f"{header['product']} {header.get('version', '')}".strip()[:64] if header.get("product") else ""


class _Importing:
    """One pass over the file: looking (`dry`) or writing."""

    def __init__(self, run: Run, policy: Policy, *, dry: bool) -> None:
        self.run_, self.policy, self.dry = run, policy, dry
        self.connection = run.connection
        check_permission(self.connection, Permission.BULK)
        kept = {} if dry else run.checkpoint
        self.report = Report(**kept["report"]) if kept else Report()
        self.looked: int = kept.get("looked", 0)
        self.back = None if dry else TrashBack(run, self.connection).at(self.connection.db)
        self.foreign = 0
        self.types: dict[str, int] = {}
        self.checked = Checked()
        self.header: dict[str, Any] = {}
        self.fit: Fit | None = None
        self._pace: Pace | None = None

    def run(self) -> dict[str, Any]:
        began = time.monotonic()
        self._pace = Pace(self.run_, self.connection.redis)
        try:
            (self._archive if self.run_.params["form"] == "archive" else self._lines)()
        except Damaged as error:
            if not self.dry:
                raise Conflict(
                    f"The file is damaged: {error.reason}.", "What was written until then stays."
                ) from error
            return self.result() | {"refused": f"The file is damaged: {error.reason}."}
        return self.result() | {"seconds": round(time.monotonic() - began, 2)}

    def result(self) -> dict[str, Any]:
        dbs = {str(db): count for db, count in self.checked.keys.items()}
        found = self.report.as_dict() | {
            "dry": self.dry, "foreign": self.foreign, "undo": self.back.summary() if self.back else {}, "types": self.types,
            "bad": self.checked.bad,
            "bad_lines": self.checked.bad_lines, "left_out": self.checked.left_out, "dbs": dbs,
            "libraries": self.checked.libraries,
            "made_at": int(self.header.get("made_at") or 0), "from": str(self.header.get("server", ""))[:64],
            "product": _product(self.header), "fit": self.fit.as_dict() if self.fit else None,
        }  # fmt: skip
        if len(dbs) > 1:
            found["refused"] = (
                "It holds keys of several dbs: upload it on the Backups page and restore it from there."
            )
        return found

    def _tell(self, done: int) -> None:
        checkpoint = None if self.dry else {"looked": self.looked, "report": self.report.as_dict()}
        self.run_.report(done=done, phase="comparing" if self.dry else "writing", checkpoint=checkpoint)
        if self._pace is not None:
            self._pace.after(1)

    def _mine(self, name: bytes, kind: str) -> bool:
        if not self.connection.access.may(Permission.BULK, name):
            self.foreign += 1
            return False
        self.types[kind] = self.types.get(kind, 0) + 1
        return True

    def _archive(self) -> None:
        params = self.run_.params
        with (
            store.open_file(params["file"]) as source,
            ExitStack() as stack,
            open_wire(self.connection.redis) as wire,
        ):
            reader, scratch = ArchiveReader(source, size=params["size"]), LazyScratch(stack)
            self.header = reader.header
            db, target = self.connection.db, Target(self.connection)
            typed = partial(scratch.typed, db)
            alike = Likeness(Source(iter(()), scratch.typed, scratch.holding), target).alike
            pipeline = Pipeline(
                wire, self.policy, self.report, typed, back=self.back, alike=partial(alike, db, db)
            )
            fit = self.fit = Fit(wire, typed) if self.dry else None
            at = 0
            for batch in self._batches(reader):
                at += len(batch)
                if at > self.looked:
                    mine = [dump for dump in batch if self._mine(dump.name, type_of_payload(dump.payload))]
                    restore_batch(pipeline, mine, self.policy, self.report, dry=self.dry)
                    pipeline.settle()
                    if fit is not None:
                        fit.look_at(mine)
                    self.looked = at
                    self._tell(at)

    def _batches(self, reader: ArchiveReader) -> Iterator[list[Dump]]:
        for db, page in reader.pages(self._pass_over):
            self.checked.keys[db] = self.checked.keys.get(db, 0) + len(page)
            if len(self.checked.keys) > 1 and not self.dry:
                raise Conflict("The file holds keys of several dbs.")
            for start in range(0, len(page), BATCH):
                yield page[start : start + BATCH]

    def _pass_over(self, block: Block) -> None:
        """An import takes keys alone."""
        self.checked.libraries |= block.kind == b"F" and len(block.data) > EMPTY_DUMP

    def _lines(self) -> None:
        place = self.run_.params["file"]
        with store.open_file(place) as source:
            self.checked = check_lines(source)
        self.header = self.checked.header
        if not self.dry and len(self.checked.keys) > 1:
            raise Conflict("The file holds keys of several dbs.")
        with ExitStack() as stack:
            wire, client = stack.enter_context(open_wire(self.connection.redis)), self.connection.redis
            writer = LineWriter(client, wire, self.policy, self.report, self.back)
            keys, at = self._read(stack), 0
            twice = self.policy.existing == "different" and not self.dry
            compared = self._read(stack) if twice else itertools.repeat(None)
            for at, ((first, pieces), again) in enumerate(zip(keys, compared, strict=False), 1):
                if at > self.looked and self._mine(first.name, first.type):
                    writer.add(first, pieces, again[1] if again else pieces)
                if at > self.looked and not writer.held:
                    self.looked = at
                    self._tell(at)
            writer.flush()
            self.looked = at

    def _read(self, stack: ExitStack) -> Iterator[tuple[TypedPiece, Iterator[TypedPiece]]]:
        """The file from its beginning. It is read twice side by side where keys are compared before they are written: of a large key
        not all is held."""
        return read_keys(stack.enter_context(store.open_file(self.run_.params["file"])), self.checked.broken)
