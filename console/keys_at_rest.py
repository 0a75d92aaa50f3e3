"""Keys that the console makes for itself when none are given: files of mode 0600 in the data directory."""

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet


def read_or_make_secret(path: Path) -> str:
    """The text of `path`, made of 50 random bytes the first time."""
    return _read_or_make(path, lambda: secrets.token_urlsafe(50))


def read_or_make_key(path: Path) -> str:
    """The Fernet key in `path`, made the first time. Losing it loses the stored passwords of servers."""
    return _read_or_make(path, lambda: Fernet.generate_key().decode())


def _read_or_make(path: Path, make) -> str:  # type: ignore[no-untyped-def]
    """Two processes that start together agree: the file appears whole or not at all, and the first one stays."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(make())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()
