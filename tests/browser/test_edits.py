"""Chromium: a value edited in CodeMirror, a conflict between two people, deleting and undoing, a new key, the Trash page."""

import re

import pytest
from playwright.sync_api import expect

from keyspace.encoding import key_id

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
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(page.locator("#_value_page")).not_to_contain_text("1e400")
    assert redis.get("doc") == DOC


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


def test_two_people_at_one_value_and_the_three_ways_on(console, signed_in, operator, redis):
    redis.set("note", "one\ntwo\nthree")
    page = signed_in(operator)
    for way, held in (("Take theirs", b"theirs 0"), ("Overwrite with mine", b"mine"), ("merge", b"merged")):
        redis.set("note", "one\ntwo\nthree")
        open_key(console, page, b"note")
        open_editor(page)
        page.locator(".cm-content").fill("mine")
        redis.set("note", "theirs 0")
        save(page)
        expect(page.locator("#_conflict .edit-diff del")).to_contain_text("theirs 0")
        expect(page.locator("#_conflict .edit-diff ins")).to_contain_text("mine")
        if way == "merge":
            page.locator("#_conflict summary").click()
            page.locator("#_conflict .cm-content").fill("merged")
            page.get_by_role("button", name="Save the merged value").click()
        else:
            page.get_by_role("button", name=way).click()
        if way == "Take theirs":
            expect(page.locator("#_edit .cm-content")).to_contain_text("theirs 0")
        else:
            expect(page.locator("#toasts")).to_contain_text("Saved note")
        assert redis.get("note") == held


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
    page.locator("#toasts").get_by_role("button", name="Undo").click()
    expect(page.locator("#_value_page")).to_contain_text("secret")
    assert redis.ttl("session:1") > 3900
    page.locator(".key-head").get_by_role("button", name="Delete").click()
    page.locator("#_delete [data-act]").click()
    expect(page.locator("#_pane")).to_contain_text("There is no key")
    page.get_by_role("link", name="Trash").click()
    page.locator("button.row-link", has_text="session:1").first.click()
    expect(page.locator("#_entry")).to_contain_text("secret")
    page.locator("#_entry").get_by_role("button", name="Restore").click()
    expect(page.locator("#toasts")).to_contain_text("Restored session:1")
    assert redis.get("session:1") == b"secret"


def test_a_new_key_opens_and_a_rename_follows_it(console, signed_in, operator, redis):
    page = signed_in(operator)
    page.goto(console.url(f"{KEYS}?view=list"))
    page.get_by_role("button", name="New key").click()
    page.locator("#dialog .cm-content").wait_for()
    page.locator("#id_kind").select_option("hash-add")
    page.get_by_label("Field").wait_for()
    expect(page.locator("#dialog .htmx-settling, #dialog.htmx-settling, #dialog .htmx-added")).to_have_count(
        0
    )
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
    page.locator("#toasts").get_by_role("button", name="Undo").last.click()
    expect(page.locator("h1", has_text="made:1")).to_be_visible()
    assert redis.keys("*") == [b"made:1"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_dialogs_fit_390_pixels(console, signed_in, operator, redis, theme):
    redis.set("doc", DOC)
    page = signed_in(operator)
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.set_viewport_size({"width": 390, "height": 844})
    open_key(console, page, b"doc")
    open_editor(page)
    assert page.evaluate("document.querySelector('#dialog').getBoundingClientRect().right") <= 390
    page.keyboard.press("Escape")
    for path in ("/servers/test/0/trash/", f"{KEYS}{key_id(b'doc')}/"):
        page.goto(console.url(path))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
