"""Chromium: a value edited in CodeMirror, a conflict between two people, deleting and undoing, a new key, the Trash page."""

import re

import pytest
from playwright.sync_api import expect

from keyspace.encoding import key_id
from keyspace.models import AuditEntry
from tests.browser.conftest import sign_in_at
from tests.browser.waiting import expect_no_wider, until

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = "/servers/test/0/keys/"
DOC = b'{"user": {"name": "Ana"}, "amount": 12.50}'


def open_key(console, page, name):
    page.goto(console.url(f"{KEYS}{key_id(name)}/"))


def open_editor(page):
    page.get_by_role("button", name="Edit", exact=True).first.click()
    page.locator(".cm-content").wait_for()


def save(page):
    page.locator("#dialog footer [data-act].button-primary").click()


def take_back(page, said):
    """Undo what the message says."""
    page.locator(".toast", has_text=said).get_by_role("button", name="Undo").click()


def test_a_value_is_edited_saved_shown_and_undone(console, signed_in, operator, redis):
    redis.set("doc", DOC, ex=4000)
    page = signed_in(operator)
    open_key(console, page, b"doc")
    open_editor(page)
    page.locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.type('"x": 1e400,')
    page.keyboard.press("Control+Enter")
    expect(page.locator("#toasts")).to_contain_text("Saved doc")
    expect(page.locator("#_value_page")).to_contain_text("1e400")
    assert redis.get("doc") == b'{"x": 1e400, ' + DOC[1:] and redis.ttl("doc") > 3900
    take_back(page, "Saved doc")
    expect(page.locator("#_value_page")).not_to_contain_text("1e400")
    until(page, lambda: redis.get("doc") == DOC)


