"""The audit in Chromium: search, open an entry, go to the trash from it, take along what was found, verify."""

import json

import pytest
from playwright.sync_api import expect

from keyspace import ttl
from keyspace.audit_chain import Broken
from keyspace.audit_check import note_broken, verify_some
from keyspace.deleting import delete_keys
from keyspace.models import AuditEntry, TrashEntry


@pytest.fixture
def done(redis, connection_as):
    """A TTL was set, and a key deleted."""
    operator = connection_as("operator")
    for name in (b"session:1", b"session:\xff2", b"other"):
        redis.set(name, b"value " * 20)
    ttl.set_ttl(operator, b"other", seen=None, ttl=60_000)
    delete_keys(operator, names=[b"session:\xff2"])
    verify_some()
    return TrashEntry.objects.get()


def test_search_open_an_entry_go_to_the_trash_and_export(done, redis, admin, signed_in, console):
    page = signed_in(admin)
    page.goto(console.url("/audit/"))
    expect(page.locator(".audit-chain")).to_contain_text("whole")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Key, or a pattern of keys").fill(r"session:\xff*")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**/audit/?key=session%3A%5Cxff*")
    expect(page.locator("tbody tr")).to_have_count(1)

    page.locator("tbody tr .row-link").click()
    expect(page.get_by_role("heading", name="delete_keys")).to_be_visible()
    expect(page.locator(".panels")).to_contain_text("120")
    expect(page.locator(".panels")).to_contain_text("verified with the chain")
    page.get_by_role("link", name="trash").last.click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text(r"session:\xff2")
    dialog.get_by_role("button", name="Restore").click()
    expect(dialog).not_to_be_visible()
    assert redis.get(b"session:\xff2") == b"value " * 20

    page.locator(".crumb").click()
    page.wait_for_url("**/audit/?key=session%3A%5Cxff*")
    page.get_by_text("Export", exact=True).click()
    with page.expect_download() as file:
        page.get_by_role("link", name="As JSON Lines").click()
    lines = [json.loads(line) for line in file.value.path().read_text().splitlines()]
    assert [line["operation"] for line in lines] == ["delete_keys", "restore_key"]
    assert AuditEntry.objects.filter(operation="export_entries", outcome="done").exists()


def test_a_search_between_local_times(done, admin, browser, console, signed_in):
    page = signed_in(admin)
    page.goto(console.url("/audit/?since=2020-01-01T10:00&until=2020-01-01T12:00&offset=-60"))
    there = page.evaluate("new Date(Date.UTC(2020, 0, 1, 9)).getHours()")
    expect(page.locator("input[name=since]")).to_have_value(f"2020-01-01T{there:02}:00")
    expect(page.get_by_text("No entry is like that.")).to_be_visible()
    page.get_by_role("link", name="Last hour").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_who_reads_the_audit_hears_on_every_page_that_it_is_broken(done, admin, signed_in, console):
    note_broken(Broken(1, "Entry 1 was changed after it was written."), "a test")
    page = signed_in(admin)
    expect(page.get_by_role("alert")).to_contain_text("Entry 1 was changed")
    page.get_by_role("alert").get_by_role("link").click()
    expect(page.locator(".audit-chain")).to_contain_text("broken")
