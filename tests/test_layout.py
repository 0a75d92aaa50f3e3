"""Rules that hold for the tree as a whole, so that they need not be looked for in a review."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION = 45
LONGEST_MODULE = 300
LONGEST_FRONT_END_FILE = 250
# Longer on purpose; say why.
MAY_BE_LONGER: dict[str, str] = {}
VAGUE_NAMES = re.compile(r"(?i)(^|_)(manager|helpers?|utils?|core|common)(_|$)|(Manager|Helper|Utils?)$")


@cache
def tracked() -> list[str]:
    """What git has or would add; the files on disk where this is no checkout."""
    asked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    names = [name for name in asked.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    return names or pytest.skip("not a git checkout")


def files(pattern: str, *, but: str = "(?!)") -> list[str]:
    return [name for name in tracked() if re.search(pattern, name) and not re.search(but, name)]


def text(name: str) -> str:
    return (ROOT / name).read_bytes().decode(errors="replace")


def report(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def lines_with(pattern: str, names: list[str]) -> list[str]:
    wanted = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name in names
        for number, line in enumerate(text(name).splitlines(), 1)
        if wanted.search(line)
    ]


def test_nothing_names_a_path_of_somebodys_machine() -> None:
    homes = "|".join((r"root/\w", r"work/\w", r"Users/\w", r"home/\w+/\w"))
    report(lines_with(rf"(?<![\w./}}\]-])/({homes})", files(r"", but=r"\.(png|svg|ico|woff2)$")))


def test_nothing_names_a_package_registry() -> None:
    hosts = "|".join(
        (r"pypi\.org", r"python" r"hosted\.", r"npm" r"js\.(org|com)", r"yarnpkg\.", r"deb\.debian\.")
    )
    report(lines_with(hosts, files(r"", but=r"\.(png|svg|ico|woff2)$|^tests/test_layout\.py$")))


def test_front_end_files_are_short() -> None:
    report(longer_than(LONGEST_FRONT_END_FILE, files(r"\.(js|mjs|css)$")))


def test_modules_are_short() -> None:
    report(longer_than(LONGEST_MODULE, files(r"^(console|keyspace|scripts)/.*\.py$", but="/migrations/")))


def longer_than(limit: int, names: list[str]) -> list[str]:
    lengths = {name: len(text(name).splitlines()) for name in names if name not in MAY_BE_LONGER}
    return [f"{name}: {length} lines, {limit} at most" for name, length in lengths.items() if length > limit]


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text(name))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of it that do something: the docstring may be as long as it needs to be."""
    first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
    return (function.end_lineno or 0) - first.lineno + 1


def test_functions_are_short() -> None:
    report(
        [
            f"{name}:{function.lineno}: {function.name} has {length_of(function)} lines"
            for name in files(r"\.py$", but="/migrations/")
            for function in functions(name)
            if length_of(function) > LONGEST_FUNCTION
        ]
    )


def test_nothing_has_a_name_that_says_nothing() -> None:
    found = [name for name in files(r"\.py$") if VAGUE_NAMES.search(Path(name).stem)]
    for name in files(r"^(console|keyspace|scripts)/.*\.py$"):
        found += [
            f"{name}:{node.lineno}: {node.name}"
            for node in ast.walk(ast.parse(text(name)))
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and VAGUE_NAMES.search(node.name)
        ]
    report(found)


def test_templates_keep_to_the_content_security_policy() -> None:
    names = files(r"^templates/.*\.(html|svg)$")
    forbidden = r"\sstyle=|\son[a-z]+=[\"']|\shx-on[:-]|javascript:|<(script|style)\b(?![^>]*(\ssrc=|nonce))"
    report(lines_with(forbidden, names))


def bundles() -> set[str]:
    """What scripts/build.mjs makes; a style sheet imported by a script becomes one of the script's name."""
    entries = re.findall(r'\{ in: "([^"]+)\.(js|css)", out: "(\w+)" \}', text("scripts/build.mjs"))
    made = {f"{out}.{kind}" for _, kind, out in entries}
    return made | {
        f"{out}.css"
        for source, kind, out in entries
        if re.search(r'import "[^"]+\.css"', text(f"{source}.{kind}"))
    }


def is_served(path: str) -> bool:
    """Of static/ only build/ and img/ are: the rest are sources."""
    place, _, file = path.partition("/")
    if place == "build":
        return file in bundles() or file.startswith("fonts/")
    return place == "img" and (ROOT / "static" / path).is_file()


def test_templates_load_only_files_that_are_there() -> None:
    report(
        [
            f"{name}: {wanted}"
            for name in files(r"^templates/")
            for wanted in re.findall(r"\{% static ['\"]([^'\"]+)['\"]", text(name))
            if not is_served(wanted)
        ]
    )


def test_nothing_asks_a_third_party_for_anything() -> None:
    names = files(r"^(templates|static)/.*\.(html|css|js)$")
    report(lines_with(r"(src=|@import|url\(|from |import\(|fetch\()\s*[\"']?(https?:)?//", names))


def pins(lock: str) -> set[str]:
    return set(re.findall(r"(?m)^([a-z0-9][\w.-]*(?:\[[^\]]*\])?==[^\s;\\]+)", text(lock)))


def test_what_tests_need_holds_all_that_running_needs() -> None:
    report(sorted(pins("requirements.lock") - pins("requirements-dev.lock")))


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    locked = {re.split(r"[\[=]", pin)[0].replace("_", "-") for pin in pins("requirements.lock")}
    wanted = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    report(sorted(wanted - locked))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock", "requirements-node.lock"])
def test_every_locked_package_has_a_hash(lock: str) -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text(lock))
    packages = [block for block in blocks if "==" in block.split("\n")[0]]
    assert packages
    report([block.split("\n")[0] for block in packages if "--hash=sha256:" not in block])


def test_every_locked_front_end_package_has_a_hash_and_no_address() -> None:
    packages = json.loads(text("package-lock.json"))["packages"]
    report([name for name, package in packages.items() if name and "integrity" not in package])
    report([name for name, package in packages.items() if "resolved" in package])


def test_every_feature_of_the_console_is_held_apart_from_the_others() -> None:
    settings = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]
    apart = next(
        contract["modules"] for contract in settings["contracts"] if contract["type"] == "independence"
    )
    features = {name.replace("/", ".").removesuffix(".urls.py") for name in files(r"^console/\w+/urls\.py$")}
    report(sorted(features - set(apart)))
