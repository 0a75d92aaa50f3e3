"""The list of servers, a server's overview, and storing, trying and removing servers."""

import time

import pytest

from keyspace.models import Grant, Server
from tests.people import sign_in


def test_home_lists_only_servers_with_a_grant(viewer_client, make_server, server):
    make_server(server, "hidden")
    page = viewer_client.get("/").content.decode()
    assert "/servers/test/" in page and "/servers/hidden/" not in page
    assert "Add server" not in page


def test_home_says_what_to_do_without_a_grant(nobody_client):
    assert "Ask an admin" in nobody_client.get("/").content.decode()


def test_home_offers_add_server_to_admins(admin_client):
    assert "/home/add_server/" in admin_client.get("/").content.decode()


def test_home_does_not_wait_for_dead_servers(admin_client, db):
    for number in range(100):
        Server.objects.create(name=f"dead-{number:03}", host="192.0.2.1")
    began = time.monotonic()
    page = admin_client.get("/")
    assert page.status_code == 200 and time.monotonic() - began < 4.5  # one alone would take 5
    assert page.content.decode().count("hx-get") >= 100


def test_a_row_shows_the_state(viewer_client, redis):
    redis.mset({f"a:{number}": 1 for number in range(4321)})
    row = viewer_client.get("/servers/test/state/").content.decode()
    assert "Valkey 9" in row and "primary" in row and '<td class="num keys">4\u202f321</td>' in row
    assert 'hx-trigger="every' in row


def test_a_row_of_a_dead_server_says_why_and_asks_again(admin_client, make_server, new_server):
    running = new_server("valkey9")
    make_server(running, "dying")
    running.kill()
    for _ in range(10):
        row = admin_client.get("/servers/dying/state/").content.decode()
        if "asking" not in row:
            break
    assert "down" in row and "refuses connections" in row


def test_a_row_of_a_silent_server_comes_at_once(admin_client, make_server, new_server):
    running = new_server("valkey9")
    make_server(running, "silent")
    running.pause()
    began = time.monotonic()
    row = admin_client.get("/servers/silent/state/").content.decode()
    assert time.monotonic() - began < 4.5  # the server itself would be given 5 s
    assert "asking" in row and "load delay" in row
    running.resume()


def test_a_viewer_of_some_keys_is_told_no_counts(make_person, server_row, redis):
    redis.mset({f"a:{number}": 1 for number in range(4321)})
    client = sign_in(make_person("narrow", "viewer", server=server_row, patterns=["a:*"]))
    assert '<td class="num keys">4\u202f321</td>' not in client.get("/servers/test/state/").content.decode()
    assert "4\u202f321" not in client.get("/servers/test/").content.decode()
    assert "Your grant shows some keys only" in client.get("/servers/test/").content.decode()


def test_overview_shows_every_panel(viewer_client, redis):
    redis.set("k", "v", ex=100)
    page = viewer_client.get("/servers/test/").content.decode()
    for title in ("Memory", "Persistence", "Activity", "Clients", "Replication", "Databases"):
        assert title in page
    assert "db 0" in page and "Settings" not in page


def test_overview_says_what_the_acl_refuses_and_shows_the_rest(admin_client, make_server, new_server):
    running = new_server("valkey9", acl=["bob on >pw ~* +@all -info"])
    make_server(running, "narrow", username="bob", password="pw")
    running.client().set("k", "v")
    page = admin_client.get("/servers/narrow/").content.decode()
    assert "+info is missing" in page and "db 0" in page


def test_overview_of_a_dead_server_says_so_and_works_again_later(admin_client, make_server, new_server):
    running = new_server("valkey9")
    make_server(running, "dying")
    running.kill()
    assert "refuses connections" in admin_client.get("/servers/dying/").content.decode()
    running.restart()
    assert "Persistence" in admin_client.get("/servers/dying/facts/").content.decode()


def test_a_stranger_server_is_not_found(viewer_client, make_server, server):
    make_server(server, "hidden")
    for path in ("", "state/", "facts/"):
        assert viewer_client.get(f"/servers/hidden/{path}").status_code == 404
        assert viewer_client.get(f"/servers/none/{path}").status_code == 404


FIELDS = {
    "name": "new",
    "environment": "production",
    "host": "127.0.0.1",
    "port": "6390",
    "db": "0",
    "tls_check_hostname": "on",
}


