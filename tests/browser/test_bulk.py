"""Bulk work in a browser: from the filter of the keys page to the report of what was done, with a tab closed on the way."""

import re
from typing import Any

from django.urls import reverse
from playwright.sync_api import Page, expect

from keyspace.models import Grant, Server
from tests.browser.waiting import PATIENCE_MS, until


def fill(redis: Any, count: int = 2000) -> None:
    redis.mset({f"session:{number}": "x" * 20 for number in range(count)} | {"other": 1})


def test_from_the_filter_to_the_report(
    worker: None, signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    fill(
        redis, 60_000
    )  # a minute of work at this speed: it is not over before it is cancelled, however slow the machine
    page: Page = signed_in(admin)
    page.goto(console.url(reverse("keys", args=["test", 0]) + "?match=session:*"))
    page.get_by_text("Bulk", exact=True).click()
    page.get_by_role("link", name="Delete or change TTLs").click()
    expect(page.get_by_label("Pattern")).to_have_value("session:*")
    page.get_by_role("button", name="Dry run").click()
    # Each of them was looked at.
    expect(page.get_by_text(re.compile(r"^60.000 keys$")).first).to_be_visible(timeout=4 * PATIENCE_MS)
    button = page.get_by_role("button", name=re.compile("Delete 60.000 keys"))
    expect(button).to_be_disabled()
    page.get_by_label(re.compile("to confirm")).fill("59999")
    expect(button).to_be_disabled()
    page.get_by_label(re.compile("to confirm")).fill("60000")
    page.get_by_label("Speed").select_option("1000")
    button.click()
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.locator("#_job")).to_contain_text(re.compile(r"/s"))
    page.goto("about:blank")  # a closed tab stops nothing
    before = redis.dbsize()
    until(page, lambda: redis.dbsize() < before)
    page.goto(console.url(reverse("jobs")))
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.get_by_text("cancelled")).to_be_visible()
    assert 1 < redis.dbsize() < 60_001
    page.get_by_role("link", name=re.compile("Delete 60000 keys")).click()
    expect(page.get_by_text(re.compile("in the trash"))).to_be_visible()


def test_ttl_with_jitter(
    worker: None, signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    fill(redis, 50)
    page: Page = signed_in(admin)
    page.goto(console.url(reverse("bulk", args=["test", 0]) + "?match=session:*"))
    page.get_by_role("button", name="Dry run").click()
    page.get_by_role("link", name="Set TTL").click()
    page.get_by_label("Duration").fill("1h")
    page.get_by_label("Jitter").fill("30m")
    page.get_by_role("button", name=re.compile("Set the TTL of 50 keys")).click()
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.get_by_role("link", name="Report")).to_be_visible()
    assert {3500 < redis.ttl(f"session:{number}") <= 5400 for number in range(50)} == {True}


# the selection in the list of keys


def list_of(signed_in: Any, console: Any, person: Any, query: str = "?view=list&match=session:*") -> Page:
    page: Page = signed_in(person)
    page.goto(console.url(reverse("keys", args=["test", 0]) + query))
    return page


