"""Two console processes on one database and one channel layer: revocation crosses, the stream does not."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from keyspace.models import Grant
from tests.people import sign_in
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)


class Process:
    """A console under uvicorn, on the test's database."""

    def __init__(self, layer: RunningServer) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environ = os.environ | {
            "CONSOLE_DATA_DIR": str(django_settings.DATA_DIR), "DJANGO_SETTINGS_MODULE": "console.settings",
            "DATABASE_URL": _database(), "CONSOLE_CHANNELS_URL": layer.url, "PORT": str(self.port), "CONSOLE_LIVE_RECHECK_SECONDS": "15",
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
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5).read()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.05)

    def watch(self, cookie: str, channel: str) -> ClientConnection:
        """A socket on which `channel` is subscribed."""
        live = self.sockets.enter_context(connect(
            f"ws://127.0.0.1:{self.port}/servers/test/live/", origin=f"http://127.0.0.1:{self.port}",  # type: ignore[arg-type]
            additional_headers={"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={cookie}"},
        ))  # fmt: skip
        live.send(json.dumps({"op": "watch", "subscriptions": [["channel", channel]]}))
        until(live, lambda frame: frame["t"] == "subscriptions" and frame["state"] and frame["state"][0][2])
        return live

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.sockets.close()


def _database() -> str:
    facts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{facts['NAME']}"
    return f"postgres://{facts['USER']}:{facts['PASSWORD']}@{facts['HOST']}:{facts['PORT'] or 5432}/{facts['NAME']}"


def until(live: ClientConnection, fits: Any) -> dict[str, Any]:
    while True:
        frame = json.loads(live.recv(timeout=10))
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
            live.recv(timeout=10)
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
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
