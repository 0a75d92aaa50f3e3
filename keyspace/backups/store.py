"""Where backup files lie: a directory of the console's, or a Django storage (S3) behind it; sealed where a key is set.

A file exists under its name only when it is whole: it is written as a part (0600), synced, and renamed. Names are made here from the
backup's id and a number, never from what a client sent.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from django.conf import settings
from django.core.files import File

from keyspace.backups import sealed
from keyspace.errors import NotFound, Unavailable

CHUNK = 1024 * 1024
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


def free_bytes() -> int:
    return shutil.disk_usage(directory()).free


def remote() -> Any | None:
    """The Django storage called "backups" where one is set, else None: files stay in the directory."""
    from django.core.files.storage import storages

    return storages["backups"] if "backups" in settings.STORAGES else None


def place_words() -> str:
    """Where backups go, for people."""
    away = remote()
    bucket = getattr(away, "bucket_name", None)
    return f"s3://{bucket}" if bucket else str(directory()) if away is None else "the configured storage"


class Part:
    """A file being written. Leave the `with` without `commit`, and nothing remains of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = parts_directory() / f"{name.replace('/', '~')}~{uuid.uuid4().hex[:8]}"
        descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb", buffering=0)
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
            raise _disk_problem(error, self.size) from error

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
            raise _disk_problem(error, self.size) from error
        self._file.close()
        away = remote()
        if away is None:
            self._rename()
        else:
            _upload(away, self.path, self.name)
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


def _disk_problem(error: OSError, written: int) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return Unavailable(f"The disk of the backup store is full: after {written / 1e6:.1f} MB nothing more could be written.",
                       "Free some space, or move the store; nothing of this backup was kept.")  # fmt: skip


def _upload(away: Any, path: Path, name: str) -> None:
    """Send a file in parts and read it back: what the storage holds is what was written, or the file does not count."""
    try:
        with path.open("rb") as source:
            if away.save(name, File(source)) != name:
                raise Unavailable(
                    "The storage would not take the file under its name.",
                    "A file of that name is there already.",
                )
        with path.open("rb") as here, away.open(name, "rb") as there:
            if hashlib.file_digest(here, "sha256").digest() != _digest(there):
                raise Unavailable(
                    "The storage holds something else than what was sent.",
                    "The upload was removed; try again.",
                )
    except BaseException as error:
        with contextlib.suppress(Exception):
            away.delete(name)
        if isinstance(error, Unavailable):
            raise
        raise Unavailable(
            f"The backup storage failed: {type(error).__name__}.",
            "Nothing of this backup was kept; try again.",
        ) from error
    path.unlink()


def _digest(source: Any) -> bytes:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
    return digest.digest()


def open_raw(name: str) -> IO[bytes]:
    """The file as it lies. Raises NotFound."""
    away = remote()
    try:
        return away.open(name, "rb") if away is not None else (directory() / name).open("rb")
    except FileNotFoundError:
        raise NotFound(
            "The file of this backup is gone from the store.", "Somebody may have removed it there."
        ) from None


@contextlib.contextmanager
def open_file(name: str) -> Iterator[IO[bytes]]:
    """The contents, read from the beginning; unsealed. Raises NotFound, Unavailable for a wrong key, Damaged."""
    with open_raw(name) as raw:
        yield sealed.opened(raw)


def read_chunks(name: str) -> Iterator[bytes]:
    with open_file(name) as source:
        while chunk := source.read(CHUNK):
            yield chunk


@contextlib.contextmanager
def local_path(name: str) -> Iterator[Path]:
    """The contents as a plain file: the one in the directory, or a 0600 copy that goes with the block."""
    here = directory() / name
    if remote() is None and not sealed.is_sealed(here):
        if not here.is_file():
            raise NotFound(
                "The file of this backup is gone from the store.", "Somebody may have removed it there."
            )
        yield here
        return
    copy = parts_directory() / f"copy~{uuid.uuid4().hex}"
    try:
        with os.fdopen(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as target:
            for chunk in read_chunks(name):
                target.write(chunk)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def remove(name: str) -> None:
    """Remove a file; not being there is as good."""
    away = remote()
    if away is not None:
        away.delete(name)
        return
    path = directory() / name
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def remove_parts(prefix: str) -> None:
    """Remove what an interrupted backup left behind."""
    for path in parts_directory().glob(f"{prefix}~*"):
        path.unlink(missing_ok=True)
