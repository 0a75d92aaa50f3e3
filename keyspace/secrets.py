"""Passwords and keys at rest: MultiFernet under settings.CONSOLE_KEYS (newest first), a key apart from SECRET_KEY."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from keyspace.errors import Problem


def _box() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CONSOLE_KEYS])


def encrypt(value: str) -> str:
    """A token for `value`; the empty string stays empty."""
    return _box().encrypt(value.encode()).decode() if value else ""


def decrypt(token: str) -> str:
    """The inverse of `encrypt`. Raises Problem when no configured key fits."""
    if not token:
        return ""
    try:
        return _box().decrypt(token.encode()).decode()
    except InvalidToken:
        raise Problem("A stored secret cannot be read with the console's keys.",
                      "Add the key it was written with to CONSOLE_KEYS, or enter the secret anew.") from None  # fmt: skip
