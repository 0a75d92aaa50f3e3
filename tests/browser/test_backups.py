"""A backup in a real browser: trigger it, watch the bar, verify, open it, compare, restore one key, undo."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from keyspace.models import Backup, Job, OpenBackup
from tests.browser.waiting import expect_no_wider, until

pytestmark = pytest.mark.django_db(transaction=True)


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
    expect(page.get_by_text("Loaded, counts match")).to_be_visible()
    expect(page.get_by_text("Newest verified backup was made")).to_be_visible()
    assert Backup.objects.get().keys == {"0": 1002}


def verify_again(page: Page, console: Any) -> None:
    before = Backup.objects.get().verified_at
    page.goto(console.url(f"/servers/test/backups/{Backup.objects.get().pk}/"))
    page.get_by_role("button", name="Verify again").click()
    page.wait_for_url("**/jobs/**")
    expect(page.get_by_text("was loaded, and its counts match")).to_be_visible()
    assert Backup.objects.get().verified_at > before


def open_and_browse(page: Page, console: Any) -> None:
    row_of(page, console).get_by_role("button", name="Open").click()
    page.get_by_role("link", name="browse test-").click()
    expect(page.get_by_text("READ-ONLY").first).to_be_visible()
    page.get_by_role("link", name="greeting").first.click()
    expect(page.get_by_role("link", name="Restore…")).to_be_visible()
    expect(page.get_by_text("hello").first).to_be_visible()


def compare_with_live(page: Page, console: Any) -> None:
    row_of(page, console).get_by_role("button", name="Compare").click()
    page.get_by_role("link", name="Key by key").click()
    page.get_by_role("link", name="greeting").click()
    for value in ("hello", "changed"):
        expect(page.locator("main").get_by_text(value, exact=True).first).to_be_visible()


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
    expect(restore).to_be_disabled()
    assert redis.get("greeting") == b"changed"
    page.get_by_label("Type test to confirm").fill("test")
    restore.click()
    expect(page.get_by_text("What 1 key held is in the trash")).to_be_visible()
    assert redis.get("greeting") == b"hello"


def undo(page: Page) -> None:
    page.get_by_role("button", name="Undo").click()
    job = until(page, lambda: Job.objects.filter(kind="undo_restore").first())
    page.wait_for_url(f"**/jobs/{job.pk}/")
    expect(page.get_by_text("from the trash")).to_be_visible()


def test_snapshot_in_the_browser(backups: Page, redis: Any) -> None:
    redis.config_set("rdb-key-save-delay", 5000)
    backups.get_by_role("button", name="Snapshot").click()
    expect(backups.get_by_text("saving on primary")).to_be_visible()
    expect(backups.get_by_text("Saved on the server")).to_be_visible()


def test_restore_a_selection_into_an_emptied_server(backups: Page, redis: Any, console: Any) -> None:
    """Several keys picked in the list of an opened backup; then all of it by a temporary primary."""
    redis.config_set("rdb-key-save-delay", 0)
    backups.get_by_role("button", name="Pull backup").click()
    expect(backups.get_by_text("Loaded, counts match")).to_be_visible()
    redis.delete("greeting", b"bin\xff")
    row_of(backups, console).get_by_role("button", name="Open").click()
    backups.get_by_role("link", name="browse test-").click()
    for name in ("greeting", "bin\\xff"):
        backups.get_by_label(f"Select {name}", exact=True).check()
    backups.get_by_role("button", name="Restore…").click()
    expect(backups.locator("code", has_text="greeting")).to_be_visible()
    backups.get_by_role("button", name="Dry run").click()
    backups.get_by_label("Type test to confirm").fill("test")
    backups.get_by_role("button", name="Restore", exact=True).click()
    expect(backups.get_by_text("2 keys are new")).to_be_visible()
    assert redis.mget("greeting", b"bin\xff") == [b"hello", b"\xfe"]


def test_whole_server_in_the_browser(backups: Page, redis: Any, console: Any) -> None:
    redis.config_set("rdb-key-save-delay", 0)
    backups.get_by_role("button", name="Pull backup").click()
    expect(backups.get_by_text("Loaded, counts match")).to_be_visible()
    redis.set("later", 1)
    row_of(backups, console).get_by_role("link", name="Restore").click()
    backups.get_by_label("Empty the server first").check()
    backups.get_by_label("Filled how").select_option("primary")
    backups.get_by_role("button", name="Dry run").click()
    backups.get_by_label("Type test to confirm").fill("test")
    backups.get_by_role("button", name="Restore", exact=True).click()
    expect(backups.get_by_text("1 002 keys in db 0")).to_be_visible()
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
    expect(backups.get_by_text("Loaded, counts match")).to_be_visible()
    restore = f"/servers/test/backups/{Backup.objects.get().pk}/restore/"
    for path in ("/servers/test/backups/", "/servers/test/backups/schedule/", "/jobs/", restore):
        backups.goto(console.url(path))
        expect_no_wider(backups, 390)


def test_look_inside(
    worker: None, redis: Any, admin: Any, server_row: Any, console: Any, signed_in: Callable[[Any], Page]
) -> None:
    """Statistics from the button to the tables; TTLs that stand still; a selection that goes to the restore form."""
    redis.set("session:short", "x", ex=3000)  # its minutes and seconds are shown
    redis.mset({b"session:bin\xff": 1, "plain": 2})
    page = signed_in(admin)
    page.goto(console.url("/servers/test/backups/"))
    page.get_by_role("button", name="Pull backup").click()
    expect(page.get_by_text("Loaded, counts match")).to_be_visible()
    page.goto(console.url(f"/servers/test/backups/{Backup.objects.get().pk}/"))

    page.get_by_role("link", name="Statistics").click()
    page.get_by_role("button", name="Analyse").click()
    expect(page.get_by_role("heading", name="By prefix")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="session:").first).to_contain_text("2")

    page.get_by_role("link", name="Backup", exact=True).click()
    page.get_by_role("button", name="Open", exact=True).click()
    page.get_by_role("link", name="browse test-").click()
    page.wait_for_url("**/keys/**")
    page.goto(page.url.split("?")[0] + "?view=list")
    row = page.locator("a.key-row").filter(has_text="session:short")
    first = row.inner_text()
    page.wait_for_timeout(2200)  # a clock would have ticked
    assert row.inner_text() == first
    page.reload()
    expect(row).to_have_text(first, use_inner_text=True)

    page.get_by_role("checkbox", name="session:short").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_text("Only session:short")).to_be_visible()
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("Dry run: nothing was written")).to_be_visible()


def fill_history(count: int) -> None:
    now = timezone.now()
    Backup.objects.bulk_create(
        Backup(
            server="test", kind="pull", state=("loaded", "cancelled")[number % 2], person="ana", size=10,
            keys={"0": 1}, created_at=now - timedelta(hours=number + 1),
            files=[{"name": "x", "size": 10, "sha256": "0"}],
        )
        for number in range(count)
    )  # fmt: skip


def test_a_long_history_has_pages_that_stay_while_a_backup_runs(backups: Page, console: Any) -> None:
    fill_history(150)
    backups.reload()
    rows = backups.locator("#_history tbody tr")
    expect(rows).to_have_count(100)
    backups.get_by_role("link", name="Next").click()
    expect(rows).to_have_count(50)
    last = backups.locator("#_history tbody tr:last-child .row-link").get_attribute("href")
    backups.get_by_role("button", name="Pull backup").click()
    expect(backups.get_by_role("progressbar", name="Pull of test")).to_be_visible()
    expect(backups.get_by_role("progressbar", name="Pull of test")).to_be_hidden()
    expect(rows).to_have_count(50)  # it went on to the first page
    assert backups.locator("#_history tbody tr:last-child .row-link").get_attribute("href") == last
    backups.get_by_role("link", name="Previous").click()
    expect(rows).to_have_count(100)  # those that stood before it; the new one before them
    expect(rows.first).to_contain_text("ana")
    backups.get_by_role("link", name="Previous").click()
    expect(rows.first).to_contain_text("admin")
    expect(rows).to_have_count(100)
    expect(backups.get_by_text("151 backups")).to_be_visible()
    backups.get_by_label("State").select_option("cancelled")
    backups.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(75)
    expect(backups.get_by_label("State")).to_have_value("cancelled")
    backups.set_viewport_size({"width": 390, "height": 844})
    expect_no_wider(backups, 390)


def test_a_row_s_button_can_be_pressed_while_the_history_reads_itself_again(backups: Page) -> None:
    """The history comes beside the answer to the poll: not under a pressed button."""
    fill_history(3)
    backups.reload()
    compare = backups.get_by_role("button", name="Compare").first
    box = compare.bounding_box()
    assert box
    backups.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    backups.mouse.down()
    backups.evaluate(
        """() => htmx.ajax("GET", document.querySelector("#_state").getAttribute("hx-get"),
            {source: "#_state", target: "#_state", swap: "outerHTML"}).then(() => { window.polled = true; })"""
    )
    backups.wait_for_function("window.polled")
    backups.mouse.up()
    backups.wait_for_url("**/jobs/**")
    assert Job.objects.filter(kind="compare_backup").count() == 1
