"""A Django storage behind the store (S3).

Files are sent in parts and read back; they are read from any place on without fetching the rest.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files import File

from keyspace.errors import Problem, Unavailable

CHUNK = 1024 * 1024


def remote() -> Any | None:
    """The Django storage called "backups" where one is set, else None: files stay in the directory."""
    from django.core.files.storage import storages

    return storages["backups"] if "backups" in settings.STORAGES else None


@contextlib.contextmanager
def told(advice: str) -> Iterator[None]:
    """What the storage's library raises becomes a sentence; its own text may hold addresses and keys."""
    try:
        yield
    except (Problem, FileNotFoundError):
        raise
    except Exception as error:
        raise Unavailable(f"The backup storage failed: {_why(error)}.", advice) from error


def _why(error: Exception) -> str:
    """The storage's own code where it answered (AccessDenied, NoSuchBucket), else that nothing answered, else the kind of failure."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    name = type(error).__name__
    return (
        str(code)
        if code
        else f"it cannot be reached ({name})"
        if "Connect" in name or "Timeout" in name
        else name
    )


class ObjectReader:
    """An object of a bucket, read as it comes: nothing of it is held or written to a disk here."""

    def __init__(self, obj: Any) -> None:
        self._object, self._at, self._size = obj, 0, int(obj.content_length)
        self._body: Any = None

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._at
        size = left if size < 0 else min(size, left)
        if size <= 0:
            return b""
        with told("Try again; what was read so far is not used."):
            if self._body is None:
                self._body = self._object.get(Range=f"bytes={self._at}-")["Body"]
            data: bytes = self._body.read(size)
            if not data:
                raise ConnectionError("cut off")
        self._at += len(data)
        return data

    def seek(self, at: int) -> None:
        if at != self._at:
            self.close()
            self._at = at

    def close(self) -> None:
        if self._body is not None:
            body, self._body = self._body, None
            body.close()

    def __enter__(self) -> "ObjectReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_remote(away: Any, name: str) -> IO[bytes]:
    """Raises FileNotFoundError, Unavailable."""
    with told("Look after the storage and its settings, then try again."):
        file = away.open(name, "rb")
        obj = getattr(file, "obj", None)  # an S3File would fetch the whole object before its first byte
        return file if obj is None else ObjectReader(obj)  # type: ignore[return-value]


def upload(away: Any, path: Path, name: str) -> None:
    """Send a file in parts and read it back: what the storage holds is what was written, or the file does not count."""
    try:
        with told("Nothing of this backup was kept; try again."):
            _send(away, path, name)
            _compare(away, path, name)
    except BaseException:
        remove_quietly(away, name)
        raise


def _send(away: Any, path: Path, name: str) -> None:
    with path.open("rb") as source:
        kept = away.save(name, File(source))
    if kept != name:
        remove_quietly(away, kept)
        raise Unavailable(
            "The storage would not take the file under its name.", "A file of that name is there already."
        )


def _compare(away: Any, path: Path, name: str) -> None:
    with path.open("rb") as here, open_remote(away, name) as there:
        same = hashlib.file_digest(here, "sha256").digest() == _digest(there)
    if not same:
        raise Unavailable(
            "The storage holds something else than what was sent.", "The upload was removed; try again."
        )


def _digest(source: Any) -> bytes:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
    return digest.digest()


def remove_remote(away: Any, name: str) -> None:
    with told("Nothing was removed; try again."):
        away.delete(name)


def remove_quietly(away: Any, name: str) -> None:
    """For what is in the way of a failure that is told already."""
    with contextlib.suppress(Exception):
        away.delete(name)


def list_remote(away: Any, prefix: str) -> list[str]:
    """The files under a backup's id."""
    try:
        return [f"{prefix}/{name}" for name in away.listdir(prefix)[1]]
    except FileNotFoundError:
        return []
