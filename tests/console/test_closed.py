"""Closed by default: every address and every socket leads a stranger to the sign-in page, or nowhere."""

import json
import re

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from console.asgi import application
from keyspace.encoding import key_id
from tests.people import PASSWORD, sign_in

# What a stranger may see: whether the process lives, and the way in.
OPEN = {
    "healthz", "readyz", "account_login", "account_signup",
    "account_inactive", "account_logout",
    "account_confirm_email", "account_email_verification_sent", "account_confirm_login_code", "account_login_by_code",
    "account_request_login_code", "account_verify_phone", "account_change_phone", "mfa_authenticate", "mfa_reauthenticate", "mfa_trust",
    "account_signup_by_passkey", "account_complete_login",
}  # fmt: skip
VALUES = {
    "server": "test",
    "db": 0,
    "key": key_id(b"\xffk"),
    "username": "viewer",
    "group": "crew",
    "channel": key_id(b"c"),
}


def patterns(resolver, prefix=""):
    for one in resolver.url_patterns:
        if isinstance(one, URLResolver):
            yield from patterns(one)
        elif isinstance(one, URLPattern):
            yield one


def value_of(name, converter):
    if name in VALUES:
        return VALUES[name]
    return {"IntConverter": 1, "UUIDConverter": "00000000-0000-0000-0000-000000000001"}.get(
        type(converter).__name__, "x1"
    )


def addresses():
    for pattern in patterns(get_resolver()):
        if pattern.name and pattern.name not in OPEN:
            converters = pattern.pattern.converters
            names = converters or dict.fromkeys(getattr(pattern.pattern.regex, "groupindex", {}))
            address = reverse(
                pattern.name, kwargs={name: value_of(name, converter) for name, converter in names.items()}
            )
            yield pytest.param(address, id=pattern.name)


@pytest.mark.parametrize("address", list(addresses()))
def test_a_stranger_is_led_to_sign_in(client, server_row, address):
    for answer in (client.get(address), client.post(address, {"x": "1"})):
        assert answer.status_code in (302, 405), answer.status_code
        if answer.status_code == 302:
            assert answer["Location"].startswith(reverse("account_login"))


@pytest.mark.parametrize("address", list(addresses()))
def test_a_strangers_fragment_leads_the_page_to_sign_in(client, server_row, address):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/servers/test/0/keys/?match=a"}
    answer = client.get(address, headers=headers)
    assert answer.status_code in (401, 302, 405)
    if answer.status_code == 401:
        assert answer["HX-Redirect"].startswith(reverse("account_login"))
        assert "%2Fservers%2Ftest%2F0%2Fkeys%2F%3Fmatch%3Da" in answer["HX-Redirect"]


# Without a grant: the pages of a server do not exist, those of the console are refused; neither tells a thing.
OWN_PAGES = {"home", "jump", "jobs", "jobs_list"}


@pytest.mark.parametrize("address", list(addresses()))
def test_somebody_without_a_grant_gets_nowhere(nobody_client, redis, address):
    redis.set(b"\xffk", "hidden value")
    if address.startswith("/accounts/") or any(address == reverse(name) for name in OWN_PAGES):
        return
    for answer in (nobody_client.get(address), nobody_client.post(address, {"x": "1"})):
        told = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert b"hidden value" not in told
        assert answer.status_code in (400, 403, 404, 405), (address, answer.status_code)


def routes():
    from console.sockets import websocket_urlpatterns

    for route in websocket_urlpatterns:
        text = str(route.pattern)
        yield text


SOCKETS = ["/", "/ws/", "/ws/servers/test/live/", "/ws/servers/test/0/live/", "/servers/test/live/", "/servers/test/0/pubsub/live/",
           "/servers/test/pubsub/live/", "/nowhere/"]  # fmt: skip


