"""Bodies that are too large: refused before they are read, or read no further; and what is taken is what was."""

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from django.urls import reverse

from console.asgi import application
from tests.console.test_edits import hidden

pytestmark = pytest.mark.django_db(transaction=True)
MB = 1024 * 1024
NAME = b"k\xff"
EDIT = reverse("key_apply_edit", args=["test", 0, NAME, "string-upload"])
IMPORT = reverse("import", args=["test", 0])


class Sent:
    """A request whose body comes in pieces of a megabyte; `asked` counts those that were read."""

    def __init__(
        self, path: str, pieces: int, *, client: Any = None, length: int | None = None, **headers: str
    ) -> None:
        self.asked, self._left, self._pieces = 0, pieces, pieces
        cookies = (
            "; ".join(f"{name}={value.value}" for name, value in client.cookies.items()) if client else ""
        )
        told = {"host": "localhost", "cookie": cookies, "content-type": "application/octet-stream", **headers}
        told |= {} if length is None else {"content-length": str(length)}
        self.scope = {
            "type": "http", "method": "POST", "path": path, "query_string": b"", "root_path": "", "scheme": "http",
            "server": ("localhost", 80), "client": ("127.0.0.1", 1), "http_version": "1.1", "asgi": {"version": "3.0"},
            "headers": [(name.encode(), value.encode()) for name, value in told.items()],
        }  # fmt: skip
        self.answer, self.status, self._answered = b"", 0, asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._left:
            self._left -= 1
            self.asked += 1
            return {"type": "http.request", "body": b"x" * MB, "more_body": self._left > 0}
        await self._answered.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.answer += message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._answered.set()


def sent(*args: Any, **more: Any) -> Sent:
    async def run() -> Sent:
        one = Sent(*args, **more)
        await asyncio.wait_for(application(one.scope, one.receive, one.send), 60)
        return one

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "told"),
    [(EDIT, "67 MB"), (IMPORT, "68.7 GB"), ("/accounts/login/", "8 MB"), ("/nowhere/", "8 MB")],
)
def test_what_says_that_it_is_too_large_is_not_read(operator_client: Any, path: str, told: str) -> None:
    one = sent(path, 3, client=operator_client, length=100 * 1024 * MB)
    assert (one.status, one.asked) == (413, 0)
    assert f"larger than the {told} taken here" in one.answer.decode()


def test_a_form_of_htmx_gets_a_fragment(operator_client: Any) -> None:
    one = sent(EDIT, 1, client=operator_client, length=1024 * MB, **{"hx-request": "true"})
    assert one.status == 413 and "<html" not in one.answer.decode()


def test_what_does_not_say_how_large_it_is_is_read_no_further(operator_client: Any) -> None:
    one = sent(EDIT, 200, client=operator_client)
    assert one.status == 413 and 64 <= one.asked <= 67


def test_a_strangers_file_is_taken_nowhere(client: Any, server_row: Any) -> None:
    for path in (EDIT, IMPORT):
        one = sent(path, 50, client=client, length=50 * MB)
        assert (one.status, one.asked) == (413, 0) and "8 MB" in one.answer.decode()
        one = sent(path, 50)
        assert one.status == 413 and one.asked <= 10


def test_an_import_has_the_limit_of_its_setting(admin_client: Any, settings: Any) -> None:
    settings.BACKUP_UPLOAD_BYTES = 20 * MB
    assert sent(IMPORT, 1, client=admin_client, length=30 * MB).status == 413
    one = sent(IMPORT, 20, client=admin_client, length=20 * MB)
    assert one.asked == 20 and one.status == 403  # it is read, and has no token against forgery


def multipart(fields: dict[str, str], data: bytes) -> tuple[bytes, str]:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = "".join(parts) + '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def test_a_file_of_the_largest_size_is_taken_as_it_is(operator_client: Any, redis: Any) -> None:
    redis.set(NAME, "old")
    data = bytes(range(256)) * (4096 * 64)
    dialog = operator_client.get(reverse("key_edit", args=["test", 0, NAME, "string-upload"]))
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', dialog.content.decode())[1]  # type: ignore[index]
    body, kind = multipart({"seen": hidden(dialog), "csrfmiddlewaretoken": token}, data)

    class Whole(Sent):
        async def receive(self) -> dict[str, Any]:
            if self._left:
                at = (self._pieces - self._left) * MB
                self._left -= 1
                return {"type": "http.request", "body": body[at : at + MB], "more_body": self._left > 0}
            return await super().receive()

    async def run() -> Sent:
        one = Whole(
            EDIT, -(-len(body) // MB), client=operator_client, length=len(body), **{"content-type": kind}
        )  # fmt: skip
        await asyncio.wait_for(application(one.scope, one.receive, one.send), 120)
        return one

    one = asyncio.run(run())
    assert one.status in (200, 302), one.answer[-500:]
    assert redis.get(NAME) == data


@pytest.fixture
def port(transactional_db: None) -> Iterator[int]:
    """Of uvicorn, with the console in it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(30)


def test_a_server_answers_before_the_file_is_sent_and_the_connection_goes_on(port: int) -> None:
    """A browser that sends all of it nevertheless reads the answer, too."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as browser:
        for _ in range(2):
            head = f"POST {EDIT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {20 * MB}\r\n\r\n"
            browser.sendall(head.encode())
            answer = browser.recv(64 * 1024)
            assert answer.startswith(b"HTTP/1.1 413")
            length = int(re.search(rb"content-length: (\d+)", answer)[1])  # type: ignore[index]
            while len(answer.partition(b"\r\n\r\n")[2]) < length:
                answer += browser.recv(64 * 1024)
            browser.sendall(b"x" * (20 * MB))
