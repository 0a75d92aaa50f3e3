"""Bounds of the live view; each is a setting LIVE_<name>, from the environment as CONSOLE_LIVE_<name> (docs/live.md lists them)."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings

_DEFAULTS: dict[str, Any] = {
    "SOCKETS_PER_PERSON": 20,  # open at once, a console process
    "SUBSCRIPTIONS": 200,  # a socket
    "WHOLE_RATE": 150_000,  # messages a second of a server that are shown whole; a faster stream is sampled
    "QUEUE_BYTES": 8 * 1024 * 1024,  # that wait for one slow browser
    "RECHECK_SECONDS": 15,  # between two looks at session and grants
    "RECORDING_SECONDS": 3600,  # longest recording
    "RECORDING_BYTES": 512 * 1024 * 1024,  # biggest recording, compressed
    "RECORDINGS_PER_PERSON": 3,  # running at once
    "PUBLISH_BYTES": 1024 * 1024,  # biggest payload of the publish form
    "CHANNELS": 5000,  # listed at once
}


def limit(name: str) -> int:
    default = os.environ.get(f"CONSOLE_LIVE_{name}", "")
    return getattr(settings, f"LIVE_{name}", int(default) if default.isdigit() else _DEFAULTS[name])


def recordings_directory() -> Path:
    directory = Path(settings.DATA_DIR) / "recordings"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory
