"""A backup in a real browser: trigger it, watch the bar, verify, open it, compare, restore one key, undo."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from keyspace import job_worker
from keyspace.backups import opening
from keyspace.models import Backup, Job, OpenBackup

pytestmark = pytest.mark.django_db(transaction=True)
SLOW = 20_000
"""Milliseconds for what a job does, on a busy machine."""


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


@pytest.fixture
def backups(
    worker: None, slow_saves: None, admin: Any, server_row: Any, console: Any, signed_in: Callable[[Any], Page]
) -> Page:  # fmt: skip
    """The Backups page of an admin."""
    page = signed_in(admin)
    page.goto(console.url("/servers/test/backups/"))
    return page


def test_backup_from_trigger_to_undo(backups: Page, redis: Any, console: Any) -> None:
    expect(backups.get_by_text("There is no backup of this server yet.")).to_be_visible()
    pull_and_watch(backups)
    redis.config_set("rdb-key-save-delay", 0)
    redis.set("greeting", "changed")
    verify_again(backups, console)
    open_and_browse(backups, console)
    compare_with_live(backups, console)
    restore_one_key(backups, console, redis)
    undo(backups)
    assert redis.get("greeting") == b"changed"


def row_of(page: Page, console: Any) -> Any:
    page.goto(console.url("/servers/test/backups/"))
    return page.get_by_role("row").filter(has_text="Pull")


def pull_and_watch(page: Page) -> None:
    page.get_by_role("button", name="Pull backup").click()
    expect(page.get_by_role("progressbar", name="Pull of test")).to_be_visible()
    expect(page.get_by_text("Loaded, counts match")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Newest verified backup was made")).to_be_visible()
    assert Backup.objects.get().keys == {"0": 1002}


def verify_again(page: Page, console: Any) -> None:
    before = Backup.objects.get().verified_at
    page.goto(console.url(f"/servers/test/backups/{Backup.objects.get().pk}/"))
    page.get_by_role("button", name="Verify again").click()
    expect(page.get_by_text("was loaded, and its counts match")).to_be_visible(timeout=SLOW)
    assert Backup.objects.get().verified_at > before


def open_and_browse(page: Page, console: Any) -> None:
    row_of(page, console).get_by_role("button", name="Open").click()
    page.get_by_role("link", name="browse test-").click(timeout=SLOW)
    expect(page.get_by_text("READ-ONLY").first).to_be_visible()
    page.get_by_role("link", name="greeting").first.click()
    expect(page.get_by_role("link", name="Restore…")).to_be_visible()
    expect(page.get_by_text("hello").first).to_be_visible()


def compare_with_live(page: Page, console: Any) -> None:
    row_of(page, console).get_by_role("button", name="Compare").click()
    page.get_by_role("link", name="Key by key").click(timeout=SLOW)
    page.get_by_role("link", name="greeting").click()
    for value in ("hello", "changed"):
        expect(page.locator("main").get_by_text(value, exact=True).first).to_be_visible(timeout=SLOW)


def restore_one_key(page: Page, console: Any, redis: Any) -> None:
    """From the key of the opened backup, after its dry run."""
    opened = OpenBackup.objects.get().row.name
    page.goto(console.url(f"/servers/{opened}/0/keys/"))
    page.get_by_role("link", name="greeting").first.click()
    page.get_by_role("link", name="Restore…").click()
    page.get_by_label("Keys that exist").select_option("different")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Dry run: nothing was written")).to_be_visible()
    restore = page.get_by_role("button", name="Restore", exact=True)
    expect(restore).to_be_disabled(timeout=SLOW)
    assert redis.get("greeting") == b"changed"
    page.get_by_label("Type test to confirm").fill("test")
    restore.click()
    expect(page.get_by_text("What 1 key held is in the trash")).to_be_visible(timeout=SLOW)
    assert redis.get("greeting") == b"hello"


def undo(page: Page) -> None:
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url(lambda url: str(Job.objects.get(kind="undo_restore").pk) in url)
    expect(page.get_by_text("from the trash")).to_be_visible(timeout=SLOW)


def test_snapshot_in_the_browser(backups: Page) -> None:
    backups.get_by_role("button", name="Snapshot").click()
    expect(backups.get_by_text("saving on primary")).to_be_visible()
    expect(backups.get_by_text("Saved on the server")).to_be_visible(timeout=SLOW)


def test_restore_a_selection_into_an_emptied_server(backups: Page, redis: Any, console: Any) -> None:
    """Several keys picked in the list of an opened backup; then all of it by a temporary primary."""
    redis.config_set("rdb-key-save-delay", 0)
    backups.get_by_role("button", name="Pull backup").click()
    expect(backups.get_by_text("Loaded, counts match")).to_be_visible(timeout=SLOW)
    redis.delete("greeting", b"bin\xff")
    row_of(backups, console).get_by_role("button", name="Open").click()
    backups.get_by_role("link", name="browse test-").click(timeout=SLOW)
    for name in ("greeting", "bin\\xff"):
        backups.get_by_label(f"Select {name}", exact=True).check()
    backups.get_by_role("button", name="Restore…").click()
    expect(backups.locator("code", has_text="greeting")).to_be_visible()
    backups.get_by_role("button", name="Dry run").click()
    backups.get_by_label("Type test to confirm").fill("test", timeout=SLOW)
    backups.get_by_role("button", name="Restore", exact=True).click()
    expect(backups.get_by_text("2 keys are new")).to_be_visible(timeout=SLOW)
    assert redis.mget("greeting", b"bin\xff") == [b"hello", b"\xfe"]


def test_whole_server_in_the_browser(backups: Page, redis: Any, console: Any) -> None:
    redis.config_set("rdb-key-save-delay", 0)
    backups.get_by_role("button", name="Pull backup").click()
    expect(backups.get_by_text("Loaded, counts match")).to_be_visible(timeout=SLOW)
    redis.set("later", 1)
    row_of(backups, console).get_by_role("link", name="Restore").click()
    backups.get_by_label("Empty the server first").check()
    backups.get_by_label("Filled how").select_option("primary")
    backups.get_by_role("button", name="Dry run").click()
    backups.get_by_label("Type test to confirm").fill("test", timeout=SLOW)
    backups.get_by_role("button", name="Restore", exact=True).click()
    expect(backups.get_by_text("1 002 keys in db 0")).to_be_visible(timeout=SLOW)
    expect(backups.get_by_role("link", name="A safety backup")).to_be_visible()
    assert not redis.exists("later")


def test_cancel_in_the_browser(backups: Page, redis: Any) -> None:
    redis.config_set("rdb-key-save-delay", 20_000)
    backups.get_by_role("button", name="Pull backup").click()
    backups.get_by_role("button", name="Cancel").click()
    expect(backups.get_by_role("cell", name="Cancelled")).to_be_visible()


def test_narrow_and_dark(backups: Page, redis: Any, console: Any) -> None:
    redis.config_set("rdb-key-save-delay", 0)
    backups.set_viewport_size({"width": 390, "height": 844})
    backups.emulate_media(color_scheme="dark")
    backups.get_by_role("button", name="Pull backup").click()
    expect(backups.get_by_text("Loaded, counts match")).to_be_visible(timeout=SLOW)
    restore = f"/servers/test/backups/{Backup.objects.get().pk}/restore/"
    for path in ("/servers/test/backups/", "/servers/test/backups/schedule/", "/jobs/", restore):
        backups.goto(console.url(path))
        assert backups.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_look_inside(
    worker: None, redis: Any, admin: Any, server_row: Any, console: Any, signed_in: Callable[[Any], Page]
) -> None:
    """Statistics from the button to the tables; TTLs that stand still; a selection that goes to the restore form."""
    redis.set("session:short", "x", ex=40)
    redis.mset({b"session:bin\xff": 1, "plain": 2})
    page = signed_in(admin)
    page.goto(console.url("/servers/test/backups/"))
    page.get_by_role("button", name="Pull backup").click()
    expect(page.get_by_text("Loaded, counts match")).to_be_visible(timeout=20_000)
    page.goto(console.url(f"/servers/test/backups/{Backup.objects.get().pk}/"))

    page.get_by_role("link", name="Statistics").click()
    page.get_by_role("button", name="Analyse").click()
    expect(page.get_by_role("heading", name="By prefix")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("row").filter(has_text="session:").first).to_contain_text("2")

    page.get_by_role("link", name="Backup", exact=True).click()
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_role("link", name="browse test-").click(timeout=20_000)
    page.goto(page.url.split("?")[0] + "?view=list")
    row = page.locator("a.key-row").filter(has_text="session:short")
    first = row.inner_text()
    page.wait_for_timeout(2200)
    assert row.inner_text() == first
    page.reload()
    assert row.inner_text() == first

    page.get_by_role("checkbox", name="session:short").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Only session:short")).to_be_visible()
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Dry run: nothing was written")).to_be_visible(timeout=20_000)
