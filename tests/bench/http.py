"""Pages over HTTP, from a console process of its own."""

import http.client
import itertools
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from tests.bench.measure import Figures, compare, figure
from tests.servers import RunningServer

BIG = 1_000_000
EDITED = 50
"""Fields of the hash whose fields are set, one a turn; a page shows as many."""


class Console:
    """A console under uvicorn on loopback, with a signed-in admin."""

    def __init__(self, environ: dict[str, str], cookie: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.csrf = secrets.token_hex(16)
        self.headers = {"Cookie": f"keyspace_session={cookie}", "Host": f"127.0.0.1:{self.port}"}
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "console.asgi:application",
            "--port",
            str(self.port),
            "--log-level",
            "error",
            "--timeout-keep-alive",
            "600",
        ]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command, env=os.environ | environ | {"PORT": str(self.port)}, stderr=subprocess.DEVNULL
        )
        self.http = http.client.HTTPConnection("127.0.0.1", self.port)
        while not self._answers():
            time.sleep(0.02)
        self.cold_start = time.perf_counter() - began

    def _answers(self) -> bool:
        try:
            self.http.request("GET", "/healthz")
            return self.http.getresponse().read() is not None
        except OSError:
            self.http.close()
            return False

    def get(self, path: str) -> bytes:
        self.http.request("GET", path, headers=self.headers)
        answer = self.http.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, answer.getheader("Location"))
        return body

    def post(self, path: str, sent: dict[str, str]) -> None:
        """A form as htmx sends it."""
        headers = self.headers | {"Content-Type": "application/x-www-form-urlencoded", "HX-Request": "true"}
        headers |= {"Cookie": f"{headers['Cookie']}; keyspace_csrf={self.csrf}", "X-CSRFToken": self.csrf}
        self.http.request("POST", path, body=urlencode(sent), headers=headers)
        answer = self.http.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:500])

    def page(self, path: str) -> Callable[[], bytes]:
        return lambda: self.get(path)

    def memory_mb(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def fill_giants(server: RunningServer) -> dict[str, tuple[bytes, bytes]]:
    """type -> (name of a giant, name of a small one), in db 1."""
    client = server.client(db=1)
    for size, name in ((BIG, b"big"), (10, b"small")):
        for start in range(0, size, 10_000):
            pipe = client.pipeline(transaction=False)
            part = range(start, min(size, start + 10_000))
            pipe.hset(b"hash:" + name, mapping={f"field:{at}": f"value {at}" for at in part})
            pipe.zadd(b"zset:" + name, {f"member:{at}": at for at in part})
            pipe.rpush(b"list:" + name, *[f"element {at}" for at in part])
            pipe.sadd(b"set:" + name, *[f"member:{at}" for at in part])
            for at in part:
                pipe.xadd(b"stream:" + name, {"field": f"value {at}"})
            pipe.execute()
    client.hset("edited", mapping={f"field:{at}": f"value {at}" for at in range(EDITED)})
    client.set(b"string:big", os.urandom(1024) * (64 * 1024))
    client.set(b"string:small", os.urandom(64 * 1024))
    return {
        kind: (f"{kind}:big".encode(), f"{kind}:small".encode())
        for kind in ("hash", "zset", "list", "set", "stream", "string")
    }


def run(console: Console, *, large: str, small: str, giants: dict[str, tuple[bytes, bytes]]) -> Figures:
    """`large` and `small` are servers of a million and of ten thousand keys."""
    from keyspace.encoding import key_id

    figures: Figures = {
        "cold_start": figure(console.cold_start, None, "s"),
        "idle_memory": figure(console.memory_mb(), None, "MB"),
    }
    keys_page = f"/servers/{large}/0/keys/?view=list"
    figures |= compare(
        "browse_flat",
        console.page(keys_page),
        console.page(f"/servers/{small}/0/keys/?view=list"),
        runs=41,
        unit="ms",
    )
    figures |= compare("page_http", console.page(keys_page), console.page("/access/"), runs=41, unit="ms")
    for kind, (big, little) in giants.items():
        pages = [console.page(f"/servers/{large}/1/keys/{key_id(name)}/") for name in (big, little)]
        figures |= compare(f"big_open_{kind}", pages[0], pages[1], runs=31, unit="ms")
    worst = max(
        (name for name in figures if name.startswith("big_open_")), key=lambda name: figures[name]["ratio"]
    )
    figures["big_open"] = dict(figures[worst])
    key = f"/servers/{large}/1/keys/{key_id(b'edited')}/"
    figures |= compare("edit_http", edits_of_fields(console, key), console.page(key), runs=41, unit="ms")
    times = sorted(_timed(console, keys_page) for _ in range(50))
    figures["requests_per_second"] = figure(1 / statistics.median(times), None, "1/s")
    return figures


def edits_of_fields(console: Console, key: str) -> Callable[[], None]:
    """Each call sets one field more as a person does: the dialog is opened, and what was typed is sent."""
    from keyspace.encoding import key_id

    numbers = itertools.count()

    def edit() -> None:
        number = next(numbers) % EDITED
        of = f"?element={key_id(f'field:{number}'.encode())}"
        seen = re.search(r'name="seen" value="([^"]+)"', console.get(f"{key}edit/hash-set/{of}").decode())
        assert seen is not None
        sent = {"seen": seen[1], "value": secrets.token_hex(8), "using": "text"}
        console.post(f"{key}apply_edit/hash-set/{of}", sent)

    return edit


def _timed(console: Console, path: str) -> float:
    began = time.perf_counter()
    console.get(path)
    return time.perf_counter() - began
