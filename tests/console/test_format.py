"""Numbers, sizes, durations and moments as people read them, and exactly on hover."""

import re
import time
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from django.template import Context, Template, TemplateSyntaxError
from hypothesis import given
from hypothesis import strategies as st

from console.templatetags import format as shown
from console.templatetags.icons import icon
from keyspace.encoding import from_text

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


def rendered(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "—"),
        (0, "0"),
        (999, "999"),
        (1000, "1 000"),
        (1_003_241, "1 003 241"),
        (-1234, "-1 234"),
        (2.5, "2.5"),
    ],
)
def test_a_number_stands_in_groups_of_three(value: float | None, words: str) -> None:
    assert shown.number_text(value).replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 B"),
        (824, "824 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_200_000, "1.2 MB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (502_000_000, "502 MB"),
        (10**18, "1000 PB"),
    ],
)
def test_a_size_has_three_figures_and_its_unit(value: int, words: str) -> None:
    assert shown.size_text(value) == words


@given(st.integers(0, 10**18))
def test_a_size_is_never_longer_than_a_column(value: int) -> None:
    assert len(shown.size_text(value)) <= len("1000 PB")


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (0.4, "0.4 ms"),
        (250, "250 ms"),
        (999.6, "1 s"),
        (7900, "7.9 s"),
        (60_000, "1 m"),
        (3_552_000, "59 m 12 s"),
        (9_000_000, "2 h 30 m"),
        (273_600_000, "3 d 4 h"),
        (604_800_000, "7 d"),
        (63_072_000_000, "2 y"),
        (-7900, "-7.9 s"),
        (None, "—"),
    ],
)
def test_a_duration_has_its_two_largest_units(ms: float | None, words: str) -> None:
    assert shown.duration_text(ms) == words


def test_a_life_says_nothing_is_left_only_at_its_end() -> None:
    assert (shown.life_text(1), shown.life_text(0)) == ("1 s", "0 s")
    assert shown.life_text(59_999) == "1 m"


def test_a_life_skips_a_unit_that_is_nought() -> None:
    assert shown.life_text(86_400_000 + 5000) == "1 d"
    assert shown.life_text(3_600_000 + 60_000) == "1 h 1 m"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "now"), (42, "42 s ago"), (130, "2 min ago"), (13 * 3600, "13 h ago"), (5 * 86_400, "5 d ago"), (-4000, "in 1 h"),
     (1000 * 86_400, "2 y ago")],
)  # fmt: skip
def test_how_long_ago(seconds: float, words: str) -> None:
    assert shown.ago_text(seconds) == words


def test_ago_takes_seconds_and_datetimes_and_has_the_moment_on_hover() -> None:
    when = datetime.now(UTC) - timedelta(minutes=2, seconds=5)
    for value in (when, when.timestamp()):
        html = shown.ago(value)
        assert ">2 min ago</time>" in html
        assert f'title="{when:%Y-%m-%d %H:%M:%S} UTC"' in html
    assert shown.ago(None) == "—"


def test_a_moment_is_as_short_as_its_day_allows() -> None:
    now = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
    assert shown.moment_text(datetime(2026, 11, 24, 16, 42, 7, tzinfo=UTC), now) == "16:42:07"
    assert shown.moment_text(datetime(2026, 11, 3, 16, 42, tzinfo=UTC), now) == "3 Nov 16:42"
    assert shown.moment_text(datetime(2031, 1, 1, 6, 2, tzinfo=UTC), now) == "2031-01-01 06:02"


def test_a_moment_counts_numbers_in_milliseconds_and_bears_any_of_them() -> None:
    assert 'datetime="2026-11-24T16:42:07+00:00"' in shown.moment(1_795_538_527_000)
    assert "<time" in shown.moment(2**63)
    assert "<time" in shown.moment(-(2**63))


def test_a_ttl_ticks_towards_its_end() -> None:
    html = shown.ttl(3_552_000)
    ends = int(re.search(r'data-expires-at="(\d+)"', html)[1])  # type: ignore[index]
    assert abs(ends - 3_552_000 - time.time() * 1000) < 60_000
    assert ">59 m 12 s</time>" in html
    assert "ttl-short" not in html


def test_a_ttl_under_a_minute_is_marked_and_none_is_a_dash() -> None:
    assert "ttl-short" in shown.ttl(12_000)
    assert ">—<" in shown.ttl(None)


