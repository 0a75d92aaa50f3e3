"""Storing servers, and trying them before they are stored."""

import socket
import threading
import time
from dataclasses import replace

import pytest

from keyspace import stored_servers
from keyspace.endpoints import check_endpoint
from keyspace.errors import BadInput, Conflict, Denied, NotFound, Problem
from keyspace.grants import on_access_changed
from keyspace.models import AuditEntry, Server
from keyspace.servers import Endpoint, client_of
from keyspace.stored_servers import Settings
from tests.certificates import make_certificates
from tests.servers import start_server

PATIENCE = 3.0


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


# Trying an endpoint: each answer in words, within three seconds.


def tried(endpoint):
    began = time.monotonic()
    try:
        return check_endpoint(endpoint)
    except Problem as problem:
        return problem
    finally:
        assert time.monotonic() - began < PATIENCE


def test_check_good(any_server):
    checked = tried(Endpoint(host=any_server.host, port=any_server.port))
    assert checked.state.word == "up" and checked.state.version and checked.lacks == ()
    assert tried(Endpoint(socket=any_server.socket)).lacks == ()


def test_check_leaves_nothing_behind(any_server, any_redis):
    tried(Endpoint(host=any_server.host, port=any_server.port))
    assert any_redis.dbsize() == 0
    assert not [client for client in any_redis.client_list() if client["name"] == "keyspace-console"]


def test_check_refused():
    assert (
        tried(Endpoint(port=1)).sentence == "The server refuses connections: nothing listens at its address."
    )


def test_check_unknown_host():
    assert (
        tried(Endpoint(host="no-such-host.invalid")).sentence == "The server's host name is not known here."
    )


def test_check_wrong_password(any_server):
    with any_server.client() as admin:
        admin.config_set("requirepass", "right")
        wrong = tried(Endpoint(host=any_server.host, port=any_server.port, password="wrong"))
        none = tried(Endpoint(host=any_server.host, port=any_server.port))
        admin.config_set("requirepass", "")
    assert wrong.sentence == "The server did not accept the user name or password."
    assert none.sentence == "The server asks for a password and none is configured."


def test_check_tells_what_the_acl_lacks(any_server):
    with any_server.client() as admin:
        rules = ("on", ">pw", "~*", "+@all", "-info", "-scan", "-memory|usage")
        admin.execute_command("ACL", "SETUSER", "bob", *rules)
    checked = tried(Endpoint(host=any_server.host, port=any_server.port, username="bob", password="pw"))
    assert set(checked.lacks) == {"+scan", "+info", "+memory|usage"}


def test_check_tells_that_keys_are_out_of_reach(any_server):
    with any_server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "~a:*", "+@all")
    checked = tried(Endpoint(host=any_server.host, port=any_server.port, username="bob", password="pw"))
    assert checked.lacks == ("~*",)


def test_check_without_ping(server):
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-ping")
    told = tried(Endpoint(host=server.host, port=server.port, username="bob", password="pw"))
    assert "+ping" in (told.sentence if isinstance(told, Problem) else " ".join(told.lacks))


@pytest.fixture(scope="module")
def tls_server():
    with start_server("redis7", tls=True, tls_auth_clients="yes", bind="127.0.0.1 127.0.0.2") as running:
        yield running


@pytest.fixture
def tls_endpoint(tls_server):
    made = tls_server.certificates
    ca, cert, key = (path.read_text() for path in (made.ca, made.client, made.client_key))
    return Endpoint(
        host="localhost", port=tls_server.tls_port, tls=True, ca_cert=ca, client_cert=cert, client_key=key
    )


def test_check_tls(tls_endpoint):
    assert tried(tls_endpoint).state.word == "up"


def test_check_tls_expected(tls_endpoint):
    assert tried(replace(tls_endpoint, tls=False)).sentence == "The server expects TLS on this port."


def test_check_tls_not_spoken(tls_endpoint, tls_server):
    assert (
        tried(replace(tls_endpoint, port=tls_server.port)).sentence
        == "The server does not speak TLS on this port."
    )


def test_check_tls_not_trusted(tls_endpoint, tls_server):
    stranger = tls_server.certificates.stranger_ca.read_text()
    for ca in (stranger, ""):
        assert tried(replace(tls_endpoint, ca_cert=ca)).sentence.startswith(
            "The server's certificate is not trusted"
        )


def test_check_tls_wrong_host_name(tls_endpoint):
    told = tried(replace(tls_endpoint, host="127.0.0.2"))
    assert (
        told.sentence.startswith("The server's certificate is not trusted") and "127.0.0.2" in told.sentence
    )


def test_check_tls_wants_a_client_certificate(tls_endpoint):
    told = tried(replace(tls_endpoint, client_cert="", client_key=""))
    assert "TLS handshake" in told.sentence and "client certificate" in told.advice


def test_check_protected_mode(new_server):
    running = new_server("valkey9", bind="* -::*", protected_mode="yes")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        ours = probe.getsockname()[0]
    assert "protected mode" in tried(Endpoint(host=ours, port=running.port)).sentence


def test_check_loading(any_server):
    with any_server.client() as admin:
        admin.mset({f"k{n}": "v" * 5000 for n in range(200)})
        admin.config_set("key-load-delay", "10000")
        admin.config_set("loading-process-events-interval-bytes", "1024")
        reloading = threading.Thread(
            target=lambda: any_server.client(socket_timeout=60).execute_command("DEBUG", "RELOAD")
        )
        reloading.start()
        deadline = time.monotonic() + 2
        told = None
        while time.monotonic() < deadline and not isinstance(told, Problem):
            told = tried(Endpoint(host=any_server.host, port=any_server.port))
        reloading.join()
    assert told.sentence == "The server is loading its data into memory."


def test_check_a_server_that_hangs(server):
    server.pause()
    try:
        assert (
            tried(Endpoint(host=server.host, port=server.port)).sentence
            == "The server did not answer in time."
        )
    finally:
        server.resume()


def test_check_a_port_that_drops_everything():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        assert tried(Endpoint(*address)).sentence == "The server could not be reached in time."
        for one in waiting:
            one.close()


def test_check_something_that_is_not_redis():
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()

    threading.Thread(target=answer, daemon=True).start()
    told = tried(Endpoint(*listener.getsockname()))
    listener.close()
    assert told.sentence == "What answers at this address does not speak the protocol of Redis."