async def is_let_in(path, *, origin="http://localhost"):
    """Whether a stranger's socket stays open, or is told anything but why it is closed (a frame of type "end")."""
    headers = [(b"origin", origin.encode()), (b"host", b"localhost")]
    scope = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": headers,
        "subprotocols": [],
        "client": ["10.0.0.1", 1],
    }
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    told = []
    while not told or told[-1]["type"] != "websocket.close":
        told.append(await socket.receive_output(timeout=60))
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(timeout=60)
    frames = [json.loads(one.get("bytes") or one["text"]) for one in told if one["type"] == "websocket.send"]
    return any(frame["t"] != "end" for frame in frames)


def socket_paths():
    """Every route with something in the place of its arguments."""
    found = set(SOCKETS)
    for text in routes():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(VALUES.get(match[1], 1)), text)
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda match: str(VALUES.get(match[1], 1)), path)
        found.add("/" + path.strip("^$").lstrip("/"))
    return sorted(found)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", socket_paths())
async def test_a_strangers_socket_is_refused(path):
    assert not await is_let_in(path)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", socket_paths())
async def test_a_socket_from_another_site_is_refused(path):
    assert not await is_let_in(path, origin="https://evil.example")


def test_somebody_without_a_grant_still_gets_home(nobody_client):
    assert nobody_client.get("/").status_code == 200
    assert nobody_client.get(reverse("jump"), {"q": "test"}).status_code == 302


def test_sign_up_is_closed(client, db):
    before = client.get("/accounts/signup/")
    answer = client.post(
        "/accounts/signup/", {"username": "eve", "password1": PASSWORD, "password2": PASSWORD}
    )
    assert "closed" in (before.content + answer.content).decode().lower()
    from django.contrib.auth import get_user_model

    assert not get_user_model().objects.filter(username="eve").exists()


def test_signing_in_and_out(client, viewer, server_row):
    answer = client.post("/accounts/login/", {"login": "viewer", "password": PASSWORD})
    assert answer.status_code == 302 and answer["Location"] == "/"
    assert client.get("/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


def test_a_wrong_password_does_not_sign_in_and_is_throttled(client, viewer):
    from django.core.cache import cache

    cache.clear()
    for _ in range(6):
        answer = client.post("/accounts/login/", {"login": "viewer", "password": "wrong"})
    assert "too many" in answer.content.decode().lower()
    assert client.post("/accounts/login/", {"login": "viewer", "password": PASSWORD}).status_code != 302
    cache.clear()


def test_sign_in_leads_back_to_the_page(client, viewer):
    asked = client.get("/servers/test/0/keys/?match=a*")
    assert asked["Location"] == "/accounts/login/?next=/servers/test/0/keys/%3Fmatch%3Da%2A"


def test_a_deactivated_person_is_out_with_the_next_request(viewer, viewer_client):
    assert viewer_client.get("/").status_code == 200
    viewer.is_active = False
    viewer.save()
    assert viewer_client.get("/").status_code == 302


def test_a_new_password_ends_the_sessions(viewer, viewer_client, console_as):
    from keyspace.people import renew_password

    renew_password(console_as("admin"), username="viewer")
    assert viewer_client.get("/").status_code == 302


def test_a_form_from_another_session_is_refused_in_words(viewer):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(viewer, backend=settings.AUTHENTICATION_BACKENDS[0])
    answer = client.post("/servers/test/remove/")
    assert answer.status_code == 403 and "earlier session" in answer.content.decode()
    fragment = client.post("/servers/test/remove/", headers={"HX-Request": "true"})
    assert fragment.status_code == 401 and fragment["HX-Redirect"].startswith("/accounts/login/")


def test_no_page_may_be_framed_or_run_foreign_scripts(viewer_client):
    answer = viewer_client.get("/")
    policy = answer["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "default-src 'none'" in policy
    assert answer["X-Frame-Options"] == "DENY" and answer["Referrer-Policy"] == "same-origin"


def test_machines_are_told_no_names(client, server_row, viewer_client):
    assert client.get("/healthz").json() == {"process": "up"}
    told = client.get("/readyz")
    assert told.status_code == 200 and "test" not in told.json()["servers"]
    assert AnonymousUser().is_authenticated is False


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_everyone_who_signed_in_sees_their_shell(make_person, server_row, role):
    page = sign_in(make_person(f"{role}-x", role, server=server_row)).get("/").content.decode()
    assert f"{role}-x" in page