def test_what_is_no_json_says_so_while_typing_and_is_not_written(console, signed_in, operator, redis):
    redis.set("doc", DOC)
    page = signed_in(operator)
    open_key(console, page, b"doc")
    open_editor(page)
    page.locator(".cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("oops")
    expect(page.locator("[data-said]")).to_contain_text("Not JSON")
    save(page)
    expect(page.locator("#dialog [role=alert]").first).to_be_visible()
    expect(page.locator(".cm-content")).to_contain_text("oops")
    assert redis.get("doc") == DOC


@pytest.fixture
def other_page(new_page, console, make_person):
    """A second browser, in which an admin has signed in."""
    page = new_page()
    sign_in_at(console, page, make_person("other", "admin"))
    return page


WAYS = [("take", b"one\ntheirs\nthree"), ("overwrite", b"one\nmine\nthree"), ("merge", b"one\nboth\nthree")]


@pytest.mark.parametrize(("way", "held"), WAYS)
def test_two_browsers_at_one_value_and_the_three_ways_on(
    console, signed_in, operator, other_page, redis, way, held
):
    redis.set("note", "one\ntwo\nthree", ex=4000)
    page = signed_in(operator)
    open_key(console, page, b"note")
    open_editor(page)
    open_key(console, other_page, b"note")
    open_editor(other_page)
    other_page.locator(".cm-content").fill("one\ntheirs\nthree")
    save(other_page)
    expect(other_page.locator("#toasts")).to_contain_text("Saved note")

    page.locator(".cm-content").fill("one\nmine\nthree")
    save(page)
    expect(page.locator("#_conflict [role=alert]")).to_contain_text("It changed while you were editing")
    expect(page.locator("#_conflict .edit-diff del")).to_have_text(["theirs"])
    expect(page.locator("#_conflict .edit-diff ins")).to_have_text(["mine"])
    assert redis.get("note") == b"one\ntheirs\nthree"
    take_way(page, way)
    assert redis.get("note") == held and redis.ttl("note") > 3900
    overwrote = [
        entry.detail.get("overwrote")
        for entry in AuditEntry.objects.filter(person="operator", outcome="done")
    ]
    assert (True in overwrote) == (way == "overwrite")


def take_way(page, way):
    if way == "take":
        page.get_by_role("button", name="Take theirs").click()
        expect(page.locator("#_edit .cm-content")).to_contain_text("theirs")
        return
    if way == "merge":
        page.locator("#_conflict summary").click()
        page.locator("#_conflict .cm-content").fill("one\nboth\nthree")
    page.get_by_role(
        "button", name={"merge": "Save the merged value", "overwrite": "Overwrite with mine"}[way]
    ).click()
    expect(page.locator("#toasts")).to_contain_text("Saved note")


def test_a_merge_that_meets_another_change_is_a_conflict_again(
    console, signed_in, operator, other_page, redis
):
    redis.set("note", "a")
    page = signed_in(operator)
    open_key(console, page, b"note")
    open_editor(page)
    page.locator(".cm-content").fill("mine")
    redis.set("note", "theirs 1")
    save(page)
    page.locator("#_conflict summary").click()
    page.locator("#_conflict .cm-content").fill("merged")
    redis.set("note", "theirs 2")
    page.get_by_role("button", name="Save the merged value").click()
    expect(page.locator("#_conflict .edit-diff del")).to_have_text(["theirs 2"])
    expect(page.locator("#_conflict .edit-diff ins")).to_have_text(["merged"])
    assert redis.get("note") == b"theirs 2"


def test_a_double_click_saves_once(console, signed_in, operator, redis):
    redis.rpush("queue", "a")
    page = signed_in(operator)
    open_key(console, page, b"queue")
    page.get_by_role("button", name="Push", exact=True).click()
    page.locator("#dialog .cm-content").wait_for()
    page.locator("#dialog .cm-content").fill("b")
    page.locator("#dialog footer [data-act]").dblclick()
    expect(page.locator("#toasts")).to_contain_text("Pushed to queue")
    expect(page.locator("#dialog")).to_be_hidden()
    assert redis.lrange("queue", 0, -1) == [b"a", b"b"]
    assert AuditEntry.objects.filter(operation="edit_key").count() == 1


def test_a_row_of_a_hash_is_edited_and_the_page_of_rows_stays(console, signed_in, operator, redis):
    redis.hset("user", mapping={"name": "Ana", b"\xff": "bytes"})
    page = signed_in(operator)
    open_key(console, page, b"user")
    row = page.locator("tr[data-row]", has_text="name")
    row.hover()
    row.get_by_role("button", name="Edit").click()
    page.locator(".cm-content").fill("Ben")
    save(page)
    expect(page.locator("tr[data-row]", has_text="name")).to_contain_text("Ben")
    assert redis.hget("user", "name") == b"Ben"


def test_delete_undo_and_the_trash_page(console, signed_in, operator, redis):
    redis.set("session:1", "secret", ex=4000)
    page = signed_in(operator)
    open_key(console, page, b"session:1")
    page.locator(".key-head").get_by_role("button", name="Delete").click()
    expect(page.locator("#_delete")).to_contain_text("goes into the trash")
    page.locator("#_delete [data-act]").click()
    expect(page.locator("#_pane")).to_contain_text("There is no key session:1")
    assert not redis.exists("session:1")
    take_back(page, "Deleted session:1")
    expect(page.locator("#_value_page")).to_contain_text("secret")
    assert redis.ttl("session:1") > 3900
    page.locator(".key-head").get_by_role("button", name="Delete").click()
    page.locator("#_delete [data-act]").click()
    expect(page.locator("#_pane")).to_contain_text("There is no key")
    page.locator("#_pane").get_by_role("link", name="trash").click()
    page.locator("button.row-link", has_text="session:1").first.click()
    expect(page.locator("#_entry")).to_contain_text("secret")
    page.locator("#_entry").get_by_role("button", name="Restore").click()
    expect(page.locator("#toasts")).to_contain_text("Restored session:1")
    assert redis.get("session:1") == b"secret"


def test_a_ttl_in_the_past_asks_deletes_and_is_undone(console, signed_in, operator, redis):
    redis.set("session:1", "secret", ex=4000)
    page = signed_in(operator)
    open_key(console, page, b"session:1")
    page.keyboard.press("t")
    page.locator("#_ttl label", has_text="at a time").click()
    page.get_by_label("Date and time").fill("2001-01-01T00:00")
    expect(page.locator("[data-ttl-preview]")).to_contain_text("this time has passed")
    page.get_by_role("button", name="Set TTL").last.click()
    expect(page.locator("#_ttl [role=alert]")).to_contain_text("It would go into the trash")
    page.get_by_label("Yes, delete the key").check()
    page.get_by_role("button", name="Set TTL").last.click()
    expect(page.locator("#_pane")).to_contain_text("There is no key session:1")
    assert not redis.exists("session:1")
    take_back(page, "session:1")
    expect(page.locator("#_value_page")).to_contain_text("secret")
    assert redis.ttl("session:1") > 3900


def test_a_new_key_opens_and_a_rename_follows_it(console, signed_in, operator, redis):
    page = signed_in(operator)
    page.goto(console.url(f"{KEYS}?view=list"))
    page.get_by_role("button", name="New key").click()
    page.locator("#dialog .cm-content").wait_for()
    page.locator("#id_kind").select_option("hash-add")
    page.get_by_label("Field").wait_for()
    page.locator("#dialog .cm-content").wait_for()
    page.get_by_label("Field").fill(r"f\xff")
    page.get_by_label("Name", exact=True).fill("made:1")
    page.get_by_label("TTL optional").fill("1h")
    page.locator("#dialog .cm-content").fill("v")
    save(page)
    expect(page.locator("h1", has_text="made:1")).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(key_id(b"made:1"))))
    assert redis.hgetall("made:1") == {b"f\xff": b"v"} and redis.ttl("made:1") > 3500
    page.locator(".key-head summary").click()
    page.get_by_role("button", name="Rename…").click()
    page.get_by_label("New name").fill("made:2")
    save(page)
    expect(page.locator("h1", has_text="made:2")).to_be_visible()
    take_back(page, "Renamed to made:2")
    expect(page.locator("h1", has_text="made:1")).to_be_visible()
    assert redis.keys("*") == [b"made:1"]


