"""Chromium: reading values page by page, searching in them, opening one element, in every face."""

import json

import pytest
from playwright.sync_api import expect

from keyspace import counts
from keyspace.encoding import key_id
from keyspace.types.bounds import PAGE

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def nothing_counted():
    yield
    counts.forget_counts()


@pytest.fixture
def at(console, signed_in, viewer):
    """Opens a key as a viewer."""
    page = signed_in(viewer)

    def open_key(name, query=""):
        page.goto(console.url(f"/servers/test/0/keys/{key_id(name)}/{query}"))
        return page

    return open_key


def test_a_hash_is_paged_and_searched_without_leaving_the_page(at, redis):
    redis.hset("h", mapping={f"field:{n:05}": json.dumps({"n": n}) for n in range(2500)})
    page = at(b"h")
    expect(page.locator("#_value_page tbody tr").first).to_be_visible()
    first = page.locator("#_value_page tbody th").first.inner_text()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#_value_page tbody th").first).not_to_have_text(first)
    box = page.get_by_placeholder("field pattern")
    box.fill("*02499")
    box.press("Enter")
    expect(page.locator("#_value_page tbody th")).to_have_text(["field:02499"])
    expect(page.locator("#_value_page .pane-foot")).to_contain_text("1 found")
    page.locator("#_value_page").get_by_role("link", name="JSON", exact=True).click()
    expect(page.locator("#_value_page td pre.json")).to_be_visible()
    page.locator("#_value_page").get_by_role("link", name="Clear").click()
    expect(page.locator("#_value_page tbody tr").nth(PAGE - 1)).to_be_visible()


def test_a_search_for_nothing_goes_on_by_itself_to_the_end(at, redis, monkeypatch):
    monkeypatch.setattr("keyspace.types.scanning.SCAN_SECONDS", 0.002)
    pipe = redis.pipeline(transaction=False)
    for n in range(6000):
        pipe.sadd("s", f"member {n}")
    pipe.execute()
    page = at(b"s")
    box = page.get_by_placeholder("member pattern")
    box.fill("nobody*")
    box.press("Enter")
    expect(page.locator("#_value_page .empty")).to_contain_text("No members match nobody*")
    expect(page.locator("#_value_page .pane-foot")).to_contain_text("looked at 6\u202f000 of 6\u202f000")


def test_a_large_value_opens_whole_in_a_dialog(at, redis):
    redis.hset("h", "big", json.dumps({"words": ["lorem ipsum"] * 20_000}))
    page = at(b"h")
    row = page.locator("#_value_page tbody tr").first
    expect(row).to_contain_text("300 kB")
    row.hover()
    row.get_by_role("button", name="Open the whole value").click()
    expect(page.locator("#dialog")).to_contain_text("words")


def test_the_faces_of_a_zset_and_a_stream_are_a_click_away(at, redis):
    redis.zadd("z", {f"m{n:03}": n for n in range(300)})
    for n in range(1, 6):
        redis.xadd("st", {"n": n}, id=f"{n}-0")
    redis.xgroup_create("st", "workers", "0")
    redis.xreadgroup("workers", "ana", {"st": ">"}, count=2)
    page = at(b"z")
    page.get_by_role("link", name="By score").click()
    page.get_by_label("From", exact=True).fill("(100")
    page.get_by_label("To", exact=True).fill("102")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#_value_page tbody td:nth-child(3)")).to_have_text(["m101", "m102"])
    page = at(b"st")
    page.get_by_role("link", name="Groups").click()
    page.get_by_role("row", name="workers").get_by_role("link").nth(1).click()
    expect(page.locator("#_value_page tbody tr")).to_have_count(2)
    expect(page.locator("#_value_page")).to_contain_text("ana")


def test_a_score_that_is_none_is_told_and_the_page_goes_on_working(at, redis):
    redis.zadd("z", {"a": 1, "b": 2})
    page = at(b"z", "?face=score")
    page.get_by_label("From", exact=True).fill("high")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("A score is a number")).to_be_visible()
    page.get_by_label("From", exact=True).fill("2")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#_value_page tbody tr")).to_have_count(1)
