"""The way back from a restore: what it overwrites goes into the trash before, and what it makes anew is remembered."""

import time
from typing import Any

import zstandard
from django.conf import settings
from django.db.models import Sum

from keyspace.backups.dumps import Dump, type_of_payload
from keyspace.backups.restore_way import WayBack, Wrote
from keyspace.images import digest_of
from keyspace.jobs import Run
from keyspace.models import MadeKey, TrashEntry
from keyspace.servers import Connection
from keyspace.trash_limits import prune

UNDO_KEYS = 10_000
"""New keys that Undo takes back; what makes more of them is as much as a server, which has its safety backup."""
_PRUNE_SECONDS = 5.0


class TrashBack(WayBack):
    """Of one restore. Its entries in the trash and its new keys carry its job, so that they are found again."""

    forgets = False

    def __init__(self, run: Run, connection: Connection) -> None:
        self._job, self._connection = run.job, connection
        self._room = settings.TRASH_BYTES - (self._mine().aggregate(all=Sum("stored_size"))["all"] or 0)
        self._made = MadeKey.objects.filter(job=run.job).count()
        self._beyond = self._made > UNDO_KEYS
        self._db, self._entries, self._coming = 0, dict[bytes, TrashEntry](), dict[bytes, bytes]()
        self._pruned = time.monotonic()

    def _mine(self) -> Any:
        return TrashEntry.objects.filter(job=self._job)

    def at(self, db: int) -> "TrashBack":
        """The same, for keys of this db."""
        self._db = db
        return self

    @property
    def notes_new(self) -> bool:  # type: ignore[override]
        return not self._beyond

    def fits(self, old: Dump) -> bool:
        if len(old.payload) > min(self._room, settings.TRASH_KEY_BYTES):
            return False
        self._room -= len(old.payload)
        return True

    def expect(self, coming: list[Dump]) -> None:
        self._coming = {dump.name: dump.payload for dump in coming}

    def keep(self, lost: list[Dump]) -> set[bytes]:
        entries = [self._entry(old) for old in lost if self.fits(old)]
        # What was taken for the plain bytes comes back for the packed ones.
        self._room += sum(entry.dump_size - entry.stored_size for entry in entries)
        TrashEntry.objects.bulk_create(entries)
        self._entries = {bytes(entry.name): entry for entry in entries}
        if time.monotonic() - self._pruned > _PRUNE_SECONDS:
            prune()
            self._pruned = time.monotonic()
        return {old.name for old in lost} - self._entries.keys()

    def _entry(self, old: Dump) -> TrashEntry:
        user, stored = self._connection.actor.user, zstandard.compress(old.payload, 1)
        return TrashEntry(
            server=self._connection.server.name, db=self._db, name=old.name, type=type_of_payload(old.payload), length=None,
            why=TrashEntry.Why.OVERWRITTEN, operation=self._job.kind, person=self._connection.actor.name,
            user=user if getattr(user, "pk", None) else None, expires_at=old.expires, payload=stored, dump_size=len(old.payload),
            stored_size=len(stored), job=self._job,
            left=digest_of(self._coming.get(old.name)),
        )  # fmt: skip

    def forget(self, lost: list[Dump]) -> None:
        TrashEntry.objects.filter(pk__in=[entry.pk for entry in self._entries.values()]).delete()
        self._room += sum(entry.stored_size for entry in self._entries.values())

    def wrote(self, written: list[Wrote]) -> None:
        replaced = []
        for name, payload, replaces in written:
            entry = self._entries.get(name) if replaces else None
            if entry is not None and entry.left != (left := digest_of(payload)):
                entry.left = left
                replaced.append(entry)
        if replaced:
            TrashEntry.objects.bulk_update(replaced, ["left"])
        if not self._beyond:
            self._note_new([row for row in written if not row[2]])

    def _note_new(self, new: list[Wrote]) -> None:
        self._made += len(new)
        if self._made > UNDO_KEYS:
            self._beyond = True
            MadeKey.objects.filter(job=self._job).delete()
            return
        rows = [
            MadeKey(job=self._job, db=self._db, name=name, left=digest_of(now)) for name, now, _ in new if now
        ]
        MadeKey.objects.bulk_create(rows)

    def summary(self) -> dict[str, Any]:
        """For the report: what Undo can take back. `beyond`: so many keys are new that they stay."""
        return {
            "new": 0 if self._beyond else MadeKey.objects.filter(job=self._job).count(),
            "overwritten": self._mine().exclude(left="").count(), "beyond": self._beyond,
        }  # fmt: skip