def test_a_new_key_and_a_copy_are_taken_back(console, signed_in, operator, redis):
    redis.set("doc", "{}")
    page = signed_in(operator)
    open_key(console, page, b"doc")
    page.locator(".key-head summary").click()
    page.get_by_role("button", name="Copy…").click()
    page.get_by_label("Name of the copy").fill("doc:copy")
    save(page)
    expect(page.locator("h1", has_text="doc:copy")).to_be_visible()
    take_back(page, "Copied to doc:copy")
    expect(page.locator("#toasts")).to_contain_text("Deleted doc:copy again")
    expect(page.locator("#_pane")).to_contain_text("There is no key doc:copy here")
    assert redis.keys("*") == [b"doc"]
    page.goto(console.url(f"{KEYS}?view=list"))
    page.get_by_role("button", name="New key").click()
    page.locator("#dialog .cm-content").wait_for()
    page.get_by_label("Name", exact=True).fill("made:1")
    page.locator("#dialog .cm-content").fill("v")
    save(page)
    expect(page.locator("h1", has_text="made:1")).to_be_visible()
    take_back(page, "Created made:1")
    expect(page.locator("#toasts")).to_contain_text("Deleted made:1 again")
    expect(page.locator("#_pane")).to_contain_text("There is no key made:1 here")
    take_back(page, "Deleted made:1 again")
    expect(page.locator("#_value_page")).to_be_visible()
    assert redis.get("made:1") == b"v"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_dialogs_fit_390_pixels(console, signed_in, operator, redis, theme):
    redis.set("doc", DOC)
    page = signed_in(operator)
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.set_viewport_size({"width": 390, "height": 844})
    open_key(console, page, b"doc")
    open_editor(page)
    right = "document.querySelector('#dialog').getBoundingClientRect().right"
    until(page, lambda: page.evaluate(right) <= 390)
    page.keyboard.press("Escape")
    for path in ("/servers/test/0/trash/", f"{KEYS}{key_id(b'doc')}/"):
        page.goto(console.url(path))
        expect_no_wider(page, 390)
