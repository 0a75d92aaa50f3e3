"""Every row of the table of errors, forced on real servers: each failure has its sentence, and a later call works again."""

import socket
import threading
from pathlib import Path

import pytest

from keyspace.errors import TABLE, Problem, explain
from keyspace.servers import Endpoint, open_client
from tests.keyspace.failing import SET, problem_of, reach
from tests.topologies import start_replica, wait_until


@pytest.mark.parametrize("given", [{"password": "wrong"}, {"username": "nobody", "password": "wrong"}])
def test_wrong_password(any_server, call, given):
    with any_server.client() as admin:
        admin.config_set("requirepass", "right")
        try:
            told = problem_of(call, reach(any_server, **given), "PING")
        finally:
            admin.config_set("requirepass", "")
    assert (told.status, told.sentence) == (502, "The server did not accept the user name or password.")


def test_a_password_is_asked_for(any_server, call):
    with any_server.client() as admin:
        admin.config_set("requirepass", "right")
        try:
            told = problem_of(call, reach(any_server), "PING")
        finally:
            admin.config_set("requirepass", "")
    assert (told.status, told.sentence) == (502, "The server asks for a password and none is configured.")


@pytest.fixture
def bob(any_server):
    with any_server.client() as admin:
        admin.execute_command(
            "ACL",
            "SETUSER",
            "bob",
            "on",
            ">pw",
            "~a:*",
            "resetchannels",
            "+@all",
            "-get",
            "-memory|usage",
            "-info",
        )
    return reach(any_server, username="bob", password="pw")


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (("GET", "a:1"), "+get is missing"),
        (("INFO",), "+info is missing"),
        (("MEMORY", "USAGE", "a:1"), "+memory|usage is missing"),
    ],
)
def test_noperm_names_the_missing_rule(bob, call, command, rule):
    told = problem_of(call, bob, *command)
    assert told.status == 403 and rule in told.sentence
    assert call(bob, "PING")


def test_noperm_on_a_key_and_a_channel(bob, call):
    assert "touch a key" in problem_of(call, bob, "SET", "b:1", "v").sentence
    assert "touch a channel" in problem_of(call, bob, "PUBLISH", "news", "hello").sentence


def test_loading(any_server, call):
    client = reach(any_server)
    with any_server.client() as admin:
        admin.mset({f"k{n}": "v" * 5000 for n in range(300)})
        admin.config_set("key-load-delay", "10000")
        admin.config_set("loading-process-events-interval-bytes", "1024")
        reloading = threading.Thread(
            target=lambda: any_server.client(socket_timeout=60).execute_command("DEBUG", "RELOAD")
        )
        reloading.start()
        try:
            told = wait_until(lambda: _problem_if_any(call, client, "GET", "k1"), "the server to be loading")
        finally:
            wait_until(
                lambda: _ok(lambda: any_server.client().config_set("key-load-delay", "0")),
                "loading to end",
            )
            reloading.join()
    assert (told.status, told.sentence) == (503, "The server is loading its data into memory.")
    assert call(client, "GET", "k1")


def _problem_if_any(call, client, *command):
    try:
        call(client, *command)
    except Exception as error:
        return explain(error)
    return None


def _ok(act):
    try:
        act()
    except Exception:
        return False
    return True


def test_busy_script(any_server, call):
    client = reach(any_server)
    with any_server.client(socket_timeout=30) as stuck, any_server.client() as admin:
        admin.config_set("lua-time-limit", "20")
        running = threading.Thread(target=lambda: _ok(lambda: stuck.eval("while true do end", 0)))
        running.start()
        try:
            told = wait_until(lambda: _problem_if_any(call, client, "GET", "k"), "the script to be too long")
        finally:
            wait_until(
                lambda: _ok(lambda: any_server.client().execute_command("SCRIPT", "KILL")),
                "the script to be killed",
            )
            running.join()
    assert told.status == 503 and told.sentence.startswith("A script or function has been running too long")
    assert call(client, "PING")


def test_misconf(any_server, call, new_server):
    running = new_server(any_server.kind, save="3600 1000000")
    (Path(running.directory) / "dump.rdb" / "in the way").mkdir(parents=True)
    client = reach(running)
    with running.client() as admin:
        admin.bgsave()
        wait_until(
            lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot to fail"
        )
    told = problem_of(call, client, *SET)
    assert told.status == 503 and "last snapshot failed" in told.sentence
    assert call(client, "GET", "k") is None


def test_oom(any_server, call):
    client = reach(any_server)
    with any_server.client() as admin:
        admin.config_set("maxmemory", "1")
        told = problem_of(call, client, *SET)
        admin.config_set("maxmemory", "0")
    assert (told.status, told.sentence) == (
        507,
        "The server is out of memory (maxmemory) and takes no more.",
    )
    assert call(client, *SET)


