"""Export and import in a browser: what one db had, another gets, with a preview between."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from keyspace.models import Server
from tests.browser.waiting import expect_no_wider

pytestmark = pytest.mark.django_db(transaction=True)


def choose(page: Page, file: Path) -> None:
    page.get_by_label("File").set_input_files(str(file))
    page.get_by_role("button", name="Preview").click()
    page.wait_for_url(re.compile("/import/.+"))


def test_what_was_exported_is_previewed_and_imported(
    worker: None,
    signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any, server: Any, tmp_path: Path,
) -> None:  # fmt: skip
    redis.hset(b"user:\xff", mapping={b"\x00": "1", "name": "Ana"})
    redis.set("user:2", "x", px=900_000)
    redis.set("other", "1")
    page: Page = signed_in(admin)
    page.goto(console.url(reverse("keys", args=["test", 0]) + "?match=user:*"))
    page.get_by_text("Bulk", exact=True).click()
    page.get_by_role("link", name="Export…").click()
    page.get_by_label("Form").select_option("lines")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download").click()
    file = tmp_path / "edited.jsonl"
    coming.value.save_as(file)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"{oops\n", *lines[1:]]))

    with server.client(db=1) as target:
        target.set("user:2", "newer")
        page.goto(console.url(reverse("keys", args=["test", 1])))
        page.get_by_text("Bulk", exact=True).click()
        page.get_by_role("link", name="Import…").click()
        choose(page, file)
        found = page.get_by_label("What was found")
        expect(found).to_contain_text("Exported from test")
        expect(found.get_by_role("row").nth(1)).to_contain_text(re.compile(r"^\s*2\s*"))
        page.get_by_label("Keys that are there already").select_option("different")
        page.get_by_role("button", name="Import", exact=True).click()
        page.wait_for_url(re.compile("/jobs/"))
        expect(page.locator("#_job")).to_contain_text("kept in the trash")
        assert target.hgetall(b"user:\xff") == {b"\x00": b"1", b"name": b"Ana"}
        assert target.get("user:2") == b"x" and 0 < target.pttl("user:2") <= 900_000
        page.get_by_role("link", name="trash", exact=True).click()
        expect(page.locator("#_list")).to_contain_text("user:2")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_fit_390_pixels_and_say_what_is_wrong(
    worker: None,
    signed_in: Any, console: Any, admin: Any, server_row: Server, redis: Any, tmp_path: Path, theme: str,
) -> None:  # fmt: skip
    page: Page = signed_in(admin)
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.set_viewport_size({"width": 390, "height": 844})
    wrong, cut = tmp_path / "dump.rdb", tmp_path / "cut.jsonl"
    wrong.write_bytes(b"REDIS0011")
    cut.write_bytes(b'{"db":0,"name":"a","type":"string","expires":null,"part":0,"last":true,"value":"1"}\n')
    page.goto(console.url(reverse("import", args=["test", 0])))
    page.get_by_label("File").set_input_files(str(wrong))
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#id_file_error")).to_contain_text("an RDB goes to the Backups page")
    choose(page, cut)
    expect(page.get_by_label("What was found")).to_contain_text("the file may be cut off")
    expect_no_wider(page, 390)
