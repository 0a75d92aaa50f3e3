"""Storing servers: their secrets go in and never come out."""

from dataclasses import replace

import pytest

from keyspace import stored_servers
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.grants import on_access_changed
from keyspace.models import AuditEntry, Server
from keyspace.servers import client_of
from keyspace.stored_servers import Settings
from tests.certificates import make_certificates


@pytest.fixture
def admin_console(console_as):
    return console_as("admin")


def at(running, **more):
    return Settings(host=running.host, port=running.port, **more)


def test_a_stored_server_is_reached_with_its_password(admin_console, new_server):
    running = new_server("valkey9", requirepass="hidden")
    server = stored_servers.add_server(
        admin_console, server_name="locked", settings=at(running, password="hidden")
    )
    assert client_of(server).ping()
    row = Server.objects.get(name="locked")
    assert "hidden" not in row.password_secret and row.password == "hidden"


def test_secrets_are_kept_replaced_and_taken_away(admin_console, server):
    stored_servers.add_server(admin_console, server_name="s", settings=at(server, password="one"))
    for typed, stored in ((None, "one"), ("two", "two"), ("", "")):
        stored_servers.change_server(admin_console, server_name="s", settings=at(server, password=typed))
        assert Server.objects.get(name="s").password == stored


def test_the_audit_holds_no_secret(admin_console, server):
    stored_servers.add_server(admin_console, server_name="s", settings=at(server, password="hidden"))
    stored_servers.change_server(
        admin_console, server_name="s", settings=at(server, password="other", read_only=True)
    )
    told = " ".join(str(entry.detail) for entry in AuditEntry.objects.all())
    assert "hidden" not in told and "other" not in told
    assert AuditEntry.objects.first().detail["fields"] == ["read_only", "password"]


def test_a_changed_server_is_reached_at_its_new_address(admin_console, server, any_server):
    row = stored_servers.add_server(admin_console, server_name="s", settings=at(server))
    client_of(row).set("here", "first")
    row = stored_servers.change_server(admin_console, server_name="s", settings=at(any_server, db=3))
    client_of(row, db=3).set("here", "second")
    assert any_server.client(db=3).get("here") == b"second"


@pytest.mark.parametrize(
    "wrong",
    [{"host": ""}, {"host": "  "}, {"port": 0}, {"port": 65536}, {"environment": "nonsense"}, {"ca_cert": "nonsense"}, {"db": -1},
     {"client_cert": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"}],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_and_not_stored(admin_console, wrong):
    with pytest.raises(BadInput):
        stored_servers.add_server(admin_console, server_name="s", settings=replace(Settings(), **wrong))
    assert not Server.objects.exists()


@pytest.mark.parametrize("name", ["", "Big", "a b", "../x", "ä", "x" * 65, "a\n"])
def test_a_name_that_cannot_stand_in_an_address_is_refused(admin_console, name):
    with pytest.raises(BadInput):
        stored_servers.add_server(admin_console, server_name=name, settings=Settings())


def test_a_name_is_taken_once(admin_console, server_row):
    with pytest.raises(Conflict):
        stored_servers.add_server(admin_console, server_name="test", settings=Settings())


def test_a_client_certificate_needs_its_own_key(admin_console, tmp_path):
    made = make_certificates(tmp_path)
    cert, key, other = (path.read_text() for path in (made.client, made.client_key, made.server_key))
    for wrong in (None, "", "nonsense", other):
        with pytest.raises(BadInput, match="key"):
            stored_servers.add_server(
                admin_console, server_name="s", settings=Settings(client_cert=cert, client_key=wrong)
            )
    row = stored_servers.add_server(
        admin_console, server_name="s", settings=Settings(client_cert=cert, client_key=key)
    )
    assert "PRIVATE" not in row.client_key_secret
    stored_servers.change_server(
        admin_console, server_name="s", settings=Settings(client_cert=cert, port=7000)
    )


@pytest.mark.parametrize("source", ["environment", "file", "sample", "backup"])
def test_what_is_configured_elsewhere_is_not_changed(admin_console, source):
    Server.objects.create(name="outside", source=source)
    with pytest.raises(Conflict):
        stored_servers.change_server(admin_console, server_name="outside", settings=Settings())
    with pytest.raises(Conflict):
        stored_servers.remove_server(admin_console, server_name="outside")


def test_removing_a_server_takes_its_grants_and_tells_those_who_listen(admin_console, server_row, viewer):
    heard = []
    listen = lambda user_ids, **_: heard.append(user_ids)  # noqa: E731
    on_access_changed.connect(listen)
    try:
        stored_servers.remove_server(admin_console, server_name="test")
    finally:
        on_access_changed.disconnect(listen)
    assert not viewer.grants.exists() and viewer.pk in heard[0]
    with pytest.raises(NotFound):
        stored_servers.get_server(admin_console, server_name="test")


@pytest.mark.parametrize("role", ["operator", "viewer", None])
def test_only_admins_of_all_servers_manage_them(console_as, server_row, role):
    console = console_as(role)
    calls = [
        lambda: stored_servers.add_server(console, server_name="s", settings=Settings()),
        lambda: stored_servers.change_server(console, server_name="test", settings=Settings()),
        lambda: stored_servers.remove_server(console, server_name="test"),
        lambda: stored_servers.check_settings(console, settings=Settings()),
        lambda: stored_servers.get_server(console, server_name="test"),
        lambda: stored_servers.check_may_manage(console),
    ]
    for call in calls:
        with pytest.raises(Denied):
            call()
    assert list(Server.objects.values_list("name", flat=True)) == ["test"]
