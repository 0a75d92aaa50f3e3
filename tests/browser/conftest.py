"""Chromium on a console under uvicorn, with the test's own database file and real servers.

console     the running console: `console.url(path)`
browser     one Chromium a session
page        a fresh page; a script error, a refused resource or a broken policy fails the test
signed_in   `signed_in(user)` signs in through the form and gives the page
"""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from tests.people import *  # noqa: F403
from tests.people import PASSWORD, _audit_lets_the_flush_through, _nothing_known_of_servers  # noqa: F401

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
    "true"  # Playwright's loop runs in the thread of the test, where the ORM is used as well
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXPECTED = (
    "status of 4",
    "status of 5",
    "net::ERR_",
    "WebSocket connection",
    "Response Status Error Code",
    # what htmx logs of a request that nothing answered, or that was given up
    "htmx:afterRequest",
    "htmx:send",
)


class Console:
    """uvicorn in a thread, as `manage.py serve` configures it."""

    def __init__(self) -> None:
        from console.asgi import application

        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.server = uvicorn.Server(
            uvicorn.Config(application, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )
        self.thread = threading.Thread(target=lambda: self.server.run(sockets=[self.socket]), daemon=True)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        self.thread.start()
        deadline = time.monotonic() + 10
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def console(transactional_db: None, settings: Any) -> Iterator[Console]:
    running = Console()
    settings.CSRF_TRUSTED_ORIGINS = [running.url("")]
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1440, "height": 860}, permissions=["clipboard-read", "clipboard-write"]
    )
    context.set_default_timeout(8000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on(
        "console",
        lambda said: (
            wrong.append(said.text)
            if said.type == "error" and not any(each in said.text for each in EXPECTED)
            else None
        ),
    )
    yield page
    context.close()
    assert wrong == []


@pytest.fixture
def signed_in(console: Console, page: Page) -> Callable[[Any], Page]:
    def sign_in(user: Any) -> Page:
        page.goto(console.url("/accounts/login/"))
        page.get_by_label("User name").fill(user.username)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(console.url("/"))
        return page

    return sign_in
