"""Chromium: sign in, find a key, read it, change its TTL; and what goes wrong on the way."""

import re

import pytest
from playwright.sync_api import expect

from keyspace import counts
from keyspace.encoding import key_id
from tests.browser.waiting import expect_no_wider, until

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = "/servers/test/0/keys/"


@pytest.fixture(autouse=True)
def nothing_counted():
    yield
    counts.forget_counts()


@pytest.fixture
def filled(redis):
    redis.mset({f"session:{n:03}": f'{{"user": {n}}}' for n in range(300)})
    redis.hset("user:1", mapping={"name": "Ana", "mail": "ana@example.org"})
    redis.rpush("queue:mail", *[f"job {n}" for n in range(500)])
    redis.set(b"odd\xff\x00name", "x")
    redis.set("session:soon", "1", ex=3600)
    return redis


def test_an_operator_finds_a_key_reads_it_and_changes_its_ttl(console, signed_in, operator, filled):
    page = signed_in(operator)
    page.goto(console.url(KEYS))
    page.keyboard.press("/")
    page.keyboard.type("session:soon")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"match=session%3Asoon"))
    page.locator("a.row", has_text="session:soon").first.click()
    expect(page.locator("h1", has_text="session:soon")).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(f"{KEYS}{key_id(b'session:soon')}/")))
    page.keyboard.press("t")
    page.get_by_label("Duration").fill("2h30m")
    expect(page.locator("[data-ttl-preview]")).to_contain_text("expires")
    page.locator("#dialog").get_by_role("button", name="Set TTL").click()
    expect(page.locator("#toasts")).to_contain_text("expires in 2 h")
    expect(page.locator("[data-cell=ttl]")).to_contain_text(re.compile(r"2 h (29|30) m"))
    assert 8900 < filled.ttl("session:soon") <= 9000
    page.go_back()
    expect(page.locator("input[name=match]")).to_have_value("session:soon")


def test_the_tree_opens_folder_by_folder_down_to_a_key(console, signed_in, viewer, filled):
    page = signed_in(viewer)
    page.goto(console.url(KEYS))
    page.locator("summary.row", has_text="user:").click()
    page.locator(".folder-body a.row").first.click()
    expect(page.locator("h1", has_text="user:1")).to_be_visible()
    expect(page.locator("#_value_page")).to_contain_text("ana@example.org")
    expect(page.get_by_role("button", name="Set TTL")).to_have_count(0)


def test_a_rare_search_shows_progress_and_stops(console, signed_in, viewer, redis, monkeypatch):
    redis.mset({f"k:{number}": 1 for number in range(10_000)})
    monkeypatch.setattr("keyspace.keys.BUDGET_MS", 0)  # one SCAN a step: ten of them, on any machine
    page = signed_in(viewer)
    steps, stopped = [], []

    def take_a_step(route):
        steps.append(route)
        # The third does not come back, so that the search cannot be over before it is stopped.
        if len(steps) != 3:
            route.continue_()

    page.route(re.compile("/0/rows/"), take_a_step)
    page.on("requestfailed", lambda request: stopped.append(request) if "/rows/" in request.url else None)
    page.goto(console.url(f"{KEYS}?match=*needle*"))
    until(page, lambda: len(steps) == 3)
    expect(page.locator("[data-scan]")).to_contain_text("looked at")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    until(page, lambda: stopped)
    assert len(steps) == 3
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("[data-scan]")).to_contain_text("Nothing matches")


def test_a_server_that_goes_away_says_so_and_a_later_click_works(
    console, signed_in, make_person, make_server, new_server
):
    running = new_server("valkey9")
    running.client().mset({"first": "1", "other": "2"})
    row = make_server(running, name="shaky")
    running.client().config_set("save", "3600 1")
    running.client().save()
    page = signed_in(make_person("ana", "operator", server=row))
    page.goto(console.url("/servers/shaky/0/keys/?view=list"))
    running.kill()
    page.locator("a.row", has_text="first").click()
    expect(page.locator("#toasts")).to_contain_text("refuses connections")
    running.restart()
    page.locator("a.row", has_text="other").click()
    expect(page.locator("h1", has_text="other")).to_be_visible()


def test_ctrl_k_jumps_to_an_exact_key_with_any_bytes(console, signed_in, viewer, filled):
    page = signed_in(viewer)
    page.goto(console.url(KEYS))
    page.keyboard.press("Control+k")
    page.keyboard.type(r"odd\xff\x00name")
    expect(page.locator("#jump, [role=listbox]").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(r"odd\xff\x00name")


def test_the_session_that_ended_leads_to_sign_in_and_back(console, signed_in, viewer, filled):
    page = signed_in(viewer)
    page.goto(console.url(f"{KEYS}?view=list"))
    page.context.clear_cookies()
    page.locator("a.row").first.click()
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page).to_have_url(re.compile("next=%2Fservers%2Ftest%2F0%2Fkeys%2F%3Fview%3Dlist"))


def test_watching_a_key_marks_what_changed(console, signed_in, viewer, filled):
    page = signed_in(viewer)
    page.goto(console.url(f"{KEYS}{key_id(b'user:1')}/"))
    page.get_by_role("button", name="Watch").click()
    filled.hset("user:1", "name", "Ben")
    expect(page.locator("#_value_page")).to_contain_text("Ben")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_at_390_pixels_the_panes_are_two_pages_and_nothing_overflows(
    console, signed_in, operator, filled, theme
):
    page = signed_in(operator)
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (f"{KEYS}?view=list", KEYS, f"{KEYS}{key_id(b'queue:mail')}/", "/"):
        page.goto(console.url(path))
        expect_no_wider(page, 390)
    page.goto(console.url(f"{KEYS}?view=list"))
    page.locator("a.row").first.click()
    expect(page.get_by_role("link", name="Keys").first).to_be_visible()
    expect(page.locator("input[name=match]")).to_be_hidden()