def test_admin_adds_changes_and_removes_a_server(admin_client, server):
    answer = admin_client.post("/home/add_server/", FIELDS | {"password": "first secret", "read_only": "on"})
    assert answer.status_code == 302
    row = Server.objects.get(name="new")
    assert (row.port, row.environment, row.read_only, row.password) == (
        6390,
        "production",
        True,
        "first secret",
    )
    assert "first secret" not in row.password_secret

    page = admin_client.get("/servers/new/change/").content.decode()
    assert "first secret" not in page and row.password_secret not in page

    admin_client.post("/servers/new/change/", FIELDS | {"port": "6391", "password": ""})
    row = Server.objects.get(name="new")
    assert (row.port, row.read_only, row.password) == (6391, False, "first secret")

    admin_client.post("/servers/new/change/", FIELDS | {"password": "second"})
    assert Server.objects.get(name="new").password == "second"
    admin_client.post("/servers/new/change/", FIELDS | {"clear_password": "on"})
    assert Server.objects.get(name="new").password == ""

    assert admin_client.post("/servers/new/remove/").status_code == 302
    assert not Server.objects.filter(name="new").exists()


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [("name", "Bad Name", "Lower-case"), ("name", "test", "already"), ("port", "0", "65535"), ("port", "x", "number"), ("host", "", "host"),
     ("ca_cert", "nonsense", "PEM"), ("client_cert", "nonsense", "PEM"), ("db", "-1", "greater"), ("name", "", "required")],
)  # fmt: skip
def test_a_form_that_cannot_be_used_is_422_and_says_why(admin_client, server_row, field, value, word):
    answer = admin_client.post("/home/add_server/", FIELDS | {field: value})
    assert answer.status_code == 422
    assert word in answer.content.decode()
    assert not Server.objects.filter(name="new").exists()


def test_a_configured_server_is_shown_but_not_changed(admin_client, server, settings):
    Server.objects.create(name="outside", source="environment", host=server.host, port=server.port)
    settings.CONFIGURED_SERVERS = {
        "outside": {"source": "environment", "host": server.host, "port": server.port}
    }
    page = admin_client.get("/servers/outside/change/").content.decode()
    assert "REDIS_HOST" in page and "Save" not in page
    assert admin_client.post("/servers/outside/change/", FIELDS).status_code == 409
    assert admin_client.post("/servers/outside/remove/").status_code == 409
    assert "Connected" in admin_client.post("/servers/outside/check/").content.decode()


def test_check_answers_in_words(admin_client, server_row, server):
    good = admin_client.post("/home/check_server/", FIELDS | {"port": str(server.port)})
    assert good.status_code == 200 and "Connected" in good.content.decode()
    bad = admin_client.post("/home/check_server/", FIELDS | {"port": "1"}, headers={"HX-Request": "true"})
    assert bad.status_code == 503 and "refuses connections" in bad.content.decode()
    wrong = admin_client.post("/home/check_server/", FIELDS | {"port": "x"})
    assert wrong.status_code == 422 and "number" in wrong.content.decode()


def test_check_uses_the_stored_password_when_none_is_typed(admin_client, make_server, new_server):
    running = new_server("valkey9", requirepass="hidden")
    make_server(running, "locked", password="hidden")
    typed = FIELDS | {"port": str(running.port)}
    assert "Connected" in admin_client.post("/servers/locked/check/", typed).content.decode()
    refused = admin_client.post("/servers/locked/check/", typed | {"clear_password": "on"})
    assert "asks for a password" in refused.content.decode()


@pytest.mark.parametrize("path", ["home/add_server/", "servers/test/change/"])
def test_operators_may_not_see_the_forms(operator_client, path):
    assert operator_client.get(f"/{path}").status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "home/add_server/",
        "home/check_server/",
        "servers/test/change/",
        "servers/test/check/",
        "servers/test/remove/",
    ],
)
def test_operators_may_not_manage_servers(operator_client, path):
    assert operator_client.post(f"/{path}", FIELDS).status_code == 403
    assert Server.objects.count() == 1


def test_an_admin_of_one_server_may_not_manage_servers(make_person, server_row):
    client = sign_in(make_person("local", "admin", server=server_row))
    assert client.post("/servers/test/remove/").status_code == 403
    assert Grant.objects.count() == 1
