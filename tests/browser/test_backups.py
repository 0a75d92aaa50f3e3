"""A backup in a real browser: trigger it, watch the bar, open it, compare, restore one key, undo."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from keyspace import job_worker
from keyspace.backups import opening
from keyspace.models import Backup, OpenBackup

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    running = job_worker.start_worker(threads=2)
    yield
    running.stop()
    for opened in OpenBackup.objects.all():
        opening.close(opened)


@pytest.fixture
def slow_saves(redis: Any) -> None:
    """A save of these keys takes about two seconds, so that there is a bar to watch."""
    redis.execute_command("DEBUG", "POPULATE", 1000, "bulk", 100)
    redis.mset({"greeting": "hello", b"bin\xff": b"\xfe"})
    redis.config_set("rdb-key-save-delay", 2000)


def test_backup_from_trigger_to_undo(
    worker: None, slow_saves: None, redis: Any, admin: Any, server_row: Any, console: Any,
    signed_in: Callable[[Any], Page],
) -> None:  # fmt: skip
    page = signed_in(admin)
    page.goto(console.url("/servers/test/backups/"))
    expect(page.get_by_text("There is no backup of this server yet.")).to_be_visible()

    page.get_by_role("button", name="Pull backup").click()
    expect(page.get_by_role("progressbar", name="Pull of test")).to_be_visible()
    expect(page.get_by_text("Loaded, counts match")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Newest verified backup was made")).to_be_visible()
    assert Backup.objects.get().keys == {"0": 1002}

    page.get_by_role("button", name="Snapshot").click()
    expect(page.get_by_text("saving on primary")).to_be_visible()
    expect(page.get_by_text("Saved on the server")).to_be_visible(timeout=20_000)

    redis.config_set("rdb-key-save-delay", 0)
    redis.set("greeting", "changed")
    row = page.get_by_role("row").filter(has_text="Pull")
    row.get_by_role("button", name="Open").click()
    page.get_by_role("link", name="browse test-").click(timeout=20_000)
    expect(page.get_by_text("READ-ONLY").first).to_be_visible()

    page.goto(console.url("/servers/test/backups/"))
    row.get_by_role("button", name="Compare").click()
    page.get_by_role("link", name="Key by key, with what changed").click(timeout=20_000)
    page.get_by_role("link", name="greeting").click()
    expect(page.locator("del")).to_have_text("hello")
    expect(page.locator("ins")).to_have_text("changed")

    page.goto(console.url("/servers/test/backups/"))
    row.get_by_role("link", name="Restore").click()
    page.get_by_label("Keys that match").fill("greeting")
    page.get_by_label("Keys that exist").select_option("different")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Dry run: nothing was written")).to_be_visible()
    restore = page.get_by_role("button", name="Restore", exact=True)
    expect(restore).to_be_disabled(timeout=20_000)
    assert redis.get("greeting") == b"changed"
    page.get_by_label("Type test to confirm").fill("test")
    restore.click()
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible(timeout=20_000)
    assert redis.get("greeting") == b"hello"

    undo.click()
    page.wait_for_url("**/jobs/*/")
    expect(page.get_by_text("Put back")).to_be_visible(timeout=20_000)
    assert redis.get("greeting") == b"changed"


def test_cancel_in_the_browser(
    worker: None, slow_saves: None, redis: Any, admin: Any, server_row: Any, console: Any,
    signed_in: Callable[[Any], Page],
) -> None:  # fmt: skip
    redis.config_set("rdb-key-save-delay", 20_000)
    page = signed_in(admin)
    page.goto(console.url("/servers/test/backups/"))
    page.get_by_role("button", name="Pull backup").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("cell", name="Cancelled")).to_be_visible()


def test_narrow_and_dark(
    worker: None, redis: Any, admin: Any, server_row: Any, console: Any, signed_in: Any
) -> None:
    redis.set("a", 1)
    page = signed_in(admin)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.goto(console.url("/servers/test/backups/"))
    page.get_by_role("button", name="Pull backup").click()
    expect(page.get_by_text("Loaded, counts match")).to_be_visible(timeout=20_000)
    for path in ("/servers/test/backups/", "/servers/test/backups/schedule/", "/jobs/"):
        page.goto(console.url(path))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
