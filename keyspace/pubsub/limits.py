"""Bounds of the live view; each is a setting LIVE_<name>, from the environment as CONSOLE_LIVE_<name> (docs/live.md lists them)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from keyspace.configured import BadConfiguration

_DEFAULTS: dict[str, Any] = {
    "SOCKETS_PER_PERSON": 20,  # open at once, in all processes of the console
    "SUBSCRIPTIONS": 200,  # a socket
    "WHOLE_RATE": 150_000,  # messages a second of a server that are shown whole; a faster stream is sampled
    "QUEUE_BYTES": 8 * 1024 * 1024,  # that wait for one slow browser
    "RECHECK_SECONDS": 15,  # between two looks at session and grants
    "RECORDING_SECONDS": 3600,  # longest recording
    "RECORDING_BYTES": 512 * 1024 * 1024,  # biggest recording, compressed
    "RECORDINGS_PER_PERSON": 3,  # running at once, in all processes
    "PUBLISH_BYTES": 1024 * 1024,  # biggest payload of the publish form
    "CHANNELS": 5000,  # listed at once
}


_AT_MOST = {"RECHECK_SECONDS": 15}  # a revoked right is never looked at more seldom
_PREFIX = "CONSOLE_LIVE_"


def check_limits(environ: Mapping[str, str]) -> None:
    """Raises BadConfiguration for what is no limit: a console starts with all of them understood, or says which is not."""
    for name in _DEFAULTS:
        text, most = environ.get(_PREFIX + name, ""), _AT_MOST.get(name)
        number = int(text) if text.isascii() and text.isdigit() else 0
        if text and (number < 1 or number > (most or number)):
            bounds = f"from 1 to {most}" if most else "from 1 on"
            raise BadConfiguration(f"{_PREFIX}{name} must be a whole number {bounds}, not {text!r}.")


def limit(name: str) -> int:
    default = os.environ.get(_PREFIX + name, "")
    return getattr(settings, f"LIVE_{name}", int(default) if default.isdigit() else _DEFAULTS[name])


def recordings_directory() -> Path:
    directory = Path(settings.DATA_DIR) / "recordings"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory
