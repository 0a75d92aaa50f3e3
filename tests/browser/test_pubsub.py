"""The Pub/Sub page in Chromium: subscribe, publish, filter, pause, record, replay, and what happens when things break."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from keyspace.encoding import key_id
from keyspace.models import Grant
from tests.browser.waiting import expect_no_wider, until

pytestmark = pytest.mark.django_db(transaction=True)
Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Any, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def open_pubsub(signed_in: Any, console: Any) -> Open:
    """`open_pubsub(user, "?channel=a")`: the page, with its socket open."""

    def open_page(user: Any, query: str = "") -> Page:
        page: Page = signed_in(user)
        page.goto(console.url(f"/servers/test/pubsub/{query}"))
        expect_subscribed(page, len(re.findall(r"(?:channel|pattern|shard)=", query)))
        return page

    return open_page


def expect_subscribed(page: Page, count: int) -> None:
    """The server has confirmed `count` subscriptions of the view: from now on nothing that is published is missed."""
    expect(page.locator(".live-ch.is-on:visible .live-dot:not(.is-waiting)")).to_have_count(count)


def expect_counts(page: Page, **counts: str) -> None:
    for name, text in counts.items():
        expect(page.locator(f"[data-count={name}]")).to_have_text(text)


def payloads(page: Page) -> list[str]:
    """What is in sight, from top to bottom."""
    rows: list[str] = page.evaluate("""() => [...document.querySelectorAll('.live-row:not([hidden])')]
        .sort((a, b) => a.number - b.number).map((row) => row.children[2].textContent)""")
    return rows


def expect_payloads(page: Page, wanted: list[str]) -> None:
    def shown() -> bool:
        assert payloads(page) == wanted
        return True

    until(page, shown)


def publish(redis: Any, channel: str, *messages: str | bytes) -> None:
    with redis.pipeline(transaction=False) as pipe:
        for message in messages:
            pipe.publish(channel, message)
        pipe.execute()


def test_subscribe_publish_and_see(open_pubsub: Open, operator: Any) -> None:
    page = open_pubsub(operator)
    expect(page.get_by_text("Nothing is subscribed yet.")).to_be_visible()
    page.get_by_placeholder("find or subscribe").fill("orders.*")
    page.get_by_placeholder("find or subscribe").press("Enter")
    expect_subscribed(page, 1)
    expect(page).to_have_url(re.compile(r"\?pattern=orders\.\*$"))
    page.get_by_placeholder("channel", exact=True).fill("orders.new")
    page.get_by_label("Payload", exact=True).fill('{"asset": "BRL"}')
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#_published")).to_contain_text("reached 1 subscriber")
    expect(page.locator(".live-row").first).to_contain_text('{"asset": "BRL"}')
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("[data-count=received]")).to_have_text("2")
    page.get_by_label("Payload", exact=True).fill("typed meanwhile")
    page.get_by_role("button", name="Repeat last").click()
    expect(page.locator("[data-count=received]")).to_have_text("3")
    expect_payloads(page, ['{"asset": "BRL"}'] * 3)
    page.get_by_label("Highlight this text").fill("brl")
    expect(page.locator(".live-row mark")).to_have_text(["BRL"] * 3)
    expect(page.locator("[data-chart-here] canvas")).to_be_visible()
    page.locator(".live-row").first.click()
    expect(page.locator(".live-detail pre")).to_have_text('{\n  "asset": "BRL"\n}')
    page.locator(".live-detail").get_by_role("button", name="Hex").click()
    expect(page.locator(".live-detail pre")).to_contain_text("7b 22 61 73")
    page.locator(".live-detail select").select_option("json")
    expect(page.locator("#_payload")).to_contain_text("BRL")


def test_the_address_is_the_view(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=odd%5Cxff&q=%24.n+%3E+1&mode=json")
    publish(redis, b"odd\xff", '{"n": 1}', '{"n": 2}')  # type: ignore[arg-type]
    expect(page.locator(".live-row")).to_contain_text(['{"n": 2}'])
    expect_counts(page, received="2", matched="1", shown="1")


def test_filter_errors_are_told_at_the_field(open_pubsub: Open, viewer: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    page.get_by_label("How to filter").select_option("regex")
    page.get_by_label("Filter on the server").fill("(")
    page.get_by_label("Filter on the server").press("Enter")
    expect(page.locator("[data-filter-error]")).to_contain_text("regular expression is not understood")
    page.get_by_label("Filter on the server").fill("")
    page.get_by_label("Filter on the server").press("Enter")
    expect(page.locator("[data-filter-error]")).to_be_hidden()


def test_pause_keeps_the_list_and_counts_on(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    publish(redis, "a", "one")
    expect(page.locator(".live-row").first).to_contain_text("one")
    page.get_by_role("button", name="Pause").click()
    publish(redis, "a", *[f"m{number}" for number in range(500)])
    expect_counts(page, received="501")
    expect(page.locator("[data-foot]")).to_have_text("paused · 500 more waiting")
    assert payloads(page) == ["one"]
    page.get_by_role("button", name="Resume").click()
    until(page, lambda: payloads(page)[-1] == "m499")
    page.get_by_role("button", name="Clear").click()
    expect_payloads(page, [])
    expect_counts(page, received="0")


def test_twenty_thousand_are_kept_few_are_laid_out_and_the_place_holds(
    open_pubsub: Open, viewer: Any, redis: Any
) -> None:
    page = open_pubsub(viewer, "?channel=a")
    for start in range(0, 25_000, 2500):
        publish(redis, "a", *[f"m{number}" for number in range(start, start + 2500)])
        # One burst after the other: how many are shown of what comes faster than they can be prepared is not asked here.
        expect_counts(page, received=f"{start + 2500:,}".replace(",", "\u202f"))
    expect_counts(page, matched="25\u202f000", shown="20\u202f000", dropped="0")
    until(page, lambda: payloads(page)[-1] == "m24999")
    assert page.locator(".live-row").count() < 60
    page.locator("[data-list-here]").evaluate("(box) => { box.scrollTop = 200000; }")
    expect(page.get_by_label("Follow the newest")).not_to_be_checked()
    until(page, lambda: "m24999" not in payloads(page))
    middle = payloads(page)[15]
    publish(redis, "a", *["later"] * 1000)
    expect_counts(page, received="26\u202f000")
    frame_drawn(page)
    assert middle in payloads(page)
    page.get_by_label("Follow the newest").check()
    until(page, lambda: payloads(page)[-1] == "later")


def frame_drawn(page: Page) -> None:
    """What the page had to draw is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_big_payload_is_loaded_on_demand(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    publish(redis, "a", '{"rows": [' + '"x",' * 20_000 + '"the end"]}')
    page.locator(".live-row").first.click()
    expect(page.locator(".live-detail-body")).to_contain_text("The first 4\u202f096 of 80\u202f021 bytes.")
    page.get_by_role("button", name="Load all 80.0 kB").click()
    expect(page.locator(".live-detail pre")).to_contain_text('"the end"')


def test_record_and_replay(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    for number in range(30):
        publish(redis, "a", f"r{number}")
        time.sleep(0.02)  # a recording of a while
    expect_counts(page, received="30")
    page.get_by_role("button", name="Stop").click()
    toast = page.locator(".toast", has_text="Recorded 30 messages, lossless.")
    toast.get_by_role("button", name="Dismiss").click()
    page.get_by_role("button", name="Recordings").click()
    expect(page.locator("#_recordings")).to_contain_text("lossless")
    with page.expect_download() as download:
        page.locator("#_recordings").get_by_text("Download").click()
    assert download.value.suggested_filename.endswith(".jsonl.zst")
    page.locator("#_recordings").get_by_role("link", name="Open").click()
    expect(page.locator("[data-timeline]")).to_contain_text("30 messages of a, lossless")
    page.locator("[data-timeline]").get_by_role("button", name="Play").click()
    expect_counts(page, received="30")
    until(page, lambda: payloads(page)[-1] == "r29")
    expect(page.get_by_role("button", name="Play again")).to_be_visible()


def test_a_recording_is_stopped_from_the_list_and_its_page_is_told(
    open_pubsub: Open, viewer: Any, redis: Any
) -> None:
    page = open_pubsub(viewer, "?channel=a")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    publish(redis, "a", "one")
    expect(page.locator("[data-count=received]")).to_have_text("1")
    page.get_by_role("button", name="Recordings").click()
    listed = page.locator("#_recordings")
    expect(listed.locator("tbody tr")).to_contain_text("recording")
    listed.get_by_role("button", name="Stop").click()
    expect(listed).to_contain_text("it was stopped")
    page.locator("#live-recordings").get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()
    expect(page.get_by_text("Recorded 1 messages, lossless.")).to_be_visible()
    expect(listed).to_be_empty()


def test_a_view_too_many_waits_until_another_is_closed(
    open_pubsub: Open, viewer: Any, settings: Any, console: Any
) -> None:
    settings.LIVE_SOCKETS_PER_PERSON = 1
    page = open_pubsub(viewer, "?channel=a")
    second = page.context.new_page()
    second.goto(console.url("/servers/test/pubsub/?channel=a"))
    expect(second.locator("[data-state]")).to_contain_text(
        "You have 1 live views open already. Close one of them."
    )
    page.close()
    expect_subscribed(second, 1)
    expect(second.locator("[data-state]")).to_be_hidden()


def test_a_gap_is_in_the_stream_and_in_the_numbers(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    publish(redis, "a", "before")
    expect(page.locator("[data-count=received]")).to_have_text("1")
    redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    expect(page.locator(".live-mark-gap")).to_have_count(2)
    publish(redis, "a", "after")
    expect(page.locator("[data-count=received]")).to_have_text("2")
    expect(page.locator("[data-count=dropped]")).to_have_text("0 + 1 gap")
    until(page, lambda: [row[:4] for row in payloads(page)] == ["befo", "gap:", "back", "afte"])


def test_a_browser_that_was_offline_comes_back(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    # The console's end is closed as a restart does; the page opens a new one by itself.
    from console.pubsub.consumers import LiveConsumer

    close_all(LiveConsumer)
    expect(page.locator(".live-mark-gap").first).to_contain_text("restarting")
    expect(page.locator(".live-mark-gap").nth(1)).to_contain_text("connected again")
    expect_subscribed(page, 1)
    publish(redis, "a", "after")
    expect(page.locator("[data-count=received]")).to_have_text("1")


def close_all(kind: type) -> None:
    """Close every live socket of this process with 1012, from its own loop."""
    import asyncio
    import gc

    from console.pubsub import control

    for one in [each for each in gc.get_objects() if type(each) is kind and each.live]:
        assert control._loop is not None
        asyncio.run_coroutine_threadsafe(
            one._close(1012, "The console is restarting."), control._loop
        ).result(5)


def test_a_revoked_person_is_told(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    page = open_pubsub(viewer, "?channel=a")
    for grant in Grant.objects.filter(user=viewer):
        grant.delete()
    expect(page.locator("[data-state]")).to_contain_text("no server test for you")
    until(page, lambda: redis.execute_command("PUBSUB", "NUMSUB", "a")[1] == 0)


def test_what_the_server_has_not_confirmed_is_not_shown_as_subscribed(
    signed_in: Any, console: Any, viewer: Any
) -> None:
    page: Page = signed_in(viewer)
    page.route_web_socket("**/live/", lambda socket: None)  # one that never answers
    page.goto(console.url("/servers/test/pubsub/?channel=a"))
    expect(page.locator(".live-ch.is-on .live-dot.is-waiting")).to_be_visible()


def test_record_without_a_connection_is_a_sentence(signed_in: Any, console: Any, viewer: Any) -> None:
    page: Page = signed_in(viewer)
    page.add_init_script("window.WebSocket = class { static OPEN = 1; readyState = 0; close() {} };")
    page.goto(console.url("/servers/test/pubsub/"))
    page.get_by_placeholder("find or subscribe").fill("a")
    page.get_by_placeholder("find or subscribe").press("Enter")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_text("There is no connection to the console now")).to_be_visible()


def test_thousands_of_channels_stay_usable(open_pubsub: Open, viewer: Any, redis: Any) -> None:
    listener = redis.pubsub()
    listener.subscribe(*[f"channel:{number:04}" for number in range(4000)])
    page = open_pubsub(viewer)
    expect(page.locator("[data-total]")).to_have_text("4\u202f000")
    assert page.locator(".live-channels .live-ch").count() < 60
    page.get_by_placeholder("find or subscribe").fill("channel:3999")
    page.locator(".live-channels .live-ch", has_text="channel:3999").first.click()
    expect_subscribed(page, 1)
    expect(page).to_have_url(re.compile("channel=channel%3A3999"))


def test_a_watched_key_shows_its_change_at_once_where_events_are_sent(
    signed_in: Any, console: Any, viewer: Any, redis: Any
) -> None:
    redis.config_set("notify-keyspace-events", "AKE")
    name = b"odd\xff"
    redis.set(name, "before")
    page: Page = signed_in(viewer)
    frames: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    page.clock.install()
    page.goto(console.url(f"/servers/test/0/keys/{key_id(name)}/"))
    # The page's clock stands: of the reading every 3 s comes nothing, and what an event asks for comes after 200 ms.
    page.clock.pause_at(time.time() + 60)
    page.get_by_role("button", name="Watch").click()
    until(page, lambda: redis.execute_command("PUBSUB", "NUMSUB", b"__keyspace@0__:" + name)[1])
    redis.set(name, "after")
    until(page, lambda: any(b"batch" in frame for frame in frames if isinstance(frame, bytes)))
    pane = page.locator("#_pane")
    until(page, lambda: page.clock.run_for(20) or "after" in pane.inner_text())


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_window(open_pubsub: Open, operator: Any, redis: Any, width: int) -> None:
    page = open_pubsub(operator, "?channel=a")
    page.set_viewport_size({"width": width, "height": 844})
    publish(redis, "a", "x" * 3000)
    expect(page.locator(".live-row").first).to_be_in_viewport()
    expect_no_wider(page, width)
