"""The servers under the tests are what the tests take them for."""

import os
import signal
import subprocess
import sys
import time

import pytest
import redis as redis_py

from tests.servers import GENERATIONS, start_server
from tests.topologies import start_replica, wait_until

VERSIONS = {"valkey9": "9.1", "redis7": "7.0", "redis8": "8.2", "valkey8": "8.1", "redis6": "6.2"}


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_server_of_each_generation_starts_fast(kind):
    began = time.monotonic()
    with start_server(kind) as server, server.client() as client:
        assert time.monotonic() - began < 20
        info = client.info("server")
        assert info.get("valkey_version", info["redis_version"]).startswith(VERSIONS[kind])
        assert server.client(host=server.host, port=server.port).ping()


@pytest.mark.parametrize("kind", GENERATIONS)
def test_the_json_module_loads(kind):
    with start_server(kind, module_json=True) as server:
        assert server.client().execute_command("JSON.SET", "k", "$", "{}")


def test_a_shared_server_forgets_the_test_before(any_server):
    client = any_server.client()
    assert client.dbsize() == 0
    assert client.config_get("maxmemory")["maxmemory"] == "0"
    assert client.acl_users() == ["default"]
    client.set("k", "v")
    client.config_set("maxmemory", "100mb")
    client.acl_setuser("bob", enabled=True)


def test_a_shared_server_forgets_the_test_before_again(any_server):
    test_a_shared_server_forgets_the_test_before(any_server)


def test_tls_wants_the_right_ca(new_server):
    server = new_server("redis7", tls=True)
    tls = {"host": "localhost", "port": server.tls_port, "ssl": True}
    assert server.client(**tls, ssl_ca_certs=str(server.certificates.ca)).ping()
    with pytest.raises(redis_py.ConnectionError):
        server.client(**tls, ssl_ca_certs=str(server.certificates.stranger_ca)).ping()


def test_tls_with_a_client_certificate(new_server):
    server = new_server("redis7", tls=True, tls_auth_clients="yes")
    tls = {
        "host": "127.0.0.1",
        "port": server.tls_port,
        "ssl": True,
        "ssl_ca_certs": str(server.certificates.ca),
    }
    with pytest.raises(redis_py.ConnectionError):
        server.client(**tls).ping()
    own = {
        "ssl_certfile": str(server.certificates.client),
        "ssl_keyfile": str(server.certificates.client_key),
    }
    assert server.client(**tls, **own).ping()


def test_acl_users_are_there_from_the_start(new_server):
    server = new_server("valkey9", acl=["default off", "bob on >secret ~b:* +get"])
    assert server.client(username="bob", password="secret").get("b:1") is None
    with pytest.raises(redis_py.AuthenticationError):
        server.client().get("b:1")


def test_a_replica_follows_and_a_restart_keeps_the_port(new_server):
    primary = new_server("valkey9", appendonly="yes", appendfsync="always")
    with start_replica(primary) as replica:
        primary.client().set("k", "v")
        wait_until(lambda: replica.client().get("k"), "the key on the replica")
    primary.restart()
    assert primary.client(host=primary.host, port=primary.port).get("k") == b"v"


def test_a_cluster_serves_all_slots(new_cluster):
    client = new_cluster().client()
    for number in range(20):
        client.set(f"k{number}", number)
    assert sum(client.dbsize(target_nodes=node) for node in client.get_primaries()) == 20


def test_servers_die_with_the_process_that_started_them():
    code = "from tests.servers import *; s = [start_server(k).process.pid for k in GENERATIONS]; "
    code += "print(*s, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == len(GENERATIONS)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(_is_alive(pid) for pid in pids), "the servers to die")


def _is_alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