def test_a_ttl_longer_than_the_calendar_is_shown_all_the_same() -> None:
    assert "<time" in shown.ttl(2**62)


@given(st.binary(max_size=80))
def test_bytes_print_so_that_they_can_be_typed_back(data: bytes) -> None:
    assert from_text(shown.text(data)) == data


def test_bytes_are_escaped_for_the_page() -> None:
    assert rendered("{{ name|text }}", name=b"<b>\xff&") == "&lt;b&gt;\\xff&amp;"


@pytest.mark.parametrize(
    ("name", "words"), [(b" ", r"\x20"), (b"  a b ", r"\x20\x20a b\x20"), (b"a b", "a b"), (b"", "")]
)
def test_spaces_at_the_ends_of_a_name_are_seen(name: bytes, words: str) -> None:
    assert shown.text(name) == words and from_text(words) == name


@given(st.text(max_size=200))
def test_what_a_place_cuts_is_never_the_end_of_a_name(name: str) -> None:
    marked = shown.both_ends(name)
    bare = unescape(re.sub(r"^<span class=\"head\">(.*)</span>", r"\1", marked, flags=re.DOTALL))
    assert bare == name
    assert ('class="head"' in marked) == (len(name) >= 2 * shown.TAIL)


def test_the_style_leaves_room_for_the_end_of_a_name() -> None:
    style = (TEMPLATES.parent / "static/css/rows.css").read_text()
    assert f"max-width: clamp(100% - {shown.TAIL}ch, " in style


@given(st.text(max_size=200), st.integers(8, 120))
def test_a_long_name_keeps_its_beginning_and_its_end(name: str, most: int) -> None:
    cut = shown.middle(name, most)
    assert len(cut) <= most
    if len(name) > most:
        start, end = cut.split("…", 1) if "…" not in name else (cut[:2], cut[-2:])
        assert name.startswith(start) and name.endswith(end)
    else:
        assert cut == name


def test_a_type_has_its_colour_and_a_modules_type_that_of_the_rest() -> None:
    assert shown.type_badge("zset") == '<span class="type type-zset">zset</span>'
    assert shown.type_badge("ReJSON-RL") == '<span class="type type-json">json</span>'
    assert shown.type_badge(b"MBbloom--") == '<span class="type type-other">MBbloom--</span>'
    assert shown.type_badge('"><x') == '<span class="type type-other">&quot;&gt;&lt;x</span>'


def test_a_share_is_a_percentage_over_a_bar_of_that_length() -> None:
    html = shown.share(1, 3)
    assert "33.3 %" in html
    assert '<rect width="33.33%"' in html
    assert "—" in shown.share(0, 0)


def test_production_is_marked_by_a_word() -> None:
    assert shown.environment_mark("production") == '<span class="mark mark-prod">PROD</span>'
    assert shown.environment_mark("") == ""


def test_a_state_has_a_word_for_those_who_do_not_see_the_dot() -> None:
    assert '<span class="sr-only">down</span>' in shown.state_dot("down")
    assert "dot-unknown" in shown.state_dot('"><script>')


def test_filters_need_no_load_in_a_template() -> None:
    assert (
        rendered("{{ n|number }} {{ n|size_text }} {{ t|middle:8 }}", n=999, t="abcdefghijkl")
        == "999 999 B abcde…kl"
    )


def test_an_icon_is_hidden_from_screen_readers() -> None:
    svg = icon("key-round")
    assert svg.startswith('<svg class="icon" width="16"')
    assert 'aria-hidden="true"' in svg
    assert "xmlns" not in svg


def test_an_icon_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TemplateSyntaxError, match="no icon 'nonesuch'"):
        icon("nonesuch")


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_every_icon_of_a_template_exists(path: Path) -> None:
    for name in re.findall(r'{% icon "([^"]+)"', path.read_text()):
        icon(name)


@pytest.mark.parametrize(
    "path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES))
)
def test_no_template_has_what_the_content_security_policy_refuses(path: Path) -> None:
    source = path.read_text()
    assert not re.search(r"\sstyle=", source)
    assert not re.search(r"\son[a-z]+=|hx-on|\bjs:", source)
    for script in re.findall(r"<script[^>]*>", source):
        assert "nonce" in script
