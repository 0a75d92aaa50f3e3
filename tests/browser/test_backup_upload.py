"""Uploading a backup in a real browser: the network breaks, the tab is closed, the same file goes on from where it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from keyspace.backups import store, uploads
from keyspace.models import Backup
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def dump(server: RunningServer, redis: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An RDB of about 2 MB, which goes in pieces of 200 kB."""
    monkeypatch.setattr(uploads, "PIECE_BYTES", 200_000)
    redis.config_set("rdbcompression", "no")
    redis.execute_command("DEBUG", "POPULATE", 20_000, "key", 80)
    redis.config_set("dbfilename", "upload.rdb")
    redis.save()
    return server.directory / "upload.rdb"


def choose(page: Page, console: Any, file: Path) -> None:
    page.goto(console.url("/servers/test/backups/"))
    page.locator(".page-head details.menu summary").click()
    page.get_by_role("button", name="Upload a file…").click()
    page.get_by_label("File").set_input_files(file)


def test_an_upload_goes_on_after_the_network_and_the_tab_broke(
    worker: None, dump: Path, admin: Any, server_row: Any, console: Any, signed_in: Callable[[Any], Page]
) -> None:
    page = signed_in(admin)
    choose(page, console, dump)
    sent: list[str] = []

    def break_the_third(route: Route) -> None:
        if route.request.method == "PUT":
            sent.append(route.request.url.rpartition("at=")[2])
            if len(sent) == 3:
                route.abort("connectionreset")
                return
            if len(sent) == 6:
                route.abort("connectionreset")
                page.context.set_offline(True)
                return
        route.continue_()

    page.route("**/uploads/**", break_the_third)
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()
    # One broken piece is sent again by itself; then the network goes for good, and with it the tab.
    expect(page.get_by_text("it goes on by itself")).to_be_visible()
    page.wait_for_function("() => !navigator.onLine")
    assert sent[:6] == ["0", "200000", "400000", "400000", "600000", "800000"]
    page.goto("about:blank")
    page.unroute("**/uploads/**")
    page.context.set_offline(False)

    choose(page, console, dump)
    again: list[str] = []
    page.on("request", lambda request: again.append(request.url) if request.method == "PUT" else None)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url("**/jobs/*/")
    expect(page.get_by_text("was loaded, and its counts match")).to_be_visible()
    assert again[0].endswith("at=800000")
    backup = Backup.objects.get()
    assert (backup.state, backup.size, backup.keys) == ("loaded", dump.stat().st_size, {"0": 20_000})
    assert not list(store.parts_directory().iterdir())


def test_a_file_that_is_none_is_refused_in_the_dialog(
    dump: Path, tmp_path: Path, admin: Any, server_row: Any, console: Any, signed_in: Callable[[Any], Page]
) -> None:
    page = signed_in(admin)
    page.set_viewport_size({"width": 390, "height": 844})
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8\xff" * 100)
    choose(page, console, tmp_path / "holiday.jpg")
    page.get_by_role("button", name="Upload", exact=True).click()
    said = page.get_by_text("neither an RDB nor an export")
    expect(said).to_be_visible()
    box, dialog = said.bounding_box(), page.locator("dialog[open]").bounding_box()
    assert box and dialog and box["x"] + box["width"] <= dialog["x"] + dialog["width"]
    expect(page.get_by_role("button", name="Upload", exact=True)).to_be_enabled()
    assert not Backup.objects.exists()
