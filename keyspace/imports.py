"""Imports of exported keys: first a preview, then written by the policy chosen. Nothing is ever flushed; what is overwritten goes into
the trash; a bad line is named by its number, and the rest goes on.
"""

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import archive, store
from keyspace.errors import BadInput, Conflict, NotFound, TooLarge
from keyspace.jobs import find_job, start_job
from keyspace.models import Job
from keyspace.servers import Connection

POLICIES = {
    "skip": "leave them: write only keys that are absent",
    "different": "overwrite those that differ",
    "overwrite": "overwrite all of them",
}
TTLS = {
    "original": "expire at the original time",
    "remaining": "live on for what was left at the export",
    "none": "never expire",
}
GOOD_FOR = timedelta(days=1)
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Preview:
    """A file that was looked at. `result` has new, same, different, expired, foreign (keys), bad (lines with their numbers), and `fit`:
    what the server does not take as it is."""

    job: Job
    result: dict[str, Any]

    @property
    def keys(self) -> int:
        return (
            int(self.result.get("new", 0))
            + int(self.result.get("different", 0))
            + int(self.result.get("same", 0))
        )

    @property
    def refused(self) -> str:
        """Why nothing of it can be imported."""
        return str(self.result.get("refused", ""))

    @property
    def started(self) -> Job | None:
        """The import that was started from it."""
        return Job.objects.filter(once=_once(self.job)).first()

    @property
    def old(self) -> bool:
        return self.job.finished_at is not None and timezone.now() - self.job.finished_at > GOOD_FOR


def _once(preview: Job) -> str:
    """A preview is imported once."""
    return f"import-{preview.pk}"


def most_bytes() -> int:
    """How large a file may be; the setting of uploaded backups holds for imports as well."""
    return int(settings.BACKUP_UPLOAD_BYTES)


@performs(Permission.BULK)
def preview_import(connection: Connection, *, chunks: Iterator[bytes], file_name: str = "") -> Job:
    """Take the file and begin the preview. Raises BadInput for what is no export of this console, TooLarge."""
    remove_old_imports()
    first = next(chunks, b"")
    form = _form_of(first)
    place = f"import-{uuid.uuid4()}/0.{'ksarch' if form == 'archive' else 'jsonl'}"
    with store.Part(place) as part:
        for chunk in itertools.chain([first], chunks):
            if part.size + len(chunk) > most_bytes():
                raise TooLarge(f"The file is larger than the {most_bytes() / 1e9:.1f} GB taken here.")
            part.write(chunk)
        kept = part.commit()
    audit.tell(size=kept.size, form=form, dry=True)
    return start_job(
        connection.actor, "preview_import", title=f"Preview of {file_name or 'an import'}"[:200], server=connection.server.name,
        db=connection.db, params={"file": kept.name, "size": kept.size, "form": form, "file_name": file_name[:200]},
    )  # fmt: skip


def _form_of(first: bytes) -> str:
    if first.startswith(archive.MAGIC):
        return "archive"
    if first.startswith((_ZSTD, b"{")):
        return "lines"
    raise BadInput("This file is no export of this console.",
                   "Choose a .ksarch, .jsonl or .jsonl.zst file; an RDB goes to the Backups page.")  # fmt: skip


@performs(Permission.BULK, audited=False)
def get_preview(connection: Connection, *, preview_id: uuid.UUID) -> Preview:
    """A preview of the person's own on this db. Raises NotFound."""
    found = find_job(connection.actor, preview_id)
    mine = found.user_id == getattr(connection.actor.user, "pk", None)
    if (
        found.kind != "preview_import"
        or (found.server, found.db) != (connection.server.name, connection.db)
        or not mine
    ):
        raise NotFound("There is no such import here.", "Choose the file again.")
    return Preview(found, found.result if found.state == Job.State.DONE else {})


@performs(Permission.BULK)
def start_import(
    connection: Connection,
    *,
    preview_id: uuid.UUID,
    existing: str = "skip",
    ttl: str = "original",
    typed: str = "",
) -> Job:
    """Write what the preview looked at. `existing` of POLICIES, `ttl` of TTLS; `typed` is the server's name, which is asked for
    before keys on a production server are overwritten.

    Raises BadInput, Conflict.
    """
    if existing not in POLICIES or ttl not in TTLS:
        raise BadInput("There is no such way to import.", "Choose one from the list.")
    preview = get_preview(connection, preview_id=preview_id)
    params = preview.job.params
    audit.tell(existing=existing, keys=preview.keys, dry=False)
    if not preview.result or preview.refused:
        raise Conflict("This file cannot be imported.", preview.refused or "The preview has not ended.")
    if preview.old or preview.job.finished_at is None:
        raise Conflict("The preview is more than a day old.", "Choose the file again.")
    if (
        existing != "skip"
        and connection.server.environment == "production"
        and typed.strip() != connection.server.name
    ):
        raise BadInput("To overwrite keys on a production server, type its name.", "Nothing was changed.")
    return start_job(
        connection.actor, "import_keys", title=f"Import {params['file_name'] or 'a file'}"[:200], server=connection.server.name,
        db=connection.db, total=preview.keys or None, once=_once(preview.job),
        params={**params, "existing": existing, "ttl": ttl, "made_at": preview.result.get("made_at", 0)},
    )  # fmt: skip


def remove_old_imports() -> int:
    """Files of previews that are too old to go by. How many went."""
    old = Job.objects.filter(kind="preview_import", finished_at__lt=timezone.now() - 2 * GOOD_FOR)
    gone = 0
    for found in old.exclude(params__file=""):
        store.remove(found.params["file"])
        Job.objects.filter(pk=found.pk).update(params=found.params | {"file": ""})
        gone += 1
    return gone
