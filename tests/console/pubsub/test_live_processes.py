"""Two console processes on one database and one channel layer: revocation crosses, the stream does not."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from keyspace.models import Grant, LiveUse
from keyspace.pubsub.limits import recordings_directory
from keyspace.pubsub.recording_file import read_header
from keyspace.pubsub.uses import GONE_AFTER
from tests.console.pubsub.conftest import PATIENCE
from tests.people import sign_in
from tests.servers import RunningServer, free_port
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Process:
    """A console under uvicorn, on the test's database."""

    def __init__(self, layer: RunningServer) -> None:
        self.port = free_port()
        environ = os.environ | {
            "CONSOLE_DATA_DIR": str(django_settings.DATA_DIR), "DJANGO_SETTINGS_MODULE": "console.settings",
            "DATABASE_URL": _database(), "CONSOLE_CHANNELS_URL": layer.url, "PORT": str(self.port), "CONSOLE_LIVE_RECHECK_SECONDS": "15",
            "CONSOLE_LIVE_SOCKETS_PER_PERSON": "3", "CONSOLE_LIVE_RECORDINGS_PER_PERSON": "1",
        }  # fmt: skip
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "console.asgi:application",
            "--port",
            str(self.port),
            "--log-level",
            "error",
        ]
        self.process = subprocess.Popen(command, env=environ)
        self.sockets = ExitStack()

    def wait(self) -> None:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5).read()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.05)

    def open(self, cookie: str) -> ClientConnection:
        return self.sockets.enter_context(connect(
            f"ws://127.0.0.1:{self.port}/servers/test/live/", origin=f"http://127.0.0.1:{self.port}",  # type: ignore[arg-type]
            additional_headers={"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={cookie}"},
        ))  # fmt: skip

    def watch(self, cookie: str, channel: str) -> ClientConnection:
        """A socket on which `channel` is subscribed."""
        live = self.open(cookie)
        live.send(json.dumps({"op": "watch", "subscriptions": [["channel", channel]]}))
        until(live, lambda frame: frame["t"] == "subscriptions" and frame["state"] and frame["state"][0][2])
        return live

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.sockets.close()


def _database() -> str:
    facts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{facts['NAME']}"
    if facts["HOST"].startswith("/"):  # the directory of a socket
        return f"postgres://{facts['USER']}@/{facts['HOST']}/{facts['NAME']}"
    return f"postgres://{facts['USER']}:{facts['PASSWORD']}@{facts['HOST']}:{facts['PORT'] or 5432}/{facts['NAME']}"


def until(live: ClientConnection, fits: Any) -> dict[str, Any]:
    while True:
        frame = json.loads(live.recv(timeout=PATIENCE))
        if fits(frame):
            return frame


@pytest.fixture
def processes(transactional_db: None, new_server: Any) -> Iterator[tuple[Process, Process, RunningServer]]:
    layer = new_server()
    both = Process(layer), Process(layer)
    try:
        for one in both:
            one.wait()
        yield *both, layer
    finally:
        for one in both:
            one.stop()


def cookie_of(user: Any) -> str:
    return sign_in(user).cookies[django_settings.SESSION_COOKIE_NAME].value


def test_two_processes_are_one_console(
    processes: Any, viewer: Any, admin: Any, server: RunningServer
) -> None:
    first, second, layer = processes
    lives = [process.watch(cookie_of(viewer), "a") for process in (first, second)]
    redis = server.client()
    assert redis.execute_command("PUBSUB", "NUMSUB", "a")[1] == 2
    before = layer.client().info("stats")["total_net_input_bytes"]
    redis.publish("a", b"x" * 1_000_000)
    for live in lives:
        assert until(live, lambda frame: frame["t"] == "batch")["big"][0][1] == 1_000_000
    assert layer.client().info("stats")["total_net_input_bytes"] - before < 10_000

    grant = Grant.objects.get(user=viewer)
    answer = _post(second, cookie_of(admin), f"/access/grants/{grant.pk}/remove/")
    assert answer in (200, 302)
    for live in lives:
        assert "no server test for you" in until(live, lambda frame: frame["t"] == "end")["sentence"]
        with pytest.raises(ConnectionClosed):
            live.recv(timeout=PATIENCE)
        assert live.close_code == 4403


