"""The embedded Valkey: it starts, keeps what was written, and never outlives who started it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis as redis_py

from keyspace import embedded
from keyspace.children import birth_of
from tests.topologies import wait_until

STARTER = """
import sys, time
from pathlib import Path
from keyspace import embedded
print(embedded.start(Path(sys.argv[1])).process.pid, flush=True)
time.sleep(60)
"""


def client_of(server: embedded.EmbeddedServer) -> "redis_py.Redis":
    return redis_py.Redis(unix_socket_path=str(server.socket))


def start_elsewhere(directory: Path) -> "tuple[subprocess.Popen[bytes], int]":
    """A process that runs the embedded server of `directory`, and the server's pid."""
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(directory)], stdout=subprocess.PIPE)
    return starter, int(starter.stdout.readline())


def test_what_was_written_is_there_after_a_restart(tmp_path):
    with embedded.start(tmp_path / "valkey") as server:
        client_of(server).set("k", "v")
        assert client_of(server).info("persistence")["aof_enabled"] == 1
    assert birth_of(server.process.pid) == ""
    with embedded.start(tmp_path / "valkey") as server:
        assert client_of(server).get("k") == b"v"


def test_only_the_owner_may_enter_and_no_port_is_open(tmp_path):
    with embedded.start(tmp_path / "valkey") as server:
        assert (tmp_path / "valkey").stat().st_mode & 0o077 == 0
        assert client_of(server).config_get("port") == {"port": "0"}


def test_a_path_with_spaces_works(tmp_path):
    with embedded.start(tmp_path / "two words") as server:
        assert client_of(server).ping()


def test_a_long_path_gets_its_socket_elsewhere(tmp_path):
    deep = tmp_path / ("d" * 100) / "valkey"
    with embedded.start(deep) as server:
        assert len(str(server.socket)) <= embedded.LONGEST_SOCKET_PATH
        assert server.socket.parent.stat().st_mode & 0o077 == 0
        assert client_of(server).config_get("dir")["dir"] == str(deep)
    assert not server.socket.parent.exists()


def test_it_ends_when_its_starter_is_killed(tmp_path):
    starter, pid = start_elsewhere(tmp_path / "valkey")
    assert birth_of(pid)
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    wait_until(lambda: not birth_of(pid), "the server to end")


def test_a_second_start_recovers_after_the_starter_was_killed(tmp_path):
    starter, pid = start_elsewhere(tmp_path / "valkey")
    redis_py.Redis(unix_socket_path=str(tmp_path / "valkey" / "valkey.sock")).set("k", "v")
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    with embedded.start(tmp_path / "valkey") as server:
        assert client_of(server).get("k") == b"v"
        assert not birth_of(pid)


def test_a_leftover_that_did_not_get_the_signal_is_ended(tmp_path):
    directory = tmp_path / "valkey"
    with embedded.start(directory):
        pass
    options = ["--port", "0", "--unixsocket", str(directory / "valkey.sock"), "--dir", str(directory)]
    leftover = subprocess.Popen([embedded.find_binary(), *options], stdout=subprocess.DEVNULL)
    (directory / "pid").write_text(f"{leftover.pid} {birth_of(leftover.pid)}\n")
    threading.Thread(target=leftover.wait, daemon=True).start()
    with embedded.start(directory) as server:
        wait_until(lambda: leftover.poll() is not None, "the leftover to end")
        assert client_of(server).ping()


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(tmp_path):
    (tmp_path / "valkey").mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "valkey" / "pid").write_text(f"{stranger.pid} 12345\n")
        with embedded.start(tmp_path / "valkey") as server:
            assert client_of(server).ping()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("garbage", ["", "x", "-1 0", "999999999", "1 "])
def test_a_pid_file_of_garbage_does_no_harm(tmp_path, garbage):
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "pid").write_text(garbage)
    with embedded.start(tmp_path / "valkey") as server:
        assert client_of(server).ping()


def test_a_second_console_on_the_same_directory_is_refused_in_words(tmp_path):
    with embedded.start(tmp_path / "valkey") as server:
        with pytest.raises(embedded.StartFailed, match="Another console already runs"):
            embedded.start(tmp_path / "valkey")
        assert client_of(server).ping()


def test_a_refused_setting_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(embedded.StartFailed, match="did not start: .*allkeys-lru"):
        embedded.start(tmp_path / "valkey", settings={"maxmemory-policy": "sometimes"})
    with embedded.start(tmp_path / "valkey") as server:
        assert client_of(server).ping()


def test_a_broken_aof_is_told(tmp_path):
    with embedded.start(tmp_path / "valkey") as server:
        client_of(server).set("k", "v")
    for part in (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof"):
        part.write_bytes(b"this is not a protocol\r\n" * 10)
    with pytest.raises(embedded.StartFailed, match="did not start: .*Bad file format"):
        embedded.start(tmp_path / "valkey")


def test_a_server_started_by_a_thread_outlives_the_thread(tmp_path):
    started: list[embedded.EmbeddedServer] = []
    thread = threading.Thread(target=lambda: started.append(embedded.start(tmp_path / "valkey")))
    thread.start()
    thread.join()
    with started[0] as server:
        assert client_of(server).ping()
        assert os.getsid(server.process.pid) != os.getsid(0)


def test_data_are_given_back_after_kill_9_of_the_server(tmp_path):
    with embedded.start(tmp_path / "valkey") as server:
        client = client_of(server)
        with client.pipeline(transaction=False) as pipe:
            for number in range(1000):
                pipe.set(f"k{number}", number)
            pipe.execute()
        server.process.kill()
        server.process.wait()
    with embedded.start(tmp_path / "valkey") as server:
        assert client_of(server).dbsize() == 1000
