"""Where backup files lie: a directory of the console's, or a Django storage (S3) behind it; sealed where a key is set.

A file exists under its name only when it is whole: it is written as a part (0600), synced, and renamed. Names are made here from the
backup's id and a number, never from what a client sent.
"""

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from keyspace.backups import bucket, sealed
from keyspace.backups.bucket import CHUNK, remote
from keyspace.backups.parts import (
    Part,
    StoredFile,
    create_locked,
    directory,
    disk_problem,
    parts_directory,
    remove_abandoned,
    remove_parts,
)
from keyspace.errors import NotFound

__all__ = [
    "CHUNK",
    "Part",
    "StoredFile",
    "directory",
    "parts_directory",
    "remote",
    "remove_abandoned",
    "remove_parts",
]


def free_bytes() -> int:
    return shutil.disk_usage(directory()).free


def place_words() -> str:
    """Where backups go, for people."""
    away = remote()
    bucket = getattr(away, "bucket_name", None)
    return f"s3://{bucket}" if bucket else str(directory()) if away is None else "the configured storage"


def open_raw(name: str) -> IO[bytes]:
    """The file as it lies. Raises NotFound."""
    here, away = directory() / name, remote()
    try:
        return here.open("rb") if away is None or here.is_file() else bucket.open_remote(away, name)
    except FileNotFoundError:
        raise _gone() from None


def _gone() -> NotFound:
    return NotFound("The file of this backup is gone from the store.", "Somebody may have removed it there.")


@contextlib.contextmanager
def open_file(name: str) -> Iterator[IO[bytes]]:
    """The contents, read from the beginning; unsealed. Raises NotFound, Unavailable for a wrong key, Damaged."""
    with open_raw(name) as raw:
        yield sealed.opened(raw)


def read_chunks(name: str, first: int = 0) -> Iterator[bytes]:
    """The contents from the byte `first` on; what is before it is not read."""
    with open_file(name) as source:
        if first:
            source.seek(first)
        while chunk := source.read(CHUNK):
            yield chunk


@contextlib.contextmanager
def local_path(name: str) -> Iterator[Path]:
    """The contents as a plain file: the one in the directory, or a 0600 copy that goes with the block."""
    here = directory() / name
    if here.is_file() and not sealed.is_sealed(here):
        yield here
        return
    copy = parts_directory() / f"copy~{uuid.uuid4().hex}"
    try:
        with create_locked(copy) as target:
            _copy(name, target)
            yield copy
    finally:
        copy.unlink(missing_ok=True)


def _copy(name: str, target: IO[bytes]) -> None:
    """Raises Unavailable when the disk is full."""
    done = 0
    for chunk in read_chunks(name):
        try:
            target.write(chunk)
        except OSError as error:
            raise disk_problem(error, done) from error
        done += len(chunk)


def remove(name: str) -> None:
    """Remove a file; not being there is as good. Raises Unavailable."""
    path, away = directory() / name, remote()
    if away is not None and not path.is_file():
        bucket.remove_remote(away, name)
        return
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def remove_all(backup_id: uuid.UUID | str) -> None:
    """Remove all there is of a backup that came to nothing, also what no row tells of. What cannot be removed stays: it has no row."""
    remove_parts(str(backup_id))
    with contextlib.suppress(Exception):
        for name in _files_of(str(uuid.UUID(str(backup_id)))):
            remove(name)


def _files_of(backup_id: str) -> list[str]:
    here, away = [f"{backup_id}/{path.name}" for path in (directory() / backup_id).glob("*")], remote()
    return here + (bucket.list_remote(away, backup_id) if away is not None else [])
