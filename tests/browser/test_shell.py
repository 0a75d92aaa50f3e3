"""Chromium: what stands around every page, by mouse and by keyboard, wide and narrow, in both themes."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.waiting import expect_no_wider, until
from tests.people import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = "/servers/test/0/keys/"
THEME = "localStorage.getItem('theme')"


def say(page, **detail):
    page.evaluate("detail => window.dispatchEvent(new CustomEvent('toast', {detail}))", detail)


def ask(page, path, **attributes):
    """Put a button on the page that asks for `path` by htmx, and click it."""
    page.evaluate(
        """([path, more]) => {
            const button = Object.assign(document.createElement("button"), {id: "asks", textContent: "Ask"});
            const attributes = {"hx-get": path, "hx-target": "#answer", ...more};
            for (const name in attributes) button.setAttribute(name, attributes[name]);
            const answer = Object.assign(document.createElement("div"), {id: "answer"});
            answer.textContent = "as it was";
            document.getElementById("main").prepend(button, answer);
            htmx.process(button);
        }""",
        [path, attributes],
    )
    page.locator("#asks").click()


def test_the_theme_follows_the_system_until_one_is_chosen_and_stays(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    ground, dark, light = page.locator("html"), "rgb(20, 22, 26)", "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    expect(ground).to_have_css("background-color", dark)
    page.locator(".person summary").click()
    page.get_by_role("button", name="Light").click()
    expect(ground).to_have_css("background-color", light)
    page.reload()
    expect(ground).to_have_css("background-color", light)
    page.locator(".person summary").click()
    expect(page.get_by_role("button", name="Light")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="System").click()
    expect(ground).to_have_css("background-color", dark)
    assert page.evaluate(THEME) is None


def test_ctrl_k_jumps_to_a_page_by_its_name(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("test")
    expect(page.locator("#jump").get_by_role("option", selected=True)).to_contain_text("test")
    page.keyboard.press("Enter")
    expect(page).to_have_url(console.url(KEYS))


def test_ctrl_k_opens_the_key_of_exactly_the_text(console, signed_in, viewer, redis):
    redis.set(b"odd \xff:name", "here")
    page = signed_in(viewer)
    page.goto(console.url(KEYS))
    page.keyboard.press("Control+k")
    page.keyboard.type(r"odd \xff:name")
    expect(page.locator("#jump").get_by_role("option", selected=True)).to_contain_text(
        "exact key on test, db 0"
    )
    page.keyboard.press("Enter")
    expect(page.locator("h1", has_text=r"odd \xff:name")).to_be_visible()


def test_the_palette_walks_by_arrows_and_says_when_nothing_fits(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.keyboard.press("Control+k")
    options = page.locator("#jump .jump-list a:visible")
    expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(options.nth(0)).to_have_attribute("aria-selected", "false")
    page.keyboard.press("ArrowUp")
    expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    page.keyboard.type("no such place")
    expect(page.get_by_text("Nothing here has this name.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#jump")).not_to_be_visible()


def test_the_shortcuts_of_the_page_are_listed_and_work(console, signed_in, operator, redis):
    redis.mset({f"key:{n}": n for n in range(5)})
    page = signed_in(operator)
    page.goto(console.url(KEYS + "?view=list"))
    page.keyboard.press("?")
    dialog = page.locator("#shortcuts")
    expect(dialog).to_contain_text("Filter keys")
    expect(dialog).to_contain_text("Next, previous row")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    rows = page.locator("a.key-row")
    for at, key in enumerate("jj"):
        page.keyboard.press(key)
        expect(rows.nth(at)).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(rows.nth(1)).to_be_focused()
    name = rows.nth(1).locator(".name").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("h1", has_text=name)).to_be_visible()


def test_a_letter_typed_into_a_field_is_no_shortcut(console, signed_in, operator, redis):
    redis.set("one", "1")
    page = signed_in(operator)
    page.goto(console.url(KEYS))
    page.keyboard.press("/")
    page.keyboard.type("jkt?")
    expect(page.locator("input[name=match]")).to_have_value("jkt?")
    expect(page.locator("#shortcuts")).not_to_be_visible()


def test_one_menu_is_open_at_a_time_and_escape_gives_the_focus_back(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.goto(console.url(KEYS))
    page.locator(".switcher summary").click()
    expect(page.locator(".switcher .menu-list")).to_be_visible()
    page.locator(".db-menu summary").click()
    expect(page.locator(".switcher .menu-list")).not_to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".db-menu a").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".db-menu summary")).to_be_focused()
    expect(page.locator(".db-menu .menu-list")).not_to_be_visible()


def test_a_message_can_be_undone(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    asked = []
    page.route("**/undo-it/", lambda route: (asked.append(route.request), route.fulfill(status=204)))
    say(page, text="Deleted session:1", undo={"url": "/undo-it/"})
    toast = page.locator(".toast", has_text="Deleted session:1")
    toast.get_by_role("button", name="Undo").click()
    expect(toast).to_have_count(0)
    until(page, lambda: asked)
    assert [request.method for request in asked] == ["POST"]
    assert "x-csrftoken" in asked[0].headers


def test_a_message_stands_over_an_open_dialog(console, signed_in, operator, redis):
    redis.set("one", "1")
    page = signed_in(operator)
    page.goto(console.url(KEYS + "?view=list"))
    page.locator("a.row").first.click()
    page.get_by_role("button", name="Set TTL").click()
    expect(page.locator("#dialog")).to_be_visible()
    say(page, text="Something happened", kind="info")
    toast = page.locator(".toast", has_text="Something happened")
    toast.get_by_role("button", name="Dismiss").click()
    expect(toast).to_have_count(0)
    expect(page.locator("#dialog")).to_be_visible()


def test_a_message_is_text_and_never_markup(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    say(page, text="<img src=x>", kind="problem")
    expect(page.get_by_role("alert")).to_contain_text("<img src=x>")


def test_a_problem_is_told_and_the_page_stays(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    ask(page, "/servers/nonesuch/0/keys/")
    expect(page.get_by_role("alert")).to_contain_text("There is no server nonesuch for you.")
    expect(page.locator("#answer")).to_have_text("as it was")


def test_a_problem_shows_in_its_place_where_the_page_asks_for_that_and_can_be_tried_again(
    console, signed_in, viewer, server_row
):
    page = signed_in(viewer)
    broken = [True]
    fragment = """<div class="problem" data-problem><p class="problem-sentence">The server is loading.</p>
        <div class="acts" hidden><button data-retry>Try again</button></div></div>"""
    page.route(
        "**/panel/",
        lambda route: (
            route.fulfill(status=503, content_type="text/html", body=fragment)
            if broken[0]
            else route.fulfill(content_type="text/html", body="<p>Loaded.</p>")
        ),
    )
    ask(page, "/panel/", **{"data-problem": "inline"})
    expect(page.locator("#answer")).to_contain_text("The server is loading.")
    broken[0] = False
    page.locator("#answer").get_by_role("button", name="Try again").click()
    expect(page.locator("#answer")).to_have_text("Loaded.")
    expect(page.locator(".toast")).to_have_count(0)


def test_a_console_that_does_not_answer_is_told_and_a_later_click_works(
    console, signed_in, viewer, server_row
):
    page = signed_in(viewer)
    page.route("**/panel/", lambda route: route.abort())
    ask(page, "/panel/")
    expect(page.get_by_role("alert")).to_contain_text("The console did not answer.")
    page.unroute("**/panel/")
    page.route("**/panel/", lambda route: route.fulfill(content_type="text/html", body="Here."))
    page.locator("#asks").click()
    expect(page.locator("#answer")).to_have_text("Here.")


def test_a_session_that_ended_leads_to_sign_in_and_back(console, signed_in, viewer, redis):
    redis.set("one", "1")
    page = signed_in(viewer)
    page.goto(console.url(KEYS + "?view=list"))
    page.context.clear_cookies()
    page.locator("a.row").first.click()
    expect(page).to_have_url(re.compile(r"/accounts/login/\?next=.*keys"))
    page.get_by_label("User name").fill(viewer.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(console.url(KEYS + "?view=list"))


def test_what_waits_longer_shows_that_it_does(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    held = []
    page.route("**/panel/", lambda route: held.append(route))
    ask(page, "/panel/")
    expect(page.locator("#busy")).to_have_attribute("data-on", "")
    until(page, lambda: held)
    held[0].fulfill(content_type="text/html", body="Here.")
    expect(page.locator("#busy")).not_to_have_attribute("data-on", "")


def test_a_press_that_outlasts_a_reading_of_its_place_is_a_click(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    readings, pressed = [], []
    place = """<div id="asks" hx-get="/panel/" hx-trigger="every 50ms" hx-swap="outerHTML">
        <button hx-post="/pressed/" hx-swap="none">Reading %d</button></div>"""

    def read(route):
        readings.append(route)
        route.fulfill(content_type="text/html", body=place % len(readings))

    page.route("**/panel/", read)
    page.route("**/pressed/", lambda route: (pressed.append(route), route.fulfill(status=204)))
    ask(page, "/panel/", **{"hx-target": "#asks", "hx-swap": "outerHTML"})
    button = page.locator("#asks button")
    button.hover()
    page.mouse.down()
    under, until_now = button.inner_text(), len(readings)
    until(page, lambda: len(readings) > until_now + 3)
    expect(button).to_have_text(under)
    page.mouse.up()
    until(page, lambda: pressed)
    expect(button).not_to_have_text(under)


def test_ttls_tick_and_end(console, signed_in, viewer, redis):
    page = signed_in(viewer)
    page.clock.install()
    redis.set("short", "1", ex=50)
    page.goto(console.url(KEYS + "?view=list"))
    ttl = page.locator("a.row time.ttl")
    expect(ttl).to_have_class(re.compile("ttl-short"))
    before = ttl.inner_text()
    expect(ttl).not_to_have_text(before)
    page.clock.fast_forward(60_000)
    expect(ttl).to_have_text("expired")


def test_json_is_coloured_folds_and_keeps_every_digit(console, signed_in, viewer, redis):
    redis.set("doc", '{"id": 12345678901234567890, "id": 1.50, "deep": {"a": {"b": {"c": [1, 2]}}}}')
    page = signed_in(viewer)
    page.goto(console.url(KEYS + "?view=list"))
    page.locator("a.row").first.click()
    block = page.locator("pre.json")
    expect(block.locator(".number").first).to_have_text("12345678901234567890")
    expect(block).to_contain_text("1.50")
    expect(block.locator(".folded:visible")).to_have_text("1 name")
    block.locator("summary:visible").last.click()
    expect(block).to_contain_text('"c"')


def test_at_phone_width_the_nav_is_a_bar_and_the_panes_are_two_pages(console, signed_in, viewer, redis):
    redis.set("one", "1")
    page = signed_in(viewer)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(console.url(KEYS + "?view=list"))
    until(page, lambda: page.locator(".nav").bounding_box()["y"] > 700)
    expect(page.locator(".pane-detail")).not_to_be_visible()
    page.locator("a.row").first.click()
    expect(page.locator(".pane-detail h1")).to_be_visible()
    expect(page.locator(".pane-list")).not_to_be_visible()
    page.locator("a.back").click()
    expect(page.locator(".pane-list")).to_be_visible()
    expect_no_wider(page, 390)


def test_the_first_tab_leads_past_the_shell_to_the_content(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


COLOUR = """names => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const probe = document.body.appendChild(document.createElement("i"));
    return names.map(name => {
        probe.style.setProperty("color", `var(${name})`);
        canvas.fillStyle = getComputedStyle(probe).color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    });
}"""
TYPES = ["string", "list", "hash", "set", "zset", "stream", "json", "other"]
WORDS_ON = {
    "--surface": ["--text", "--soft", "--faint", "--accent", "--warn", "--good", "--danger"]
    + [f"--type-{name}" for name in TYPES]
    + [f"--syntax-{name}" for name in ("name", "string", "number", "word")],
    "--raised": ["--text", "--soft", "--faint"],
    "--pressed": ["--text", "--soft"],
    "--accent-soft": ["--text", "--soft", "--accent"],
    "--danger-soft": ["--danger"],
    "--ink": ["--on-ink"],
    "--danger": ["--on-danger"],
}


def luminance(rgb):
    """Relative luminance, as WCAG 2 defines it."""
    shares = [part / 255 for part in rgb]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in shares]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_of_words_is_readable_on_its_ground(console, page, theme):
    page.emulate_media(color_scheme=theme)
    page.goto(console.url("/accounts/login/"))
    poor = {}
    for ground, words in WORDS_ON.items():
        behind, *colours = page.evaluate(COLOUR, [ground, *words])
        ratios = {
            f"{word} on {ground}": contrast(behind, colour)
            for word, colour in zip(words, colours, strict=True)
        }
        poor |= {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < 4.5}
    assert poor == {}


def test_no_page_asks_anybody_else(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(console.url(KEYS))
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith((console.url("/"), "data:"))] == []
    assert json.loads(page.locator("meta[name=htmx-config]").get_attribute("content"))["allowEval"] is False


def code_of(secret):
    """The code that an authenticator app shows for `secret` now; it is good for 30 seconds at least."""
    from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def test_two_factor_sign_in_is_set_up_and_asked_for(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.locator(".person summary").click()
    page.get_by_role("link", name="Two-factor sign-in").click()
    page.get_by_role("link", name="Set up").click()
    # Having signed in is not enough: whoever finds an open browser shall not take the account over.
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    secret = page.get_by_label("Secret").input_value()
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    recovery = page.locator("pre").inner_text().split()[0]

    page.context.clear_cookies()
    page.goto(console.url("/accounts/login/"))
    page.get_by_label("User name").fill(viewer.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(console.url("/"))


def test_a_person_changes_their_password(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.goto(console.url("/accounts/password/change/"))
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_label("New password again").fill("short")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert").first).to_contain_text("at least 8 characters")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("another good battery")
    page.get_by_label("New password again").fill("another good battery")
    page.get_by_role("button", name="Change password").click()
    expect(page.locator(".toast")).to_contain_text("assword")
    viewer.refresh_from_db()
    assert viewer.check_password("another good battery")


def test_a_page_that_does_not_exist_says_so_within_the_shell(console, signed_in, viewer, server_row):
    page = signed_in(viewer)
    page.goto(console.url("/nothing/here/"))
    expect(page.get_by_role("heading", name="There is no such page.")).to_be_visible()
    expect(page.get_by_role("link", name="Servers", exact=True)).to_be_visible()


def test_watching_marks_what_changed_and_not_what_only_ticks(console, signed_in, viewer, redis):
    redis.hset("user:1", mapping={"name": "Ana", "mail": "ana@example.org"})
    redis.expire("user:1", 3600)
    page = signed_in(viewer)
    page.clock.install()
    page.goto(console.url(KEYS + "?view=list"))
    page.locator("a.row").first.click()
    watch = page.get_by_role("button", name="Watch")
    expect(watch).to_be_visible()
    # Stopped, for what has changed is marked until the next reading.
    page.clock.pause_at(time.time() + 60)
    watch.click()
    redis.hset("user:1", "name", "Ben")
    page.clock.run_for(3500)
    expect(page.locator("[data-cell].changed")).to_have_text("Ben")
    expect(watch).to_have_attribute("aria-pressed", "true")
    redis.delete("user:1")
    page.clock.run_for(3500)
    expect(watch).to_have_count(0)