def test_a_console_that_stops_says_that_it_comes_back(processes: Any, viewer: Any) -> None:
    first, second, _ = processes
    live, other = first.watch(cookie_of(viewer), "a"), second.watch(cookie_of(viewer), "a")
    first.stop()
    with pytest.raises(ConnectionClosed):
        until(live, lambda frame: False)
    assert live.close_code == 1012
    other.send(json.dumps({"op": "watch", "subscriptions": []}))
    until(other, lambda frame: frame["t"] == "watching")


def test_views_of_a_person_are_counted_in_all_processes(processes: Any, viewer: Any) -> None:
    first, second, _ = processes
    cookie = cookie_of(viewer)
    first.watch(cookie, "a"), first.watch(cookie, "a")
    last = second.watch(cookie, "a")
    refused = second.open(cookie)
    assert "3 live views open already" in until(refused, lambda frame: frame["t"] == "end")["sentence"]
    with pytest.raises(ConnectionClosed):
        refused.recv(timeout=PATIENCE)
    assert refused.close_code == 4429
    last.close()
    wait_until(lambda: LiveUse.objects.count() == 2, "the place to be free")
    first.watch(cookie, "a")


def record(live: ClientConnection) -> str:
    live.send(json.dumps({"op": "record"}))
    return str(until(live, lambda frame: frame["t"] == "recording")["id"])


def test_a_recording_is_stopped_from_another_process(
    processes: Any, viewer: Any, server: RunningServer
) -> None:
    first, second, _ = processes
    cookie = cookie_of(viewer)
    live = first.watch(cookie, "a")
    number = record(live)
    other = second.watch(cookie, "a")
    other.send(json.dumps({"op": "record"}))
    problem = until(other, lambda frame: frame["t"] == "problem")
    assert "1 recordings running already" in problem["sentence"]
    server.client().publish("a", "kept")
    until(live, lambda frame: frame["t"] == "batch")
    assert _post(second, cookie, f"/servers/test/pubsub/recordings/{number}/stop/") == 200
    ended = until(live, lambda frame: frame["t"] == "recording")
    assert (ended["state"], ended["why"], ended["messages"]) == ("finished", "it was stopped", 1)
    again = record(other)
    other.send(json.dumps({"op": "stop_recording", "id": again}))
    assert until(other, lambda frame: frame["t"] == "recording")["state"] == "finished"


def test_a_recording_of_a_killed_process_is_interrupted_and_can_be_deleted(
    processes: Any, viewer: Any, server: RunningServer
) -> None:
    first, second, _ = processes
    cookie = cookie_of(viewer)
    live = first.watch(cookie, "a")
    number = record(live)
    server.client().publish("a", "kept")
    until(live, lambda frame: frame["t"] == "batch")
    path = recordings_directory() / f"{number}.json"
    wait_until(lambda: read_header(path).messages == 1, "its header, which is written once a second")
    first.process.kill()
    first.process.wait()
    stop, delete = (f"/servers/test/pubsub/recordings/{number}/{verb}/" for verb in ("stop", "delete"))
    assert _post(second, cookie, delete) == 409  # nobody can know yet that it is dead
    LiveUse.objects.update(seen_at=timezone.now() - timedelta(seconds=GONE_AFTER + 1))
    assert _post(second, cookie, stop) == 200
    header = read_header(path)
    assert (header.state, header.messages) == ("interrupted", 1)
    assert _post(second, cookie, delete) == 200
    record(second.watch(cookie, "a"))


def _post(process: Process, cookie: str, path: str) -> int:
    """A form sent by a signed-in browser, with the token of its own page."""
    base = f"http://127.0.0.1:{process.port}"
    token = "x" * 32
    headers = {
        "Cookie": f"{django_settings.SESSION_COOKIE_NAME}={cookie}; {django_settings.CSRF_COOKIE_NAME}={token}",
        "X-CSRFToken": token, "Origin": base,
    }  # fmt: skip
    request = urllib.request.Request(f"{base}{path}", data=b"", headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
