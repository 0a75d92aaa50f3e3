"""The keys page by role: what is shown, what is offered, and what garbage gets."""

import re

import pytest
from django.urls import reverse

from keyspace import counts
from keyspace.encoding import key_id, to_text
from keyspace.models import AuditEntry
from tests.people import sign_in

pytestmark = pytest.mark.django_db
ODD = [
    b"\xff\xfe\x00",
    b"",
    b"a/b?c#d",
    b"::",
    b"{tag}:x",
    "ключ".encode(),
    b"line\nbreak",
    b"<script>alert(1)</script>",
    b"x" * 3000,
]


@pytest.fixture(autouse=True)
def nothing_counted():
    yield
    counts.forget_counts()


def keys_url(name="keys", **query):
    url = reverse(name, args=["test", 0])
    return url + "?" + "&".join(f"{key}={value}" for key, value in query.items())


def key_url(name, view="key"):
    return reverse(view, args=["test", 0, name])


def test_viewer_sees_keys_as_a_tree_with_true_counts(viewer_client, redis):
    redis.mset({"session:1": 1, "session:2": 1, "cache:api:1": 1, "top": 1})
    page = viewer_client.get(keys_url()).content.decode()
    assert "session:" in page and "cache:" in page
    folder = viewer_client.get(keys_url("keys_folder", prefix=key_id(b"cache:"))).content.decode()
    assert "api:" in folder


def test_viewer_finds_by_pattern_type_and_ttl_and_the_address_keeps_the_filter(viewer_client, redis):
    redis.mset({"session:1": 1, "other": 1})
    redis.rpush("session:list", 1)
    page = viewer_client.get(keys_url(match="session:*", type="list")).content.decode()
    assert "session:list" in page and key_url(b"session:1") not in page
    assert 'value="session:*"' in page
    pushed = viewer_client.get(keys_url("keys_list", match="session:*"), headers={"HX-Request": "true"})[
        "HX-Push-Url"
    ]
    assert pushed == keys_url(match="session%3A%2A")


def test_a_text_without_a_glob_is_tried_as_the_exact_name_first(viewer_client, redis):
    redis.mset({"needle": 1, "a needle in hay": 1, "hay": 1})
    page = viewer_client.get(keys_url(match="needle")).content.decode()
    assert "exactly this name" in page
    assert key_url(b"needle") in page and key_url(b"a needle in hay") in page and key_url(b"hay") not in page
    assert "No key has exactly this name" in viewer_client.get(keys_url(match="needl")).content.decode()


@pytest.mark.parametrize("name", ODD, ids=lambda name: repr(name[:12]))
def test_any_name_is_listed_linked_and_opened(viewer_client, redis, name):
    redis.set(name, b"value")
    assert key_url(name) in viewer_client.get(keys_url(view="list")).content.decode()
    page = viewer_client.get(key_url(name))
    assert page.status_code == 200
    assert b"<script>alert" not in page.content


def test_every_byte_value_makes_an_address_that_opens(viewer_client, redis):
    name = bytes(range(256))
    redis.set(name, 1)
    assert viewer_client.get(key_url(name)).status_code == 200
    assert to_text(name)


def test_a_name_without_anything_to_see_is_shown_all_the_same(viewer_client, redis):
    redis.mset({b"": 1, b" ": 1})
    page = viewer_client.get(keys_url(view="list")).content.decode()
    assert ">&quot;&quot;</span>" in page and r">\x20</span>" in page
    for name, shown in ((b"", '""'), (b" ", r"\x20")):
        heading = viewer_client.get(key_url(name)).content.decode().partition("<h1")[2]
        assert shown in heading.partition("<button")[0]


def test_what_finds_nothing_says_what_to_try(viewer_client, operator_client, redis):
    empty = [one.get(keys_url(view="list")).content.decode() for one in (viewer_client, operator_client)]
    assert all("This db holds no keys." in page for page in empty)
    assert ["New key makes the first one" in page for page in empty] == [False, True]
    redis.set("session:1", 1)
    none = viewer_client.get(keys_url(match="ses")).content.decode()
    assert "No key matches." not in none
    none = viewer_client.get(keys_url(match="cart:*")).content.decode()
    assert "No key matches." in none and "<code>*text*</code>" in none


def test_a_long_search_goes_on_by_itself_in_steps(viewer_client, redis, monkeypatch):
    monkeypatch.setattr("keyspace.keys.BUDGET_MS", 0)
    redis.mset({f"k:{n}": 1 for n in range(5000)})
    page = viewer_client.get(keys_url(match="*nothing like it*")).content.decode()
    assert "Stop" in page and "looked at" in page and "data-goes-on" in page


