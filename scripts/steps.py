"""What every set-up step stands on: saying, running, and knowing that it was done already."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"

NO_NETWORK = (
    "name resolution",
    "newconnectionerror",
    "connecttimeout",
    "connection refused",
    "network is unreachable",
    "failed to establish a new connection",
    "proxyerror",
    "max retries exceeded",
    "dns error",
    "enotfound",
    "eai_again",
    "econnrefused",
    "etimedout",
    "enetunreach",
    "could not resolve host",
)


class SetupFailed(Exception):
    """A step could not be done; the message is the one sentence that is printed."""


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def run(command: Sequence[str | Path], *, failing: str, **variables: str) -> None:
    """Run quietly in the project's root, with .venv/bin first on PATH: there Node lands when the system has none.

    Raises:
        SetupFailed: it failed; the message begins with `failing`, and the end of its output was printed.
    """
    words = [str(word) for word in command]
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    env = {**os.environ, "PATH": path, **variables}
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    try:
        done = subprocess.run(words, cwd=ROOT, env=env, stdin=none, stdout=pipe, stderr=subprocess.STDOUT)
    except OSError as error:
        raise SetupFailed(f"{failing} ({words[0]}: {error.strerror})") from None
    if done.returncode != 0:
        explain(done.stdout.decode(errors="replace").strip(), failing)


def explain(output: str, failing: str) -> NoReturn:
    """Show the end of what a failed command printed, and say what it means."""
    print("\n".join(output.splitlines()[-15:]), flush=True)
    if any(sign in output.lower() for sign in NO_NETWORK):
        raise SetupFailed(
            f"{failing}: the package registry is out of reach. Check the network and try again."
        )
    raise SetupFailed(f"{failing}; what it said stands above.")


def answers(command: Sequence[str | Path], *, timeout: float = 30) -> str | None:
    """What a command prints, or None when it is missing, fails or outlives `timeout` seconds."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def digest(paths: Iterable[Path], *, more: str = "") -> str:
    """SHA-256 over names and contents. Not times: a checkout gives every file the time of the checkout."""
    seen = hashlib.sha256(more.encode())
    for path in sorted(paths):
        seen.update(f"\0{path.relative_to(ROOT)}\0".encode())
        seen.update(path.read_bytes())
    return seen.hexdigest()


def is_done(stamp: Path, state: str) -> bool:
    return stamp.is_file() and stamp.read_text().strip() == state


def mark_done(stamp: Path, state: str) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(state + "\n")


def which(*names: str) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the checkout: `make run` and `make test` started together must not install over each other."""
    with (ROOT / "scripts" / "setup.py").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