def test_rows_are_selected_by_box_key_and_range(
    signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    fill(redis, 4000)
    page = list_of(signed_in, console, admin)
    bar, boxes = page.locator("[data-selection]"), page.locator(".pick input")
    expect(boxes.nth(199)).to_be_attached()
    expect(bar).to_be_hidden()
    boxes.nth(2).click()
    boxes.nth(5).click(modifiers=["Shift"])
    expect(bar.get_by_role("status")).to_have_text("4 keys selected")
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    page.locator("a.key-row").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("Space")
    expect(bar.get_by_role("status")).to_have_text("2 keys selected")
    before = boxes.count()
    page.get_by_role("button", name="Load more").click()
    expect(boxes.nth(before)).to_be_attached()
    expect(boxes.nth(1)).to_be_checked()
    page.get_by_role("button", name=re.compile("Select all .* shown")).click()
    expect(bar.get_by_role("status")).to_have_text(re.compile(r"^\d.\d+ keys selected"))
    page.get_by_label("Clear the selection").click()
    expect(bar).to_be_hidden()


def test_a_selection_stays_under_another_filter_and_is_deleted(
    worker: None, signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    fill(redis, 50)
    name = b"\xff<odd> name"
    redis.set(name, 1)
    page = list_of(signed_in, console, admin)
    page.get_by_label("Select session:7", exact=True).check()
    page.get_by_role("searchbox", name="Filter").fill("odd")
    page.keyboard.press("Enter")
    page.get_by_label("Select \\xff<odd> name", exact=True).check()
    expect(page.locator("[data-selection]").get_by_role("status")).to_have_text("2 keys selected")
    page.get_by_role("button", name="Delete…").click()
    page.wait_for_url(re.compile("/bulk/.*do=delete"))
    assert "names" not in page.url
    page.get_by_role("button", name=re.compile("Delete 2 keys")).click()
    expect(page.get_by_text("2 in the trash")).to_be_visible()
    assert not redis.exists(name, "session:7") and redis.dbsize() == 50


def test_folders_of_the_tree_stand_for_all_in_them(
    worker: None, signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    redis.mset({f"{folder}:{number}": 1 for folder in ("a*", "b", "c") for number in range(10)})
    page = list_of(signed_in, console, admin, "?view=tree")
    page.get_by_label("Select all keys in a*:", exact=True).check()
    page.get_by_label("Select all keys in c:", exact=True).check()
    expect(page.locator("[data-selection]").get_by_role("status")).to_have_text(
        "2 folders of 20 keys selected"
    )
    page.get_by_role("button", name="TTL…").click()
    page.get_by_label("Duration").fill("1h")
    page.get_by_role("button", name=re.compile("Set the TTL of 20 keys")).click()
    expect(page.get_by_role("link", name="Report")).to_be_visible()
    assert redis.ttl("a*:3") > 3000 and redis.ttl("c:9") > 3000 and redis.ttl("b:1") == -1


def test_a_viewer_has_no_boxes_and_an_operator_exports(
    signed_in: Any, console: Any, viewer: Any, operator: Any, server_row: Server, redis: Any
) -> None:
    fill(redis, 5)
    page = list_of(signed_in, console, viewer)
    expect(page.locator("a.key-row").first).to_be_visible()
    expect(page.locator(".pick")).to_have_count(0)
    page.context.clear_cookies()
    page = list_of(signed_in, console, operator)
    page.set_viewport_size({"width": 390, "height": 800})
    page.get_by_label("Select session:3", exact=True).check()
    expect(page.get_by_role("button", name="Delete…")).to_have_count(0)
    page.get_by_role("button", name="Export…").click()
    expect(page.get_by_text("1 selected key")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".ksarch")


def test_a_selection_is_copied_to_another_server(
    worker: None,
    signed_in: Any,
    console: Any,
    admin: Any,
    server_row: Server,
    redis: Any,
    new_server: Any,
    make_server: Any,
) -> None:
    other = new_server("redis7")
    make_server(other, "older")
    Grant.objects.create(user=admin, role="admin")
    fill(redis, 20)
    page = list_of(signed_in, console, admin)
    page.get_by_label("Select session:7", exact=True).check()
    page.get_by_label("Select session:9", exact=True).check()
    page.get_by_role("button", name="Copy…").click()
    expect(page.get_by_text("2 selected keys")).to_be_visible()
    page.get_by_label("Server", exact=True).select_option("older")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("older does not read all that this server dumps")).to_be_visible()
    page.get_by_role("button", name="Copy 2 keys").click()
    expect(page.get_by_text("2 in readable form")).to_be_visible()
    with other.client() as client:
        assert sorted(client.keys("*")) == [b"session:7", b"session:9"]
