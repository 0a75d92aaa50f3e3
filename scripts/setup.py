"""Make this checkout ready: `python3 scripts/setup.py run|test|lint`. Standard library only; every step once.

run   .venv with requirements.lock, the front end in static/build/
test  the same with requirements-dev.lock, a Chromium and a redis-server
lint  requirements-dev.lock alone

A step leaves the SHA-256 of what it depends on behind; while that holds it is skipped, so a second run costs
milliseconds.
"""

from __future__ import annotations

import os
import sys

OLDEST = (3, 11)


def find_newer_python() -> str | None:
    """A Python of the right age elsewhere on PATH. Asked, not trusted: a pyenv shim may stand for nothing."""
    from steps import answers

    ask = "import sys; print(sys.version_info[:2] >= (3, 11))"
    names = (f"python3.{minor}" for minor in (14, 13, 12, 11))
    return next((name for name in names if answers([name, "-c", ask]) == "True"), None)


def needs_newer_python() -> None:
    """Go on under a newer Python when this one is too old."""
    newer = find_newer_python()
    if newer is None:
        have = ".".join(str(part) for part in sys.version_info[:3])
        sys.exit(f"Keyspace Console needs Python 3.11 or newer; this one is {have} ({sys.executable}).")
    os.execvp(newer, [newer, *sys.argv])


def prepare(goal: str) -> None:
    import front_end
    import machine
    import packages

    packages.make_venv()
    packages.install("requirements.lock" if goal == "run" else "requirements-dev.lock")
    if goal != "lint":
        front_end.build()
    if goal == "test":
        machine.find_or_install_chromium()
        machine.find_or_install_redis()


def main() -> None:
    if sys.version_info < OLDEST:
        needs_newer_python()
    from steps import SetupFailed, one_at_a_time

    goal = sys.argv[1] if len(sys.argv) == 2 else ""
    if goal not in ("run", "test", "lint"):
        sys.exit(__doc__)
    try:
        with one_at_a_time():
            prepare(goal)
    except SetupFailed as failure:
        sys.exit(f"\n{failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
