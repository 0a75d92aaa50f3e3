"""Encryption at rest: AES-256-GCM in chunks of 256 KiB, so that a file is never whole in memory and cannot be cut or reordered unseen.

File: ``KSSEAL1\\n``, 8 bytes of key mark (which key, not the key), 8 bytes of random prefix, then chunks of at most 256 KiB + 16 bytes.
The nonce of a chunk is the prefix and its number; the associated data of the last one says that it is the last.
"""

import functools
import hashlib
import os
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from keyspace.backups.rdb import Damaged
from keyspace.errors import Unavailable

MAGIC = b"KSSEAL1\n"
CHUNK = 256 * 1024
_TAG = 16
_HEAD_BYTES = 24


def key() -> bytes | None:
    """The key of BACKUP_KEY (any text, or the path of a file), stretched to 32 bytes; None: files are not sealed."""
    secret = getattr(settings, "BACKUP_KEY", "")
    return _stretched(secret) if secret else None


@functools.lru_cache(maxsize=4)
def _stretched(secret: str) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=b"keyspace-console backups", n=2**14, r=8, p=1, dklen=32)


def _mark(secret: bytes) -> bytes:
    return hashlib.sha256(b"mark" + secret).digest()[:8]


class WrongKey(Unavailable):
    """The file may be whole; it cannot be read with the key that is set here."""


class Sealer:
    """Writes what it is given sealed to `target`; `finish` it."""

    def __init__(self, target: IO[bytes], secret: bytes | None) -> None:
        if secret is None:
            raise ValueError("no key")
        self._target, self._gcm, self._held, self._number = target, AESGCM(secret), bytearray(), 0
        self._prefix = os.urandom(8)
        self._target.write(MAGIC + _mark(secret) + self._prefix)

    def write(self, data: "bytes | memoryview") -> None:
        self._held += data
        while len(self._held) > CHUNK:  # the last chunk must stay back: it is sealed as the last
            self._put(bytes(self._held[:CHUNK]), last=False)
            del self._held[:CHUNK]

    def finish(self) -> None:
        self._put(bytes(self._held), last=True)

    def _put(self, chunk: bytes, *, last: bool) -> None:
        nonce = self._prefix + self._number.to_bytes(4, "big")
        view = memoryview(self._gcm.encrypt(nonce, chunk, b"last" if last else b"more"))
        while len(view):
            view = view[self._target.write(view) or 0 :]
        self._number += 1


class Opener:
    """Reads a sealed file's contents. Raises Damaged for any change, WrongKey for another key."""

    def __init__(self, source: IO[bytes], secret: bytes | None) -> None:
        head = source.read(_HEAD_BYTES)
        if secret is None:
            raise WrongKey(
                "This backup is sealed and no key is set here.",
                "Set CONSOLE_BACKUP_KEY to the key it was made with.",
            )
        if len(head) < _HEAD_BYTES or head[8:16] != _mark(secret):
            raise WrongKey(
                "This backup is sealed with another key.",
                "Set CONSOLE_BACKUP_KEY to the key it was made with.",
            )
        self._source, self._gcm, self._prefix = source, AESGCM(secret), head[16:]
        self._number, self._plain, self._ended = 0, bytearray(), False
        self._next = source.read(CHUNK + _TAG)

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._plain) < size):
            self._advance()
        size = len(self._plain) if size < 0 else size
        out = bytes(self._plain[:size])
        del self._plain[:size]
        return out

    def seek(self, at: int) -> None:
        """To a place inside the contents: only its chunk is opened, not those before it."""
        self._number, self._ended = at // CHUNK, False
        self._plain.clear()
        self._source.seek(_HEAD_BYTES + self._number * (CHUNK + _TAG))
        self._next = self._source.read(CHUNK + _TAG)
        self.read(at % CHUNK)

    def _advance(self) -> None:
        chunk, self._next = self._next, self._source.read(CHUNK + _TAG)
        last = not self._next
        try:
            nonce = self._prefix + self._number.to_bytes(4, "big")
            self._plain += self._gcm.decrypt(nonce, chunk, b"last" if last else b"more")
        except InvalidTag:
            raise Damaged("the sealed file was changed or cut", self._number * (CHUNK + _TAG)) from None
        self._number, self._ended = self._number + 1, last

    def close(self) -> None:
        self._source.close()


def is_sealed(path: Path) -> bool:
    try:
        with path.open("rb") as source:
            return source.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def opened(source: IO[bytes]) -> IO[bytes]:
    """`source` itself, or what reads it unsealed."""
    sealed = source.read(len(MAGIC)) == MAGIC
    source.seek(0)
    return Opener(source, key()) if sealed else source  # type: ignore[return-value]
