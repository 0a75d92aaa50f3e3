"""What the tests need of the machine itself: a Chromium, a redis-server and a Postgres."""

from __future__ import annotations

import os
from pathlib import Path

from steps import VENV_PYTHON, SetupFailed, answers, run, say, which

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")  # as tests/browser looks for them
DEBIANS_INITDB = "usr/lib/postgresql/*/bin/initdb"  # as tests/postgres.py looks for it


def find_or_install_chromium() -> None:
    """A Chromium on PATH; else the distribution's; else the one Playwright brings, which tests start by default."""
    if has_chromium() or has_playwrights_own():
        return
    if may_apt():
        apt_install("chromium")
    # Ubuntu's package of that name only points at a snap, which does not start in a container.
    if not has_chromium():
        install_playwrights_own()


def has_chromium() -> bool:
    return any(answers([name, "--version"]) for name in CHROMIUMS if which(name))


def has_playwrights_own() -> bool:
    ask = (
        "import os; from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p: print(os.path.exists(p.chromium.executable_path))"
    )
    return answers([VENV_PYTHON, "-c", ask]) == "True"


def install_playwrights_own() -> None:
    say("Installing Playwright's Chromium ...")
    deps = ["--with-deps"] if os.geteuid() == 0 else []
    command: list[str | Path] = [VENV_PYTHON, "-m", "playwright", "install", *deps, "chromium"]
    run(command, failing="The tests need a Chromium on PATH, and none could be installed")


def find_or_install_redis() -> None:
    """redis-server as Debian builds it: Redis 7, and the only server of the tests that speaks TLS."""
    if which("redis-server"):
        return
    if may_apt():
        apt_install("redis-server")
    if not which("redis-server"):
        raise SetupFailed("The tests need redis-server 7 with TLS on PATH: install it and try again.")


def find_or_install_postgres() -> None:
    """PostgreSQL's server: on PATH, or where Debian keeps it, which tests start for themselves."""
    if has_postgres():
        return
    if may_apt():
        apt_install("postgresql")
    if not has_postgres():
        raise SetupFailed("The tests need PostgreSQL's server (initdb): install postgresql and try again.")


def has_postgres() -> bool:
    return which("initdb") is not None or any(Path("/").glob(DEBIANS_INITDB))


def may_apt() -> bool:
    return os.geteuid() == 0 and which("apt-get") is not None


def apt_install(package: str) -> None:
    say(f"Installing {package} with apt-get ...")
    # RUNLEVEL=1 keeps Debian's scripts from starting the service: the tests start their own servers.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    run(["apt-get", "update", "-q"], failing="apt-get update failed", **quiet)
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
    run(command, failing=f"apt-get could not install {package}", **quiet)
