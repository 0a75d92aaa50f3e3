"""Each failure of a server, forced on a real one: its sentence on the page and in the partial, and a later click works again."""

import threading

import pytest
import redis
from django.urls import reverse

from keyspace import servers
from tests.people import sign_in
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture
def broken(new_server, make_server, make_person):
    """(running server, a signed-in operator's browser) for a server of this test alone, called "shaky"."""

    def start(*args, user: dict | None = None, **options):
        running = new_server("valkey9", *args, **options)
        row = make_server(running, name="shaky", **(user or {}))
        return running, sign_in(make_person("olga", "operator", server=row))

    return start


def both(client, sentence, *, status):
    """The page and the partial say `sentence`."""
    page = client.get(reverse("keys", args=["shaky", 0]) + "?view=list")
    fragment = client.get(reverse("keys_rows", args=["shaky", 0]), headers={"HX-Request": "true"})
    for answer in (page, fragment):
        assert answer.status_code == status, answer.content[:500]
        assert sentence in answer.content.decode(), answer.content.decode()[:800]
    assert "<html" in page.content.decode() and "<html" not in fragment.content.decode()


def works(client):
    return client.get(reverse("keys", args=["shaky", 0]) + "?view=list").status_code == 200


def test_server_down_and_back(broken):
    running, client = broken()
    assert works(client)
    running.kill()
    both(client, "refuses connections", status=503)
    running.restart()
    assert works(client)


def test_slow_beyond_the_timeout(broken, monkeypatch):
    running, client = broken()
    monkeypatch.setattr(servers.Endpoint, "timeout", 1.5, raising=False)
    monkeypatch.setattr(servers, "connection_options", _with_timeout(servers.connection_options, 1.5))
    servers.forget_clients()
    assert works(client)
    running.pause()
    try:
        both(client, "did not answer in time", status=504)
    finally:
        running.resume()
    assert works(client)


def _with_timeout(real, seconds):
    return lambda endpoint: real(endpoint) | {"socket_timeout": seconds, "socket_connect_timeout": seconds}


def test_wrong_password(broken):
    _, client = broken(
        acl=["default off", "ana on >right ~* +@all"], user={"username": "ana", "password_secret": ""}
    )
    both(client, "password", status=502)


def test_max_clients_and_room_again(broken):
    running, client = broken()
    running.client().config_set("maxclients", 2)
    others = [running.client() for _ in range(4)]
    held = []
    for other in others:
        try:
            other.ping()
            held.append(other)
        except Exception:
            break
    both(client, "no room for another client", status=503)
    for other in held:
        other.close()
    wait_until(lambda: works(client), "room again")


def test_loading(broken):
    running, client = broken(**{"loading-process-events-interval-bytes": "1024"})
    pipe = running.client().pipeline(transaction=False)
    for number in range(20_000):
        pipe.set(f"key:{number}", "x" * 50)
    pipe.execute()
    running.client().config_set("key-load-delay", "2000")
    running.client().config_rewrite()
    running.client().save()
    running.kill()
    from tests.servers import _spawn

    running.process = _spawn(running.command, running.directory)
    page = reverse("keys", args=["shaky", 0]) + "?view=list"
    wait_until(lambda: b"loading its data" in client.get(page).content, "it to load")
    both(client, "loading its data", status=503)


def test_a_script_that_runs_too_long_and_ends(broken):
    running, client = broken(**{"busy-reply-threshold": "50"})
    looping = threading.Thread(target=_run_forever, args=(running,), daemon=True)
    looping.start()
    wait_until(lambda: is_busy(running), "the script to be too long")
    both(client, "running too long", status=503)
    running.client().execute_command("SCRIPT", "KILL")
    looping.join(60)
    assert works(client)


def is_busy(running):
    try:
        running.client().ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


def _run_forever(running):
    try:
        running.client(socket_timeout=None).eval("while true do end", 0)
    except Exception as ended:
        assert "killed" in str(ended) or "SCRIPT KILL" in str(ended)


