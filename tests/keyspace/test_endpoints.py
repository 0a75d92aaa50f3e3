"""Trying an endpoint: each answer in words, within three seconds."""

import contextlib
import socket
import threading
import time
from dataclasses import replace

import pytest
import redis

from keyspace import endpoints
from keyspace.endpoints import check_endpoint
from keyspace.errors import Problem
from keyspace.servers import Endpoint
from tests.servers import start_server
from tests.topologies import wait_until


@pytest.fixture(autouse=True)
def _in_words(request, monkeypatch):
    """How an answer reads is not decided by how soon a loaded machine gives it; that it comes soon has its own tests."""
    if "within" not in request.node.name:
        monkeypatch.setattr(endpoints, "PATIENCE", 30.0)


def tried(endpoint):
    try:
        return check_endpoint(endpoint)
    except Problem as problem:
        return problem


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


def _problem_with(running):
    told = tried(Endpoint(host=running.host, port=running.port))
    return told if isinstance(told, Problem) else None


def _quickens(running):
    with running.client() as admin, contextlib.suppress(redis.RedisError):
        return admin.config_set("key-load-delay", "0")


def test_check_loading(any_server):
    with any_server.client() as admin:
        admin.mset({f"k{n}": "v" * 5000 for n in range(300)})
        admin.config_set("key-load-delay", "20000")
        admin.config_set("loading-process-events-interval-bytes", "1024")
        reloading = threading.Thread(
            target=lambda: any_server.client(socket_timeout=60).execute_command("DEBUG", "RELOAD")
        )
        reloading.start()
        told = wait_until(lambda: _problem_with(any_server), "it to load")
        wait_until(lambda: _quickens(any_server), "it to take a setting while it loads")
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


def test_check_answers_within_three_seconds(server, monkeypatch):
    """Whatever the endpoint does: here it is looked at for ten."""
    assert endpoints.PATIENCE < 3
    monkeypatch.setattr(endpoints, "_STEP", 10.0)
    began = time.monotonic()
    server.pause()
    try:
        told = tried(Endpoint(host=server.host, port=server.port))
        assert (told.sentence, time.monotonic() - began < 8) == (
            "The server could not be reached in time.",
            True,
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
