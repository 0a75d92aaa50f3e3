"""The sample server that `serve` starts: filled once, topped up, moving, and started again when it goes."""

import redis as redis_py

from keyspace.embedded import socket_path
from keyspace.sample import server as sample_server
from keyspace.sample.server import SampleServer, start_sample
from tests.topologies import wait_until

KEYS = 2000


def start(directory, said: list[str], *, keys: int | None = KEYS) -> SampleServer:
    return start_sample(directory, socket=socket_path(directory), keys=keys, say=said.append)


def client_of(sample: SampleServer) -> "redis_py.Redis":
    return redis_py.Redis(unix_socket_path=str(sample.server.socket))


def test_it_is_filled_once_and_says_so(tmp_path):
    said: list[str] = []
    start(tmp_path / "valkey", said).stop()
    assert said == ["Filling the sample server with 2,000 keys ..."]
    sample = start(tmp_path / "valkey", said, keys=None)
    try:
        assert len(said) == 1
        assert sample.keys == KEYS
        assert 1900 < client_of(sample).dbsize() < 2100
    finally:
        sample.stop()


def test_an_emptied_server_is_filled_again(tmp_path):
    said: list[str] = []
    sample = start(tmp_path / "valkey", said)
    client_of(sample).flushdb()
    sample.ending.set()
    sample.threads[0].join()
    client_of(sample).flushdb()
    sample.stop()
    start(tmp_path / "valkey", said).stop()
    assert len(said) == 2


def test_more_keys_are_added_without_touching_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_server, "_WORTH_WAITING_FOR", 500)
    said: list[str] = []
    sample = start(tmp_path / "valkey", said)
    client_of(sample).set("mine", "kept")
    sample.stop()
    sample = start(tmp_path / "valkey", said, keys=5000)
    try:
        assert said[-1].startswith("Adding")
        assert client_of(sample).dbsize() > 4500
        assert client_of(sample).get("mine") == b"kept"
    finally:
        sample.stop()


def test_it_is_started_again_when_it_ends_and_traffic_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_server, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(sample_server, "_PAUSE_BEFORE_TOP_UP", 0.0)
    sample = start(tmp_path / "valkey", [])
    try:
        client_of(sample).set("mine", "kept")
        first = sample.server.process
        first.kill()
        wait_until(lambda: sample.server.process is not first, "a new Valkey")
        assert client_of(sample).get("mine") == b"kept"
        wait_until(lambda: client_of(sample).info("commandstats").get("cmdstat_publish"), "traffic")
    finally:
        sample.stop()
    assert sample.server.process.poll() is not None


def test_stopping_while_it_is_being_started_again_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_server, "_LOOK_SECONDS", 0.01)
    sample = start(tmp_path / "valkey", [])
    sample.server.process.kill()
    sample.stop()
    assert sample.server.process.poll() is not None
    assert not any(thread.is_alive() for thread in sample.threads)
