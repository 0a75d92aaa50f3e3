"""Chromium on a console under uvicorn, with the test's own database file and real servers.

console     the running console: `console.url(path)`
browser     one Chromium a session
page        a fresh page; a script error, a refused resource or a broken policy fails the test
new_page    `new_page()`: another person's page, with cookies of its own
signed_in   `signed_in(user)` signs in through the form and gives the page
worker      runs the jobs that wait, beside the test

Whatever comes of an act is waited for, never looked at once: `expect(...)` for what a page shows, `until(...)` of `waiting.py`
for the rest. A test that fails says what its pages showed then (`telling.py`).
"""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.core.cache import cache
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from keyspace import job_worker
from keyspace.backups import opening
from keyspace.models import Job, OpenBackup
from tests.browser.telling import listen, tell
from tests.browser.waiting import PATIENCE_MS
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
MINUTES_A_TEST = 5
UNHURRIED = (Path(__file__).parent / "unhurried.js").read_text()
expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(MINUTES_A_TEST * 60))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    report = yield
    if report.failed and report.when != "teardown":
        report.sections += [("the page", text) for text in tell()]
    return report


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
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not self.server.started:
            assert time.monotonic() < deadline, "the console did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(PATIENCE_MS / 1000)
        assert not self.thread.is_alive(), "the console did not stop"


@pytest.fixture
def console(transactional_db: None, settings: Any) -> Iterator[Console]:
    running = Console()
    settings.CSRF_TRUSTED_ORIGINS = [running.url("")]
    running.start()
    yield running
    running.stop()


@pytest.fixture
def worker(console: Console) -> Iterator[None]:
    """The console's own; what a test leaves unfinished ends with it."""
    running = job_worker.start_worker(threads=2)
    yield
    running.stop()
    Job.objects.filter(finished_at=None).update(wants_cancel=True)
    running.join()
    for opened in OpenBackup.objects.all():
        opening.close(opened)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=FLAGS)


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[[], Page]]:
    opened: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page() -> Page:
        context = browser.new_context(
            viewport={"width": 1440, "height": 860},
            permissions=["clipboard-read", "clipboard-write"],
            reduced_motion="reduce",  # no colour or place is looked at on its way
        )
        opened.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(UNHURRIED)
        listen(context, wrong)
        return context.new_page()

    yield open_page
    for context in opened:
        context.close()
    assert wrong == []


@pytest.fixture
def page(new_page: Callable[[], Page]) -> Page:
    return new_page()


def sign_in_at(console: Console, page: Page, user: Any) -> None:
    cache.clear()  # all tests come from one address: on a fast machine they sign in more often than one may in a minute
    page.goto(console.url("/accounts/login/"))
    page.get_by_label("User name").fill(user.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(console.url("/"))


@pytest.fixture
def signed_in(console: Console, page: Page) -> Callable[[Any], Page]:
    def sign_in(user: Any) -> Page:
        sign_in_at(console, page, user)
        return page

    return sign_in