def test_rows_go_on_from_the_cursor_until_all_was_looked_at(viewer_client, redis):
    redis.mset({f"k:{n}": 1 for n in range(900)})
    seen, url = set(), keys_url("keys_rows", view="list")
    for _ in range(20):
        part = viewer_client.get(url).content.decode()
        seen |= set(re.findall(r'href="[^"]+/keys/([^/"]+)/', part))
        following = re.search(r'hx-get="([^"]+rows/[^"]+)"[^>]*hx-target="closest', part)
        if following is None:
            break
        url = following.group(1).replace("&amp;", "&")
    assert len(seen) == 900


def test_nobody_is_told_that_the_server_exists(nobody_client, redis):
    redis.set("k", 1)
    for url in (
        keys_url(),
        key_url(b"k"),
        keys_url("keys_rows"),
        key_url(b"k", "key_pane"),
        key_url(b"k", "key_value"),
    ):
        assert nobody_client.get(url).status_code == 404


def test_a_key_outside_the_pattern_is_404_by_direct_address(make_person, server_row, redis):
    redis.mset({"session:1": 1, "secret:1": "x"})
    client = sign_in(make_person("pat", "viewer", server=server_row, patterns=["session:*"]))
    assert client.get(key_url(b"session:1")).status_code == 200
    for view in ("key", "key_value", "key_decoded", "key_download", "key_ttl"):
        assert client.get(key_url(b"secret:1", view)).status_code == 404, view
    hidden, missing = (client.get(key_url(name, "key_pane")).content for name in (b"secret:1", b"secret:0"))
    assert b"There is no key" in hidden
    assert (
        hidden.replace(b"secret:1", b"secret:0").replace(
            key_id(b"secret:1").encode(), key_id(b"secret:0").encode()
        )
        == missing
    )
    assert "secret:1" not in client.get(keys_url(view="list")).content.decode()
    assert "secret" not in client.get(keys_url()).content.decode()


def test_viewer_is_not_offered_and_may_not_set_ttl(viewer_client, operator_client, redis):
    redis.set("k", 1)
    assert b"Set TTL" not in viewer_client.get(key_url(b"k")).content
    assert b"Set TTL" in operator_client.get(key_url(b"k")).content
    dialog = operator_client.get(key_url(b"k", "key_ttl")).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', dialog)
    assert seen
    posted = {"seen": seen.group(1), "way": "in", "duration": "15m"}
    assert viewer_client.post(key_url(b"k", "key_set_ttl"), posted).status_code == 403
    assert redis.ttl("k") == -1
    assert AuditEntry.objects.filter(outcome="denied", operation="set_ttl").exists()
    assert operator_client.post(key_url(b"k", "key_set_ttl"), posted).status_code == 200
    assert 890 < redis.ttl("k") <= 900


def test_a_bad_duration_and_a_stale_ttl_come_back_into_the_dialog(operator_client, redis):
    redis.set("k", 1, ex=100)
    dialog = operator_client.get(key_url(b"k", "key_ttl")).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', dialog).group(1)
    bad = operator_client.post(key_url(b"k", "key_set_ttl"), {"seen": seen, "way": "in", "duration": "soon"})
    assert bad.status_code == 422 and b"not a duration" in bad.content and b'value="soon"' in bad.content
    redis.expire("k", 500)
    stale = operator_client.post(key_url(b"k", "key_set_ttl"), {"seen": seen, "way": "in", "duration": "1h"})
    assert stale.status_code == 422 and b"changed since you looked" in stale.content
    assert redis.ttl("k") <= 500
    over = operator_client.post(
        key_url(b"k", "key_set_ttl"), {"seen": seen, "way": "in", "duration": "1h", "overwrite": "on"}
    )
    assert over.status_code == 200 and redis.ttl("k") > 3500


def test_a_past_date_says_that_the_key_would_be_gone_and_asks(operator_client, redis):
    redis.set("k", 1)
    dialog = operator_client.get(key_url(b"k", "key_ttl")).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', dialog).group(1)
    form = {"seen": seen, "way": "at", "at": "2001-01-01T00:00", "offset": "0"}
    asked = operator_client.post(key_url(b"k", "key_set_ttl"), form)
    assert asked.status_code == 422 and b"would be deleted" in asked.content and redis.exists("k")
    operator_client.post(key_url(b"k", "key_set_ttl"), form | {"may_delete": "on"})
    assert not redis.exists("k")


