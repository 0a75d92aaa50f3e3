"""Uploads that can be broken off and go on: pieces are put behind each other in a file of the store's, then it is taken as a whole.

Where it lies and whose it is stands in a signed token; how far it is, its own length says. Nothing of it comes from a name that was sent.
What nobody goes on with is removed after two days (`parts.remove_abandoned`).
"""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core import signing

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import store
from keyspace.backups.making import prove, tell_keys
from keyspace.backups.parts import UPLOAD, UPLOAD_SECONDS, disk_problem
from keyspace.backups.uploading import check_beginning, take_upload, upload_limit
from keyspace.errors import BadInput, Conflict, NotFound, TooLarge, Unavailable
from keyspace.jobs import Cancelled, Run, job, start_job
from keyspace.models import Backup, Job
from keyspace.servers import Connection

PIECE_BYTES = 8 * 1024 * 1024
_SALT = "backup upload"
_ROOM_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """An upload under way: `size` bytes are to come, `label` is for people."""

    id: str
    server: str
    person: str
    size: int
    label: str

    @property
    def token(self) -> str:
        return signing.dumps(asdict(self), salt=_SALT)

    @property
    def path(self) -> Path:
        return store.parts_directory() / f"{UPLOAD}{uuid.UUID(self.id).hex}"

    @property
    def done(self) -> int:
        """Bytes that are here. Raises NotFound."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            raise _gone() from None


def _gone() -> NotFound:
    return NotFound("This upload is over, or was given up.", "Choose the file again.")


@performs(Permission.BACK_UP)
def begin_upload(connection: Connection, *, size: int, label: str = "") -> Upload:
    """Raises BadInput, TooLarge, Unavailable where the disk has no room for it twice: as it comes, and in the store."""
    if size <= 0:
        raise BadInput("The file is empty.", "Choose a dump.rdb or an export of this console.")
    if size > upload_limit():
        raise TooLarge(f"The file is larger than the {upload_limit() / 1e9:.0f} GB taken here.")
    if store.free_bytes() < 2 * size + _ROOM_BYTES:
        raise Unavailable(
            f"The store's disk has {store.free_bytes() / 1e6:.0f} MB free; the file needs {2 * size / 1e6:.0f} MB while it is taken.",
            "Free some space first.",
        )
    upload = Upload(str(uuid.uuid4()), connection.server.name, connection.actor.name, size, label[:200])
    os.close(os.open(upload.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    audit.tell(upload=upload.id, size=size)
    return upload


@performs(Permission.BACK_UP, audited=False)
def find_upload(connection: Connection, *, token: str) -> Upload:
    """The person's own upload to this server. Raises NotFound."""
    try:
        found = Upload(**signing.loads(token, salt=_SALT, max_age=UPLOAD_SECONDS))
    except (signing.BadSignature, TypeError, ValueError):
        raise _gone() from None
    if (found.server, found.person) != (connection.server.name, connection.actor.name):
        raise _gone()
    return found


@performs(Permission.BACK_UP, audited=False)
def add_piece(connection: Connection, *, token: str, at: int, piece: bytes) -> int:
    """Put a piece behind what is here; how far it is then. Raises Conflict when it does not fit there: ask how far it is."""
    upload = find_upload(connection, token=token)
    with _opened(upload) as descriptor:
        done = os.fstat(descriptor).st_size
        if at != done:
            raise Conflict(
                f"The upload is at byte {done}, and this piece begins at {at}.", "Go on from there."
            )
        if done + len(piece) > upload.size:
            raise BadInput("More came than the file was said to hold.", "Choose the file again.")
        if not done:
            with _taken(upload):
                check_beginning(piece)
        _append(descriptor, piece, done)
    return done + len(piece)


@contextlib.contextmanager
def _opened(upload: Upload) -> Iterator[int]:
    """Its file, for one piece at a time."""
    try:
        descriptor = os.open(upload.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise _gone() from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _append(descriptor: int, piece: bytes, done: int) -> None:
    """All of it or nothing. Raises Unavailable when the disk is full."""
    view = memoryview(piece)
    try:
        while len(view):
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        os.ftruncate(descriptor, done)
        raise disk_problem(error, done) from error


@performs(Permission.BACK_UP)
def cancel_upload(connection: Connection, *, token: str) -> None:
    upload = find_upload(connection, token=token)
    audit.tell(upload=upload.id)
    upload.path.unlink(missing_ok=True)


@performs(Permission.BACK_UP)
def finish_upload(connection: Connection, *, token: str) -> Job:
    """Have the whole file checked, kept and verified. Doing so twice starts one job. Raises Conflict when some of it is missing."""
    upload = find_upload(connection, token=token)
    audit.tell(upload=upload.id, size=upload.size)
    known = Job.objects.filter(once=f"upload-{upload.id}").first()
    if known is not None:
        return known
    if upload.done != upload.size:
        raise Conflict(
            f"{upload.size - upload.done} bytes of the file are missing.", "Go on with the upload."
        )
    return start_job(
        connection.actor, "take_upload", title=f"Upload to {upload.server}", server=upload.server, params={"upload": asdict(upload)},
        total=upload.size, unit="bytes", once=f"upload-{upload.id}",
    )  # fmt: skip


def forget(ended: Job) -> None:
    """A file whose job was cancelled before it began is not wanted any more."""
    if ended.wants_cancel:
        Upload(**ended.params["upload"]).path.unlink(missing_ok=True)


@job("take_upload", permission=Permission.BACK_UP, resumable=True, on_interrupt=forget)
def take(run: Run) -> dict[str, Any]:
    """The file becomes a backup of its own, if it is one. After a crash it begins anew, or goes on with the verification."""
    upload = Upload(**run.params["upload"])
    backup = Backup.objects.filter(pk=upload.id).first()
    if backup is None:
        with _taken(upload):
            backup = take_upload(run.connection, _pieces(run, upload), upload.label, backup_id=upload.id)
            Backup.objects.filter(pk=backup.pk).update(job=run.job)
    upload.path.unlink(missing_ok=True)
    prove(run, backup)
    tell_keys(run, sum(backup.keys.values()))
    return {"backup": str(backup.pk), "state": backup.state, "note": backup.state_note}


@contextlib.contextmanager
def _taken(upload: Upload) -> Iterator[None]:
    """A file that is no backup, or not wanted any more, goes at once; one that could not be kept may be tried again."""
    try:
        yield
    except (BadInput, TooLarge, Cancelled):
        upload.path.unlink(missing_ok=True)
        raise


def _pieces(run: Run, upload: Upload) -> Iterator[bytes]:
    done = 0
    try:
        with upload.path.open("rb") as source:
            while piece := source.read(store.CHUNK):
                run.report(done=done, total=upload.size, unit="bytes", phase="checking")
                done += len(piece)
                yield piece
    except FileNotFoundError:
        raise _gone() from None