def test_readonly_replica_and_masterdown(new_server, call):
    primary = new_server("valkey9")
    with start_replica(primary, replica_serve_stale_data="no") as replica:
        told = problem_of(call, reach(replica), *SET)
        assert (told.status, told.sentence) == (
            409,
            "This server is a read-only replica; nothing was written.",
        )
        primary.kill()
        wait_until(lambda: _problem_if_any(call, reach(replica), "GET", "k"), "the replica to notice")
        told = problem_of(call, reach(replica), "GET", "k")
        assert told.status == 503 and told.sentence.startswith("This replica has lost its primary")


def test_moved_and_crossslot(new_cluster, call):
    node = reach(new_cluster().nodes[0])
    names = [f"k{number}" for number in range(20)]
    told = next(filter(None, (_problem_if_any(call, node, "SET", name, "v") for name in names)))
    assert (told.status, told.sentence) == (421, "This key lives on another node of the cluster.")
    assert problem_of(call, node, "MGET", *names).status == 400


def test_clusterdown(new_server, call):
    told = problem_of(call, reach(new_server("valkey9", cluster_enabled="yes")), *SET)
    assert told.status == 503 and told.sentence.startswith("The cluster is down")


def test_max_clients(any_server, call):
    with any_server.client() as admin:
        admin.config_set("maxclients", "1")
        try:
            told = problem_of(call, reach(any_server), "PING")
        finally:
            admin.config_set("maxclients", "10000")
    assert (told.status, told.sentence) == (503, "The server has no room for another client (maxclients).")
    assert call(reach(any_server), "PING")


def test_the_console_has_used_up_its_connections(server):
    client = open_client(Endpoint(host=server.host, port=server.port), max_connections=1)
    held = client.connection_pool.get_connection()
    told = problem_of(client.ping)
    client.connection_pool.release(held)
    assert told.sentence.startswith("The console has used up its connections")
    assert client.ping()


def test_protected_mode(new_server, call):
    running = new_server("valkey9", bind="* -::*", protected_mode="yes")
    ours = _other_address()
    told = problem_of(call, open_client(Endpoint(host=ours, port=running.port)), "PING")
    assert told.status == 502 and "protected mode" in told.sentence


def _other_address():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return probe.getsockname()[0]


def test_wrongtype(any_redis, any_server, call):
    any_redis.rpush("list", "a")
    assert problem_of(call, reach(any_server), "GET", "list").status == 409


def test_no_such_db(any_server, call):
    told = problem_of(call, open_client(Endpoint(host=any_server.host, port=any_server.port), db=999), "PING")
    assert (told.status, told.sentence) == (404, "The server has no db with this number.")


@pytest.mark.parametrize("command", [("NOSUCHCOMMAND",), ("CONFIG", "NOSUCH")])
def test_unknown_command(any_server, call, command):
    assert problem_of(call, reach(any_server), *command).status == 501


def test_noreplicas(server, call):
    with server.client() as admin:
        admin.config_set("min-replicas-to-write", "1")
        told = problem_of(call, reach(server), *SET)
        admin.config_set("min-replicas-to-write", "0")
    assert told.status == 503 and "too few healthy replicas" in told.sentence


def test_watch_and_a_refused_transaction(server, redis):
    client = reach(server)
    with client.pipeline() as pipe:
        pipe.watch("k")
        redis.set("k", "theirs")
        pipe.multi()
        pipe.set("k", "ours")
        assert problem_of(pipe.execute).status == 409
    with client.pipeline() as pipe:
        pipe.set("k", "v")
        pipe.execute_command("SET", "k")
        assert problem_of(pipe.execute).status in (409, 502)
    assert redis.get("k") == b"theirs"


def test_a_stranger_to_the_table_keeps_its_secrets():
    told = explain(ValueError("the password is hunter2"))
    assert told.status == 500 and "hunter2" not in str(told)


def test_a_problem_stays_itself():
    problem = Problem("It is so.", "Live with it.", status=418)
    assert explain(problem) is problem


def test_the_arguments_of_a_pipelined_command_are_not_shown(server, redis):
    redis.rpush("list", "a")
    for command in (
        ("GET", "list"),
        ("SETRANGE", "k", "-1", "hunter2"),
        ("SET", "k", "hunter2", "NONSENSE"),
        ("HSET", "k", "hunter2"),
    ):
        pipe = reach(server).pipeline(transaction=False)
        pipe.execute_command(*command)
        told = problem_of(pipe.execute)
        assert "hunter2" not in str(told) and "pipeline" not in str(told)
        assert told.status == (409 if command[0] == "GET" else 502)


def test_every_row_is_one_sentence_and_an_advice():
    for kind, _, status, sentence, advice in TABLE:
        assert 400 <= status < 600 and sentence.endswith(".") and advice.endswith("."), kind


def test_every_row_can_be_reached():
    """A row behind a wider one would never be taken."""
    for at, (kind, beginning, *_rest) in enumerate(TABLE):
        for earlier, first, *_ in TABLE[:at]:
            assert not (issubclass(kind, earlier) and beginning.startswith(first)), (kind, beginning)
