"""The documents say what there is: every setting, every picture, every page of docs/."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for folder in ("console", "keyspace") for path in (ROOT / folder).rglob("*.py")]
SETTING = re.compile(r'env\.\w+\(\s*"([A-Z_]+)"|environ(?:\.get)?[\[(]"([A-Z_]+)"')
DOCUMENTS = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
OF_OTHERS = {"DJANGO_SETTINGS_MODULE", "PATH", "HOME", "TZ"}


def test_the_readme_names_every_setting():
    read = {
        name for path in SOURCES for found in SETTING.findall(path.read_text()) for name in found if name
    } - OF_OTHERS
    readme = (ROOT / "README.md").read_text()
    assert read > {"REDIS_HOST", "CONSOLE_ORIGIN"}
    assert sorted(name for name in read if f"`{name}`" not in readme) == []


def test_the_readme_names_no_setting_that_nothing_reads():
    code = "\n".join(
        path.read_text() for path in [*SOURCES, *(ROOT / "scripts").glob("*.py"), ROOT / "Makefile"]
    )
    named = set(re.findall(r"`((?:CONSOLE|REDIS)_[A-Z_]+|DATABASE_URL)`", (ROOT / "README.md").read_text()))
    assert sorted(name for name in named if name not in code) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_are_there(document):
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_page_of_the_docs_is_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in readme] == []


def test_the_tables_of_roles_agree():
    from keyspace.access import ROLES, Permission

    assert list(ROLES) == ["viewer", "operator", "admin"]
    assert ROLES["admin"] == frozenset(Permission)
