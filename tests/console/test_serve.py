"""`manage.py serve` as a person meets it: what it prints, what it starts, and that nothing is left when it ends."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import redis as redis_py

from keyspace.children import birth_of
from tests.servers import free_port
from tests.topologies import wait_until

ROOT = Path(__file__).parents[2]
PASSWORD = re.compile(r"(admin|operator|viewer) +(\w{6}-\w{6}-\w{6})")


class Serving:
    """A console of its own process and data directory."""

    def __init__(self, data: Path, **more: str) -> None:
        self.data, self.port = data, int(more.get("PORT", free_port()))
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("CONSOLE_", "REDIS_"))
        }
        more = {"KEYS": "2000", "PORT": str(self.port), "CONSOLE_DATA_DIR": str(data), **more}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=clean | {"DJANGO_SETTINGS_MODULE": "console.settings"} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_start(self) -> str:
        """What it prints until it serves."""
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                return "".join(lines)
        raise AssertionError(f"it ended: {''.join(lines)}{self.process.stderr.read()}")

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def valkey(self) -> int:
        return int((self.data / "valkey" / "pid").read_text().split()[0])

    def redis(self) -> "redis_py.Redis":
        return redis_py.Redis(unix_socket_path=str(self.data / "valkey" / "valkey.sock"))

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        return self.ask("GET", path, None, **headers)

    def ask(self, method: str, path: str, body: str | None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        return connection.getresponse()

    def sign_in(self, name: str, password: str) -> http.client.HTTPResponse:
        page = self.get("/accounts/login/")
        cookie = page.getheader("Set-Cookie").split(";")[0]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())[1]
        form = urlencode({"login": name, "password": password, "csrfmiddlewaretoken": token})
        kind = "application/x-www-form-urlencoded"
        return self.ask("POST", "/accounts/login/", form, Cookie=cookie, Content_Type=kind)


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable[..., Serving]]:
    started: list[Serving] = []

    def start(**more: str) -> Serving:
        started.append(Serving(tmp_path / "data", **more))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_first_start_says_where_and_how_to_sign_in_and_it_is_true(serve):
    console = serve()
    printed = console.read_start()
    assert f"http://127.0.0.1:{console.port}" in printed
    assert "SAMPLE DATA" in printed
    passwords = dict(PASSWORD.findall(printed))
    assert passwords.keys() == {"admin", "operator", "viewer"}
    assert console.get("/healthz").status == 200
    assert console.redis().dbsize() > 1900
    for name, password in passwords.items():
        assert console.sign_in(name, password).status == 302
    assert console.sign_in("admin", "not the password").status == 200


def test_second_start_prints_no_password_and_keeps_what_was_changed(serve):
    first = serve()
    first.read_start()
    first.redis().set("mine", "kept")
    assert first.end() == 0
    second = serve(KEYS="")
    assert not PASSWORD.search(second.read_start())
    assert second.redis().get("mine") == b"kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_with_all_it_started(serve, number):
    console = serve()
    console.read_start()
    valkey, began = console.valkey(), time.monotonic()
    assert console.end(number) == 0
    assert time.monotonic() - began < 20
    assert not birth_of(valkey)
    assert console.process.stderr.read().count("Traceback") == 0


def test_kill_9_leaves_no_valkey_and_the_next_start_recovers(serve):
    first = serve()
    first.read_start()
    first.redis().set("mine", "kept")
    valkey = first.valkey()
    first.end(signal.SIGKILL)
    wait_until(lambda: not birth_of(valkey), "the Valkey to end")
    second = serve()
    second.read_start()
    assert second.redis().get("mine") == b"kept"


def test_interrupted_filling_is_done_anew(serve):
    first = serve(KEYS="300000")
    for line in first.process.stdout:
        if line.startswith("Filling"):
            break
    assert first.end() == 0
    assert not (first.data / "valkey" / "filled").exists()
    second = serve()
    assert "Filling" in second.read_start()
    assert 1900 < second.redis().dbsize() < 2200


def test_a_taken_port_is_one_sentence_before_anything_is_started(serve, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        console = serve(PORT=str(taken.getsockname()[1]))
        printed, complaint = console.process.communicate(timeout=90)
    assert console.process.returncode == 1
    assert printed == ""
    assert re.fullmatch(r"Port \d+ on 127\.0\.0\.1 is taken by another program: .*\.\n", complaint)
    assert not (tmp_path / "data" / "valkey").exists()
    assert not (tmp_path / "data" / "console.sqlite3").exists()


def test_a_second_console_on_the_same_data_is_refused_and_does_no_harm(serve):
    first = serve()
    first.read_start()
    second = serve()
    _, complaint = second.process.communicate(timeout=90)
    assert second.process.returncode == 1
    assert complaint.startswith("Another console already runs the Valkey of")
    assert first.redis().ping()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"KEYS": "many"}, "KEYS must be a number"),
        ({"PORT": "99999"}, "PORT must be a number from 1 to 65535"),
        ({"HOST": "nowhere.invalid"}, "HOST=nowhere.invalid is not an address"),
        ({"CONSOLE_SERVERS": "/nowhere.toml"}, "CONSOLE_SERVERS: /nowhere.toml cannot be read"),
        ({"DATABASE_URL": "sqlite:////nowhere/a.db"}, "The console's database cannot be used"),
    ],
)
def test_bad_settings_are_one_sentence(serve, more, sentence):
    console = serve(**more)
    _, complaint = console.process.communicate(timeout=90)
    assert console.process.returncode == 1
    assert complaint.startswith(sentence)
    assert "Traceback" not in complaint


def test_a_configured_server_gets_no_write_and_no_sample(serve, new_server, tmp_path):
    real = new_server("valkey9")
    real.client().set("theirs", "untouched")
    real.client().config_resetstat()
    console = serve(REDIS_HOST=real.host, REDIS_PORT=str(real.port))
    printed = console.read_start()
    assert "SAMPLE" not in printed
    assert [name for name, _ in PASSWORD.findall(printed)] == ["admin"]
    console.get("/readyz").read()
    time.sleep(3)
    assert not (tmp_path / "data" / "valkey").exists()
    calls = {name.removeprefix("cmdstat_") for name in real.client().info("commandstats")}
    assert not calls & {"set", "del", "hset", "publish", "flushall", "evalsha", "config|set", "client|kill"}
    assert real.client().keys() == [b"theirs"]
