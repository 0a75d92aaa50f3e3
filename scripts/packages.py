"""The virtual environment and what is in it, by hash-locked lists; uv where it is, pip otherwise."""

from __future__ import annotations

import sys
from pathlib import Path

from steps import ROOT, VENV, VENV_PYTHON, SetupFailed, answers, digest, is_done, mark_done, run, say, which

# A list that holds another one whole: who has the first has the second too. tests/test_layout.py keeps it true.
INCLUDES = {"requirements-dev.lock": ("requirements.lock",)}


def make_venv() -> None:
    """Make .venv unless a working one of the right age is there.

    Raises:
        SetupFailed: this Python cannot make one and nothing else here can.
    """
    if answers([VENV_PYTHON, "-c", "import sys; print(sys.version_info[:2] >= (3, 11))"]) == "True":
        return
    say("Making .venv ...")
    if has_venv_module():
        run([sys.executable, "-m", "venv", "--clear", VENV], failing="Python could not make .venv")
    elif uv := which("uv"):
        run([uv, "venv", "--clear", "--python", sys.executable, VENV], failing="uv could not make .venv")
    else:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupFailed(
            f"{sys.executable} has no venv module, which Debian and Ubuntu pack apart: "
            f"apt-get install python{version}-venv, then try again."
        )


def has_venv_module() -> bool:
    """Debian leaves `venv` in and takes `ensurepip` out: only both together make an environment with pip."""
    return answers([sys.executable, "-c", "import venv, ensurepip"]) is not None


def stamp_of(lock: str) -> Path:
    return VENV / ".stamps" / lock


def state_of(lock: str) -> str:
    return digest([ROOT / lock], more=answers([VENV_PYTHON, "--version"]) or "")


def install(lock: str) -> None:
    """Install a locked list into .venv, unless it stands there already.

    Raises:
        SetupFailed: no network, a hash that does not match, no wheel for this machine.
    """
    if is_done(stamp_of(lock), state_of(lock)):
        return
    say(f"Installing {lock} (about a minute when nothing is cached) ...")
    if not install_with_uv(lock):
        install_with_pip(lock)
    for done in (lock, *INCLUDES.get(lock, ())):
        mark_done(stamp_of(done), state_of(done))


def install_with_uv(lock: str) -> bool:
    """False when there is no uv, or when it failed where pip may not: its registry settings are not pip's."""
    uv = which("uv")
    if uv is None:
        return False
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        VENV_PYTHON,
        "--require-hashes",
        "-r",
        ROOT / lock,
    ]
    if answers([VENV_PYTHON, "-m", "pip", "--version"]) is None:
        run(command, failing=f"uv could not install {lock}")
        return True
    return answers(command, timeout=600) is not None


def install_with_pip(lock: str) -> None:
    pip: list[str | Path] = [
        VENV_PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    # A person's own `user = true` in pip's settings is an error inside a virtual environment.
    run([*pip, "--require-hashes", "-r", ROOT / lock], failing=f"pip could not install {lock}", PIP_USER="0")
