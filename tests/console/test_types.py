"""What the value of each type looks like to a viewer: every face, the value partial as well as the whole page."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from keyspace.encoding import key_id
from keyspace.models import Grant, Server
from keyspace.types import TYPES
from tests.keyspace.types.samples import NAME, SAMPLES
from tests.servers import RunningServer

FACES = [
    (kind, face.slug) for kind, each in TYPES.items() for face in each.faces if face.slug != "hyperloglog"
]
IDS = [f"{kind}-{face}" for kind, face in FACES]


@pytest.fixture
def stage(
    kind: str,
    request: pytest.FixtureRequest,
    viewer_client: Client,
    make_server: Callable[..., Server],
    server: RunningServer,
) -> tuple[str, Any, Client]:
    """(address of the sample's page, a client of its server, a viewer's browser)."""
    name, redis = "test", request.getfixturevalue("redis")
    if kind == "ReJSON-RL":
        name, redis = "with-json", request.getfixturevalue("json_redis")
        row = make_server(request.getfixturevalue("json_server"), name)
        Grant.objects.create(user=request.getfixturevalue("viewer"), role="viewer", server=row)
    SAMPLES[kind](redis)
    return f"/servers/{name}/0/keys/{key_id(NAME)}/", redis, viewer_client


@pytest.mark.parametrize(("kind", "face"), FACES, ids=IDS)
def test_each_face_is_shown_as_page_and_as_partial(
    kind: str, face: str, stage: tuple[str, Any, Client]
) -> None:
    address, _, browser = stage
    for suffix in ("", "value/"):
        answer = browser.get(address + suffix, {"face": face})
        assert answer.status_code == 200
        assert '<div id="_value_page"' in answer.text
        assert "pane-foot" in answer.text
        assert "style=" not in answer.text
    page = browser.get(address + "value/", {"face": face})
    assert page.text.count('id="_value_page"') == 1


@pytest.mark.parametrize("kind", TYPES)
def test_a_key_that_vanished_is_told_and_not_a_500(kind: str, stage: tuple[str, Any, Client]) -> None:
    address, redis, browser = stage
    redis.delete(NAME)
    assert browser.get(address + "value/").status_code == 404


@pytest.mark.parametrize("kind", ["hash"])
def test_bytes_that_are_no_text_are_escaped_and_a_decoder_can_be_chosen(
    kind: str, stage: tuple[str, Any, Client]
) -> None:
    address, redis, browser = stage
    redis.hset(
        NAME,
        mapping={"<script>alert(1)</script>": "<b>bold</b>", "json": '{"a": [1, 2]}', "big": "x" * 100_000},
    )
    page = browser.get(address + "value/").text
    assert "<script>alert" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "\\xff" in page
    assert "100 kB" in page
    assert "element=" in page
    as_json = browser.get(address + "value/", {"as": "json"}).text
    assert 'class="json" data-json' in as_json
    assert "as=json" in as_json  # the neighbouring pages keep it
    assert browser.get(address + "value/", {"as": "nonsense"}).status_code == 400


@pytest.mark.parametrize("kind", ["hash"])
def test_pages_and_searches_link_to_one_another(kind: str, stage: tuple[str, Any, Client]) -> None:
    address, redis, browser = stage
    redis.hset(NAME, mapping={f"field {number:05}": number for number in range(3000)})
    first = browser.get(address + "value/")
    assert 'rel="next"' in first.text
    assert "cursor=" in first.text
    following = browser.get(address + "value/", first.context["page"].next)
    assert following.status_code == 200
    assert {row.field.text for row in first.context["page"].rows}.isdisjoint(
        row.field.text for row in following.context["page"].rows
    )
    assert "field 02718" in browser.get(address + "value/", {"find": "*02718"}).text
    assert "field 02718" in browser.get(address + "value/", {"find": "field 02718"}).text
    nothing = browser.get(address + "value/", {"find": "nope*"}).text
    assert "match nope*" in nothing or "Searching" in nothing


@pytest.mark.parametrize("kind", ["hash"])
def test_a_cursor_of_garbage_is_a_sentence(kind: str, stage: tuple[str, Any, Client]) -> None:
    address, _, browser = stage
    answer = browser.get(address + "value/", {"cursor": "x"})
    assert answer.status_code == 400
    assert "cursor of this page is not valid" in answer.text
    assert browser.get(address, {"cursor": "x"}).status_code == 400


@pytest.mark.parametrize("kind", ["string"])
def test_a_hyperloglog_shows_its_estimate(kind: str, stage: tuple[str, Any, Client]) -> None:
    address, redis, browser = stage
    redis.delete(NAME)
    redis.pfadd(NAME, *range(500))
    assert "HyperLogLog" in browser.get(address + "value/").text
    assert str(redis.pfcount(NAME)) in browser.get(address + "value/", {"face": "hyperloglog"}).text
