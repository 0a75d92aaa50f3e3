"""Connections that break or never come about: each has its sentence, and a later call works again."""

import socket
import threading
from dataclasses import replace

import pytest

from keyspace.servers import Endpoint, open_client
from tests.keyspace.failing import problem_of, reach
from tests.servers import start_server
from tests.topologies import wait_until


def test_server_down_and_up_again(new_server, call):
    running = new_server("valkey9")
    client = reach(running)
    assert call(client, "PING")
    running.kill()
    told = problem_of(call, client, "PING")
    assert told.sentence.startswith(("The server refuses connections", "The connection to the server broke"))
    told = problem_of(call, client, "PING")
    assert (told.status, told.sentence) == (
        503,
        "The server refuses connections: nothing listens at its address.",
    )
    running.restart()
    assert call(client, "PING")


def kill_when_somebody_waits(running):
    wait_until(lambda: running.client().info("clients")["blocked_clients"], "a client that waits")
    running.kill()


def test_down_in_the_middle(new_server, call):
    running = new_server("valkey9")
    client = reach(running)
    killer = threading.Thread(target=kill_when_somebody_waits, args=(running,))
    killer.start()
    told = problem_of(call, client, "BLPOP", "nothing", "0")
    killer.join()
    assert (told.status, told.sentence) == (503, "The connection to the server broke.")
    running.restart()
    assert call(client, "PING")


def test_slow_beyond_the_timeout(server, call):
    client = reach(server, timeout=1.5)
    assert call(client, "PING")
    server.pause()
    try:
        told = problem_of(call, client, "PING")
    finally:
        server.resume()
    assert (told.status, told.sentence) == (504, "The server did not answer in time.")
    assert call(client, "PING")


def test_a_handshake_beyond_the_timeout(server, call):
    server.pause()
    try:
        told = problem_of(call, reach(server, timeout=0.2), "PING")
    finally:
        server.resume()
    assert told.status == 504


def test_unreachable_in_time(call):
    """A listener whose queue is full drops what comes in, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [_try_to_connect(address) for _ in range(4)]
        told = problem_of(call, open_client(Endpoint(*address, connect_timeout=0.3, timeout=0.3)), "PING")
        for one in waiting:
            one.close()
    assert (told.status, told.sentence) == (504, "The server could not be reached in time.")


def _try_to_connect(address):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(address)
    return client


def test_unknown_host(call):
    told = problem_of(call, open_client(Endpoint(host="no-such-host.invalid")), "PING")
    assert (told.status, told.sentence) == (503, "The server's host name is not known here.")


def test_a_socket_that_is_not_there(call):
    told = problem_of(call, open_client(Endpoint(socket="/nonexistent/s")), "PING")
    assert told.sentence.startswith("The server's unix socket")


@pytest.fixture(scope="module")
def tls_server():
    with start_server("redis7", tls=True, tls_auth_clients="yes", bind="127.0.0.1 127.0.0.2") as running:
        yield running


def _tls(running, **more):
    ca, cert, key = (
        getattr(running.certificates, name).read_text() for name in ("ca", "client", "client_key")
    )
    good = Endpoint(
        host="localhost", port=running.tls_port, tls=True, ca_cert=ca, client_cert=cert, client_key=key
    )
    return open_client(replace(good, **more))


def test_tls_with_everything_right(tls_server, call):
    assert call(_tls(tls_server), "PING")


def test_a_certificate_that_is_not_trusted(tls_server, call):
    stranger = tls_server.certificates.stranger_ca.read_text()
    told = problem_of(call, _tls(tls_server, ca_cert=stranger), "PING")
    assert told.status == 503 and told.sentence.startswith("The server's certificate is not trusted")
    assert problem_of(call, _tls(tls_server, ca_cert=""), "PING").sentence.startswith(
        "The server's certificate is not trusted"
    )


def test_a_host_name_that_is_not_the_certificates(tls_server, call):
    told = problem_of(call, _tls(tls_server, host="127.0.0.2"), "PING")
    assert (
        told.sentence.startswith("The server's certificate is not trusted") and "127.0.0.2" in told.sentence
    )
    assert call(_tls(tls_server, host="127.0.0.2", tls_check_hostname=False), "PING")


def test_a_client_certificate_is_asked_for(tls_server, call):
    told = problem_of(call, _tls(tls_server, client_cert="", client_key=""), "PING")
    assert told.status == 503 and "TLS" in told.sentence + told.advice
    assert "client certificate" in told.advice