def test_persist_takes_the_ttl_away(operator_client, redis):
    redis.set("k", 1, ex=100)
    dialog = operator_client.get(key_url(b"k", "key_ttl")).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', dialog).group(1)
    assert operator_client.post(key_url(b"k", "key_persist"), {"seen": seen}).status_code == 200
    assert redis.ttl("k") == -1


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/servers/test/0/keys/!garbage!/", 400),
        ("/servers/test/0/keys/a/", 400),
        ("/servers/test/99/keys/", 404),
        ("/servers/test/0/rows/?cursor=forged", 400),
        ("/servers/test/0/keys/?match=" + "x" * 5000, 400),
        ("/servers/test/0/keys/?ttl=year", 400),
        ("/servers/test/0/keys/?type=%00", 400),
        ("/servers/test/0/keys/?view=pie", 400),
        ("/servers/test/0/rows/?have=-1", 400),
        ("/servers/other/0/keys/", 404),
        ("/no/such/page", 404),
    ],
)
def test_garbage_gets_a_sentence_and_a_4xx(viewer_client, url, status):
    answer = viewer_client.get(url)
    assert answer.status_code == status
    assert b'role="alert"' in answer.content
    fragment = viewer_client.get(url, headers={"HX-Request": "true"})
    assert fragment.status_code == status and b"<html" not in fragment.content


def test_masked_values_are_hidden_until_revealed_by_someone_who_may(make_person, server_row, redis):
    redis.set("card:1", "4111 1111 1111 1111")
    viewer = sign_in(make_person("vera", "viewer", server=server_row, masks=["card:*"]))
    operator = sign_in(make_person("otto", "operator", server=server_row, masks=["card:*"]))
    for client in (viewer, operator):
        page = client.get(key_url(b"card:1")).content.decode()
        assert "4111" not in page
        assert client.get(key_url(b"card:1", "key_download")).status_code == 403
    assert viewer.post(key_url(b"card:1", "key_reveal")).status_code == 403
    revealed = operator.post(key_url(b"card:1", "key_reveal")).content.decode()
    assert "4111 1111" in revealed
    assert list(
        AuditEntry.objects.filter(operation="reveal_value").values_list("person", "outcome").order_by("id")
    ) == [
        ("vera", "denied"),
        ("otto", "done"),
    ]


def test_a_string_downloads_as_it_is(viewer_client, redis):
    data = bytes(range(256)) * 9000
    redis.set("blob", data)
    answer = viewer_client.get(key_url(b"blob", "key_download"))
    assert b"".join(answer.streaming_content) == data
    assert answer["Content-Length"] == str(len(data)) and "blob.bin" in answer["Content-Disposition"]


def test_the_session_ended_in_an_htmx_request_leads_to_sign_in_and_back(client, server_row):
    answer = client.get(
        keys_url("keys_rows"),
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/servers/test/0/keys/?match=a"},
    )
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/accounts/login/?next=%2Fservers%2Ftest%2F0%2Fkeys%2F%3Fmatch%3Da"


def test_a_forged_form_does_nothing(operator, server_row, redis):
    from django.test import Client

    redis.set("k", 1)
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(key_url(b"k", "key_persist")).status_code == 403
    htmx = client.post(
        key_url(b"k", "key_persist"), headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/"}
    )
    assert htmx.status_code == 401 and "login" in htmx["HX-Redirect"]


def test_counting_is_started_shown_and_stopped(viewer_client, redis, monkeypatch):
    monkeypatch.setattr(counts, "FREE_KEYS", 0)
    redis.mset({f"k:{n}": 1 for n in range(100)})
    assert b"Count all" in viewer_client.get(keys_url(view="tree")).content
    done = viewer_client.post(keys_url("keys_start_count"))
    assert done["HX-Trigger"] == "counted" and b"100" in done.content
    assert b"k:" in viewer_client.get(keys_url(view="tree")).content
    assert viewer_client.post(keys_url("keys_stop_count")).status_code == 200


def test_jump_opens_a_server_or_an_exact_key(viewer_client, redis):
    assert viewer_client.get("/jump/?q=test")["Location"] == keys_url()[:-1]
    assert viewer_client.get("/jump/?q=a:b&server=test&db=0")["Location"] == key_url(b"a:b")
    assert viewer_client.get("/jump/?q=")["Location"] == "/"


def test_the_ttl_of_a_field_is_offered_and_set(viewer_client, operator_client, redis):
    redis.hset("h", mapping={"f": "v", "g": "v"})
    url = key_url(b"h", "key_ttl") + f"?field={key_id(b'f')}"
    assert url not in viewer_client.get(key_url(b"h")).content.decode()
    assert url in operator_client.get(key_url(b"h")).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', operator_client.get(url).content.decode())
    assert seen
    posted = {"seen": seen.group(1), "way": "in", "duration": "15m"}
    done = operator_client.post(key_url(b"h", "key_set_ttl") + f"?field={key_id(b'f')}", posted)
    assert done.status_code == 200
    assert redis.ttl("h") == -1 and 890 < redis.execute_command("HTTL", "h", "FIELDS", 1, "f")[0] <= 900
