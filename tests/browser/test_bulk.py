"""Bulk work in a browser: from the filter of the keys page to the report of what was done, with a tab closed on the way."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection as database
from django.urls import reverse
from playwright.sync_api import Page, expect

from keyspace import job_worker
from keyspace.models import Job, Server


@pytest.fixture
def worker(console: Any) -> Iterator[None]:
    """Runs what waits, as the console's own worker does."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.1):
            for job_id in list(Job.objects.filter(state="waiting").values_list("pk", flat=True)):
                job_worker.run_job(job_id)
        database.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def fill(redis: Any, count: int = 2000) -> None:
    redis.mset({f"session:{number}": "x" * 20 for number in range(count)} | {"other": 1})


def test_from_the_filter_to_the_report(
    worker: None, signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    fill(redis, 60_000)  # a minute of work at this speed: it is not over before it is cancelled, however slow the machine
    page: Page = signed_in(admin)
    page.goto(console.url(reverse("keys", args=["test", 0]) + "?match=session:*"))
    page.get_by_text("Bulk", exact=True).click()
    page.get_by_role("link", name="Delete or change TTLs").click()
    expect(page.get_by_label("Pattern")).to_have_value("session:*")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text(re.compile(r"^60.000 keys$")).first).to_be_visible(timeout=30_000)
    button = page.get_by_role("button", name=re.compile("Delete 60.000 keys"))
    expect(button).to_be_disabled()
    page.get_by_label(re.compile("to confirm")).fill("59999")
    expect(button).to_be_disabled()
    page.get_by_label(re.compile("to confirm")).fill("60000")
    page.get_by_label("Speed").select_option("1000")
    button.click()
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.get_by_text(re.compile(r"/s"))).to_be_visible(timeout=30_000)
    page.goto("about:blank")  # a closed tab stops nothing
    page.wait_for_timeout(500)
    page.goto(console.url(reverse("jobs")))
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.get_by_text("cancelled")).to_be_visible(timeout=15_000)
    assert 1 < redis.dbsize() < 60_001
    page.get_by_role("link", name=re.compile("Delete 60000 keys")).click()
    expect(page.get_by_text(re.compile("in the trash"))).to_be_visible()


def test_ttl_with_jitter(
    worker: None, signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any
) -> None:
    fill(redis, 50)
    page: Page = signed_in(admin)
    page.goto(console.url(reverse("bulk", args=["test", 0]) + "?match=session:*"))
    page.get_by_role("button", name="Dry run").click()
    page.get_by_role("link", name="Set TTL").click(timeout=15_000)
    page.get_by_label("Duration").fill("1h")
    page.get_by_label("Jitter").fill("30m")
    page.get_by_role("button", name=re.compile("Set the TTL of 50 keys")).click()
    page.wait_for_url(re.compile("/jobs/"))
    expect(page.get_by_role("link", name="Report")).to_be_visible(timeout=30_000)
    assert {3500 < redis.ttl(f"session:{number}") <= 5400 for number in range(50)} == {True}