def test_one_denied_command_leaves_the_rest_of_the_page(broken):
    running, client = broken(
        acl=["narrow on >pw ~* +@all -memory -object -info"], user={"username": "narrow", "password": "pw"}
    )
    running.client().hset("h", "field", "value of the field")
    page = client.get(reverse("keys", args=["shaky", 0]) + "?view=list").content.decode()
    assert "+memory" in page and reverse("key", args=["shaky", 0, b"h"]) in page
    key = client.get(reverse("key", args=["shaky", 0, b"h"]))
    assert key.status_code == 200
    assert "value of the field" in key.content.decode() and "not allowed" in key.content.decode()


def test_where_scan_is_denied_a_key_is_found_by_its_exact_name(broken):
    running, client = broken(
        acl=["narrow on >pw ~* +@all -scan"], user={"username": "narrow", "password": "pw"}
    )
    running.client().set(b"app:\xff", "v")
    url, address = reverse("keys", args=["shaky", 0]), reverse("key", args=["shaky", 0, b"app:\xff"])
    for query in ("", "?match=app:*", "?view=list", "?match=gone"):
        page = client.get(url + query)
        assert page.status_code == 200 and "+scan is missing" in page.content.decode(), query
    found = client.get(url + "?match=app:%5Cxff").content.decode()
    assert address in found and "Names that contain it" not in found
    assert client.get(address).status_code == 200
    assert client.get(reverse("keys_rows", args=["shaky", 0]) + "?view=list").status_code == 200


def test_a_denied_reading_says_which_rule_is_missing_and_keeps_the_header(broken):
    running, client = broken(
        acl=["narrow on >pw ~* +@all -hscan"], user={"username": "narrow", "password": "pw"}
    )
    running.client().hset("h", "field", "secret")
    key = client.get(reverse("key", args=["shaky", 0, b"h"])).content.decode()
    assert "+hscan" in key and "Memory" in key and "secret" not in key


def set_ttl(client, name=b"k"):
    import re

    dialog = client.get(reverse("key_ttl", args=["shaky", 0, name])).content.decode()
    seen = re.search(r'name="seen" value="([^"]+)"', dialog)
    assert seen, dialog
    return client.post(
        reverse("key_set_ttl", args=["shaky", 0, name]),
        {"seen": seen.group(1), "way": "in", "duration": "1h"},
        headers={"HX-Request": "true"},
    )


def test_a_read_only_replica_takes_no_ttl_and_says_so(broken, new_server):
    primary = new_server("valkey9")
    primary.client().set("k", 1)
    running, client = broken(replicaof=f"127.0.0.1 {primary.port}")
    replica = running.client()
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica to catch up")
    answer = set_ttl(client)
    assert answer.status_code == 409 and "read-only replica" in answer.content.decode()


def test_a_failed_snapshot_stops_writes_in_words(broken):
    running, client = broken(save="3600 1000000", dir="/proc")
    running.client().set("k", 1)
    running.client().execute_command("BGSAVE")
    wait_until(
        lambda: running.client().info("persistence")["rdb_last_bgsave_status"] == "err",
        "the snapshot to fail",
    )
    answer = set_ttl(client)
    assert answer.status_code == 503 and "last snapshot failed" in answer.content.decode()
    assert running.client().ttl("k") == -1
    running.client().config_set("stop-writes-on-bgsave-error", "no")
    assert set_ttl(client).status_code == 200


def test_a_key_of_another_node_of_a_cluster_says_so(new_cluster, make_server, make_person):
    cluster = new_cluster(primaries=3)
    nodes = getattr(cluster, "primaries", None) or cluster.nodes
    row = make_server(nodes[0], name="shaky")
    client = sign_in(make_person("olga", "operator", server=row))
    moved = [client.get(reverse("key_ttl", args=["shaky", 0, f"k{number}".encode()])) for number in range(30)]
    told = [answer for answer in moved if answer.status_code == 421]
    assert told and "another node of the cluster" in told[0].content.decode()
