"""By keyboard: where the focus goes when a dialog opens, where it is when it has closed, and how one walks the tree."""

from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from keyspace.access import Actor
from keyspace.deleting import delete_keys
from keyspace.models import Server, TrashEntry
from keyspace.servers import open_connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def keys(signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any) -> Page:
    """The list of a db with a hash, as an admin has it."""
    redis.hset("user:1", "name", "Ana")
    page: Page = signed_in(admin)
    page.goto(console.url(reverse("keys", args=["test", 0]) + "?view=list"))
    return page


def test_a_dialog_from_a_menu_gives_the_focus_back_to_the_menu(keys: Page) -> None:
    keys.locator("a.key-row").first.click()
    more = keys.locator(".key-head summary", has_text="More")
    more.click()
    keys.get_by_role("button", name="Rename").click()
    expect(keys.get_by_label("New name")).to_be_focused()
    keys.keyboard.press("Escape")
    expect(keys.locator("#dialog")).not_to_be_visible()
    expect(more).to_be_focused()


def test_a_form_with_an_editor_begins_with_the_name_that_is_asked_for(keys: Page) -> None:
    keys.get_by_role("button", name="New key").click()
    expect(keys.locator(".cm-content")).to_be_visible()
    expect(keys.get_by_label("Name", exact=True)).to_be_focused()
    keys.keyboard.press("Escape")
    keys.locator("a.key-row").first.click()
    keys.get_by_role("button", name="Add field").click()
    expect(keys.locator(".cm-content")).to_be_visible()
    expect(keys.get_by_label("Field", exact=True)).to_be_focused()
    keys.locator("#dialog label", has_text="Value").click()
    expect(keys.locator(".cm-content")).to_be_focused()


def test_arrows_walk_the_tree_and_open_and_close_its_folders(keys: Page, console: Any, redis: Any) -> None:
    redis.mset({"user:2": 1, "zebra": 1})
    keys.goto(console.url(reverse("keys", args=["test", 0]) + "?view=tree&sort=name"))
    folder = keys.locator("summary.row", has_text="user:")
    expect(keys.locator("a.key-row", has_text="zebra")).to_be_visible()
    folder.focus()
    keys.keyboard.press("ArrowRight")
    within = keys.locator(".folder-body a.key-row")
    expect(within).to_have_count(2)
    keys.keyboard.press("ArrowDown")
    expect(within.first).to_be_focused()
    keys.keyboard.press("ArrowDown")
    keys.keyboard.press("ArrowDown")
    expect(keys.locator("a.key-row", has_text="zebra")).to_be_focused()
    keys.keyboard.press("ArrowUp")
    expect(within.last).to_be_focused()
    keys.keyboard.press("ArrowLeft")
    expect(folder).to_be_focused()
    keys.keyboard.press("ArrowLeft")
    expect(within.first).not_to_be_visible()
    expect(folder).to_be_focused()


def test_what_cannot_be_undone_is_not_one_key_press_away(keys: Page, console: Any, admin: Any) -> None:
    delete_keys(open_connection(Actor(admin, admin.username), "test"), names=[b"user:1"])
    keys.goto(console.url(reverse("trash", args=["test", 0])))
    empty = keys.get_by_role("button", name="Empty the trash")
    empty.focus()
    keys.keyboard.press("Enter")
    expect(keys.locator("#purge").get_by_role("button", name="Cancel")).to_be_focused()
    keys.keyboard.press("Enter")
    expect(keys.locator("#purge")).not_to_be_visible()
    expect(empty).to_be_focused()
    assert TrashEntry.objects.count() == 1
