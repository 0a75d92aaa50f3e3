"""Files of the store while they are written: parts, which are whole files only once they are committed.

A part is 0600 and locked for as long as its process has it open, so that what a killed one left behind is told from what is being written.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from django.conf import settings

from keyspace.backups import bucket, sealed
from keyspace.errors import Unavailable

UPLOAD, UPLOAD_SECONDS = "upload~", 2 * 24 * 3600
_BESIDE = 64 * 1024
_SYNC_BYTES = 32 * 1024 * 1024
_writers = ThreadPoolExecutor(8, "write")


@dataclass(frozen=True)
class StoredFile:
    """A whole file: `size` and `sha256` are of the contents, not of the sealed form."""

    name: str
    size: int
    sha256: str


def directory() -> Path:
    """The store's directory, for its owner alone."""
    place = Path(getattr(settings, "BACKUP_DIR", "") or settings.DATA_DIR / "backups")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def parts_directory() -> Path:
    place = directory() / "parts"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


class Part:
    """A file being written. Leave the `with` without `commit`, and nothing remains of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = parts_directory() / f"{name.replace('/', '~')}~{uuid.uuid4().hex[:8]}"
        self._file: IO[bytes] = create_locked(self.path)
        self._seal = sealed.Sealer(self._file, sealed.key()) if sealed.key() else None
        self._sha256 = hashlib.sha256()
        self._under_way: Future[None] | None = None
        self._syncing: Future[None] | None = None
        self._synced = 0
        self.size = 0

    def write(self, data: "bytes | memoryview") -> None:
        """Large pieces are written and hashed by a thread, one at a time, beside the next reading: a failure may come one piece later.

        Raises Unavailable when the disk is full.
        """
        self._settle()
        self.size += len(data)
        if len(data) < _BESIDE:
            self._put(data)
        else:
            self._under_way = _writers.submit(self._put, bytes(data))

    def write_now(self, data: "bytes | memoryview") -> None:
        """As `write`, but in the caller's own thread: for one that has a thread for it, and wants its buffer back."""
        self._settle()
        self.size += len(data)
        self._put(data)

    def _settle(self) -> None:
        """Wait for what is under way. Raises what it failed with."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    def _put(self, data: "bytes | memoryview") -> None:
        self._sha256.update(data)
        try:
            if self._seal is not None:
                self._seal.write(data)
            else:
                self._write_all(memoryview(data))
            self._begin_sync()
        except OSError as error:
            raise disk_problem(error, self.size) from error

    def _write_all(self, view: memoryview) -> None:
        while len(view):
            view = view[self._file.write(view) or 0 :]

    def _begin_sync(self) -> None:
        """Let the disk work from time to time, beside the writing, so that the sync at the end finds little to wait for."""
        if self.size - self._synced < _SYNC_BYTES or (self._syncing and not self._syncing.done()):
            return
        self._end_sync()
        self._synced = self.size
        self._syncing = _writers.submit(os.fdatasync, self._file.fileno())

    def _end_sync(self) -> None:
        """Raises what a sync meanwhile failed with: the system tells each failure only once."""
        if self._syncing is not None:
            syncing, self._syncing = self._syncing, None
            syncing.result()

    def commit(self) -> StoredFile:
        """Make the file appear under its name, whole and on disk."""
        self._settle()
        try:
            if self._seal is not None:
                self._seal.finish()
            self._end_sync()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise disk_problem(error, self.size) from error
        self._file.close()
        away = bucket.remote()
        if away is None:
            self._rename()
        else:
            bucket.upload(away, self.path, self.name)
            self.path.unlink()
        return StoredFile(self.name, self.size, self._sha256.hexdigest())

    def _rename(self) -> None:
        target = directory() / self.name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(self.path, target)
        for place in (target.parent, directory()):
            descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # what brought us here is said already
            self._settle()
        with contextlib.suppress(Exception):
            self._end_sync()
        self._file.close()
        self.path.unlink(missing_ok=True)


def disk_problem(error: OSError, written: int) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Unavailable(
            f"The disk of the backup store failed: {error.strerror}.",
            "Look after the disk; nothing was kept.",
        )
    return DiskFull(written)


class DiskFull(Unavailable):
    """`written` bytes of a file were written when the disk of the store was full."""

    def __init__(self, written: int) -> None:
        self.written = written
        super().__init__(
            f"The disk of the backup store is full: after {written / 1e6:.1f} MB nothing more could be written.",
            "Free some space, or move the store; nothing of this backup was kept.",
        )

    def tell_missing(self, missing: float) -> None:
        """How many bytes more, about, would have been needed."""
        self.sentence = f"{self.sentence} About {max(missing / 1e6, 0.1):.1f} MB more are needed."


def create_locked(path: Path) -> IO[bytes]:
    """A new 0600 file, locked for as long as it is open: `remove_abandoned` leaves it alone."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fdopen(descriptor, "wb", buffering=0)


def remove_abandoned() -> None:
    """Remove parts, and plain copies of sealed files, whose process ended without doing so: nobody holds their lock."""
    for path in parts_directory().iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime < _abandoned_after(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif _is_free(path):
                path.unlink(missing_ok=True)


def _abandoned_after(path: Path) -> float:
    """Seconds; an upload waits for its person, locked or not, and the working directory of a comparison has no lock."""
    return UPLOAD_SECONDS if path.name.startswith(UPLOAD) or path.is_dir() else 60.0


def _is_free(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def remove_parts(prefix: str) -> None:
    """Remove what an interrupted backup left behind."""
    for path in parts_directory().glob(f"{prefix}~*"):
        path.unlink(missing_ok=True)
