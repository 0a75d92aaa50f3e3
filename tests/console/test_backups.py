"""The Backups and Jobs pages: by role, by hand, with bad input."""

import hashlib
import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from keyspace import job_worker
from keyspace.backups import opening, restore_primary, store
from keyspace.encoding import key_id
from keyspace.models import AuditEntry, Backup, Job, OpenBackup, Schedule
from tests.keyspace.backups.samples import fill

pytestmark = pytest.mark.django_db(transaction=True)
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def _close_all() -> Any:
    yield
    for opened in OpenBackup.objects.all():
        opening.close(opened)


def run_all() -> None:
    for job in Job.objects.filter(state="waiting"):
        job_worker.run_job(job.pk)


@pytest.fixture
def backup(redis: Any, admin_client: Client) -> Backup:
    fill(redis)
    response = admin_client.post(reverse("backups_start", args=["test"]), {"kind": "pull"}, **HTMX)
    assert response.status_code == 200
    run_all()
    return Backup.objects.get()


def address(name: str, backup: Backup, *more: Any) -> str:
    return reverse(name, args=["test", backup.pk, *more])


def test_trigger_and_list(backup: Backup, admin_client: Client) -> None:
    page = admin_client.get(reverse("backups", args=["test"])).content.decode()
    assert "Loaded, counts match" in page
    assert "Newest verified backup" in page
    assert AuditEntry.objects.filter(operation="start_backup", outcome="done").count() == 1


def test_a_running_backup_shows_its_bar(admin_client: Client) -> None:
    response = admin_client.post(reverse("backups_start", args=["test"]), {"kind": "export"}, **HTMX)
    assert "<progress" in response.content.decode()
    again = admin_client.post(reverse("backups_start", args=["test"]), {"kind": "pull"}, **HTMX)
    assert again.status_code == 409
    assert "running already" in again.content.decode()


def test_viewers_see_the_list_and_nothing_else(
    backup: Backup, viewer_client: Client, operator_client: Client, nobody_client: Client
) -> None:
    for client in (viewer_client, operator_client):
        page = client.get(reverse("backups", args=["test"]))
        assert page.status_code == 200
        assert "Pull backup" not in page.content.decode()
        assert client.get(address("backup", backup)).status_code == 200
        assert client.post(reverse("backups_start", args=["test"]), {"kind": "pull"}).status_code == 403
        for name in ("verify", "open", "close", "compare", "delete"):
            assert client.post(address(f"backup_{name}", backup)).status_code == 403, name
        assert client.get(address("backup_restore", backup)).status_code == 403
        assert client.get(address("backup_download", backup, 0)).status_code == 403
        assert client.get(reverse("backups_add_schedule", args=["test"])).status_code == 403
    assert nobody_client.get(reverse("backups", args=["test"])).status_code == 404
    assert Backup.objects.filter(pk=backup.pk).exists()


def test_open_browse_close(backup: Backup, admin_client: Client) -> None:
    to_job = admin_client.post(address("backup_open", backup))
    run_all()
    page = admin_client.get(to_job["Location"]).content.decode()
    opened = OpenBackup.objects.get()
    assert opened.row.name in page
    keys = admin_client.get(reverse("keys", args=[opened.row.name, 0]))
    assert keys.status_code == 200
    assert (
        f"It is open, as {opened.row.name}"
        in admin_client.get(reverse("backups", args=["test"])).content.decode()
    )
    key = admin_client.get(reverse("key", args=[opened.row.name, 0, b"bin\xff\x00\n:name"]))
    assert key.status_code == 200
    link = reverse("backup_restore_key", args=["test", backup.pk, 0, b"bin\xff\x00\n:name"])
    assert link in key.content.decode()
    form = admin_client.get(link, follow=True).content.decode()
    assert "bin\\xff\\x00\\n:name" in form
    assert admin_client.get(link.replace("/0/", "/0/!!"), follow=True).status_code == 400
    assert admin_client.post(address("backup_close", backup)).status_code == 302
    assert not OpenBackup.objects.exists()


def test_restore_a_selection_made_while_browsing(
    backup: Backup, admin_client: Client, viewer_client: Client
) -> None:
    admin_client.post(address("backup_open", backup))
    run_all()
    opened = OpenBackup.objects.get().row.name
    keys = admin_client.get(reverse("keys", args=[opened, 0])).content.decode()
    link = reverse("backup_restore_selection", args=["test", backup.pk, 0])
    assert link in keys
    selected = {"names": f"{key_id(b'plain')},{key_id(b'counter')}", "folders": key_id(b"hash")}
    form = admin_client.post(link, selected).content.decode()
    for shown in ("<code>plain</code>", "<code>counter</code>", "all in <code>hash</code>", 'value="0"'):
        assert shown in form
    order = {"target": "test", "match": "*", "existing": "skip", "ttl": "original", "act": "dry"}
    to_page = admin_client.post(address("backup_restore", backup), order | selected)
    run_all()
    assert Job.objects.get(kind="restore_backup").result["looked"] == 4
    again = admin_client.get(to_page["Location"]).content.decode()
    assert "all in <code>hash</code>" in again
    assert admin_client.post(address("backup_restore", backup), order | {"folders": "???"}).status_code == 422
    assert viewer_client.post(link, selected).status_code == 403


def test_a_copy_that_did_not_begin_says_so(
    backup: Backup, redis: Any, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_primary, "SILENT_SECONDS", 0.5)
    order = {
        "target": "test", "match": "*", "existing": "skip", "ttl": "original", "empty": "on", "method": "primary",
        "reach": "192.0.2.1:7400", "confirmed": "test", "act": "restore",
    }  # fmt: skip
    size = redis.dbsize()
    to_job = admin_client.post(address("backup_restore", backup), order)
    run_all()
    page = admin_client.get(to_job["Location"]).content.decode()
    assert "does not copy from 192.0.2.1:7400" in page
    assert restore_primary.AS_IT_WAS in page
    assert "Restore it…" in page
    assert redis.dbsize() == size


def test_what_is_restored_is_what_the_dry_run_looked_at(
    backup: Backup, redis: Any, admin_client: Client
) -> None:
    redis.delete("plain")
    order = {"target": "test", "match": "plain", "existing": "skip", "ttl": "original"}
    admin_client.post(address("backup_restore", backup), order | {"act": "dry"})
    run_all()
    sure = {"act": "restore", "dry": str(Job.objects.get(kind="restore_backup").pk), "confirmed": "test"}
    for changed in ({"match": "*"}, {"existing": "overwrite"}, {"empty": "on"}):
        refused = admin_client.post(address("backup_restore", backup), order | sure | changed)
        assert refused.status_code == 422
        assert "not the one of the dry run any more" in refused.content.decode()
    assert admin_client.post(address("backup_restore", backup), order | sure).status_code == 302
    run_all()
    assert redis.get("plain") == b"text"


def test_emptying_says_what_goes(backup: Backup, redis: Any, admin_client: Client) -> None:
    order = {
        "target": "test",
        "match": "*",
        "existing": "skip",
        "ttl": "original",
        "empty": "on",
        "act": "dry",
    }
    to_page = admin_client.post(address("backup_restore", backup), order)
    run_all()
    page = admin_client.get(to_page["Location"]).content.decode()
    assert f"goes first: {redis.dbsize()} keys in db 0" in page


def test_undo_by_role(
    backup: Backup, redis: Any, admin_client: Client, viewer_client: Client, operator_client: Client
) -> None:
    redis.delete("plain")
    order = {"target": "test", "match": "plain", "existing": "skip", "ttl": "original", "act": "restore"}
    report = admin_client.post(address("backup_restore", backup), order)["Location"]
    run_all()
    undo = reverse("restore_undo", args=["test", Job.objects.get(kind="restore_backup").pk])
    assert undo in admin_client.get(report).content.decode()
    for client in (viewer_client, operator_client):
        assert client.post(undo).status_code == 403
    to_job = admin_client.post(undo)
    run_all()
    assert not redis.exists("plain")
    assert "Removed" in admin_client.get(to_job["Location"]).content.decode()
    assert undo not in admin_client.get(report).content.decode()
    assert AuditEntry.objects.filter(operation="undo_restore", outcome="done").count() == 1


def test_the_form_says_why_there_is_no_temporary_primary(
    backup: Backup, new_server: Callable[..., Any], make_server: Any, admin_client: Client
) -> None:
    make_server(new_server("redis7"), "older")
    page = admin_client.get(address("backup_restore", backup)).content.decode()
    assert "can copy the backup from a temporary primary here" in page
    order = {
        "target": "older",
        "match": "*",
        "existing": "skip",
        "ttl": "original",
        "empty": "on",
        "act": "dry",
    }
    refused = admin_client.post(address("backup_restore", backup), order | {"method": "primary"})
    assert refused.status_code == 409
    assert "Redis 7.0 does not read VALKEY080" in refused.content.decode()
    to_page = admin_client.post(address("backup_restore", backup), order)
    run_all()
    page = admin_client.get(to_page["Location"]).content.decode()
    assert "No temporary primary for older: Redis 7.0 does not read VALKEY080" in page
    assert "go by their readable form" in page


def test_a_whole_server_through_the_page(backup: Backup, redis: Any, admin_client: Client) -> None:
    redis.set("later", 1)
    order = {
        "target": "test", "match": "*", "existing": "skip", "ttl": "original", "empty": "on", "method": "primary",
        "confirmed": "test", "act": "restore",
    }  # fmt: skip
    refused = admin_client.post(address("backup_restore", backup), order | {"reach": "not an address"})
    assert refused.status_code == 400
    to_job = admin_client.post(address("backup_restore", backup), order)
    run_all()
    page = admin_client.get(to_job["Location"]).content.decode()
    assert "A safety backup</a> of what was there before" in page
    assert "keys in db 0" in page
    assert not redis.exists("later")
    safety = Job.objects.get(kind="restore_backup").result["safety"]
    form = admin_client.get(reverse("backup_restore", args=["test", safety]) + "?empty=on").content.decode()
    assert re.search('<input[^>]*name="empty"[^>]*checked', form)


def test_restore_one_key_after_a_dry_run(backup: Backup, redis: Any, admin_client: Client) -> None:
    redis.delete("plain")
    order = {"target": "test", "match": "plain", "existing": "skip", "ttl": "original"}
    to_page = admin_client.post(address("backup_restore", backup), order | {"act": "dry"})
    run_all()
    page = admin_client.get(to_page["Location"]).content.decode()
    assert 'value="restore"' in page
    assert not redis.exists("plain")
    to_job = admin_client.post(address("backup_restore", backup), order | {"act": "restore", "once": "abc"})
    admin_client.post(address("backup_restore", backup), order | {"act": "restore", "once": "abc"})
    run_all()
    assert redis.get("plain") == b"text"
    assert Job.objects.filter(kind="restore_backup").count() == 2
    assert "Restored" in admin_client.get(to_job["Location"]).content.decode()


def test_emptying_asks_for_the_servers_name(backup: Backup, redis: Any, admin_client: Client) -> None:
    order = {
        "target": "test",
        "match": "*",
        "existing": "skip",
        "ttl": "original",
        "empty": "on",
        "act": "restore",
    }
    size = redis.dbsize()
    for confirmed in ("", "Test", "tes"):
        assert (
            admin_client.post(address("backup_restore", backup), order | {"confirmed": confirmed}).status_code
            == 400
        )
    assert redis.dbsize() == size
    assert not Job.objects.filter(kind="restore_backup").exists()


def test_compare_with_live(backup: Backup, redis: Any, admin_client: Client) -> None:
    redis.set(b"new\xff", 1)
    to_job = admin_client.post(address("backup_compare", backup))
    run_all()
    page = admin_client.get(to_job["Location"]).content.decode()
    assert "no prefix" in page and "Key by key" in page


def test_download_whole_and_by_range(backup: Backup, admin_client: Client) -> None:
    whole = admin_client.get(address("backup_download", backup, 0))
    data = b"".join(whole.streaming_content)  # type: ignore[arg-type]
    assert hashlib.sha256(data).hexdigest() == backup.files[0]["sha256"]
    assert "test-" in whole["Content-Disposition"]
    part = admin_client.get(address("backup_download", backup, 0), HTTP_RANGE="bytes=10-19")
    assert (part.status_code, b"".join(part.streaming_content)) == (206, data[10:20])  # type: ignore[arg-type]
    assert part["Content-Range"] == f"bytes 10-19/{len(data)}"
    assert (
        admin_client.get(address("backup_download", backup, 0), HTTP_RANGE=f"bytes={len(data)}-").status_code
        == 416
    )
    assert admin_client.get(address("backup_download", backup, 7)).status_code == 404


def test_a_broken_download_goes_on(backup: Backup, admin_client: Client) -> None:
    url = address("backup_download", backup, 0)
    data = b"".join(admin_client.get(url).streaming_content)  # type: ignore[arg-type]
    head = admin_client.head(url)
    assert (head.status_code, head["Accept-Ranges"], int(head["Content-Length"])) == (200, "bytes", len(data))
    mark = head["ETag"]
    assert mark == f'"{backup.files[0]["sha256"]}"'

    def part(asked: str, **more: str) -> tuple[int, bytes]:
        answer = admin_client.get(url, HTTP_RANGE=asked, **more)  # type: ignore[arg-type]
        return answer.status_code, b"".join(
            getattr(answer, "streaming_content", (answer.content,) if not answer.streaming else ())
        )

    assert part("bytes=-7") == (206, data[-7:])
    assert part(f"bytes=-{len(data) * 3}") == (206, data)
    assert part("bytes=5-") == (206, data[5:])
    assert part(f"bytes=5-{10**15}") == (206, data[5:])
    assert part("bytes=5-", HTTP_IF_RANGE=mark) == (206, data[5:])
    assert part("bytes=5-", HTTP_IF_RANGE='"another"') == (200, data)
    for odd in ("bytes=1-2,5-6", "bytes=9-3", "bytes=-", "lines=1-2", "bytes=x-", "bytes=1-2\x00"):
        assert part(odd) == (200, data), odd
    assert part("bytes=-0")[0] == 416
    assert part(f"bytes={10**15}-")[0] == 416


def test_a_download_that_cannot_begin_is_a_sentence(
    backup: Backup, admin_client: Client, settings: Any
) -> None:
    store.remove(backup.files[0]["name"])
    gone = admin_client.get(address("backup_download", backup, 0))
    assert (gone.status_code, "gone from the store" in gone.content.decode()) == (404, True)
    settings.BACKUP_KEY = "one"
    with store.Part(backup.files[0]["name"]) as part:
        part.write(b"sealed")
        part.commit()
    settings.BACKUP_KEY = "another"
    sealed = admin_client.get(address("backup_download", backup, 0))
    assert (sealed.status_code, "sealed with another key" in sealed.content.decode()) == (503, True)


def test_upload(backup: Backup, admin_client: Client) -> None:
    data = b"".join(admin_client.get(address("backup_download", backup, 0)).streaming_content)  # type: ignore[arg-type]
    hostile = "../../../../tmp/evil\x00.rdb"
    response = admin_client.post(
        reverse("backups_upload", args=["test"]), {"file": SimpleUploadedFile(hostile, data)}
    )
    assert response.status_code == 302
    run_all()
    uploaded = Backup.objects.get(kind="upload")
    assert uploaded.state == "loaded"
    bad = admin_client.post(
        reverse("backups_upload", args=["test"]), {"file": SimpleUploadedFile("x.rdb", b"nonsense")}
    )
    assert bad.status_code == 400
    assert "neither an RDB nor an export" in bad.content.decode()


def test_delete_keeps_the_last_verified(backup: Backup, admin_client: Client) -> None:
    assert (
        "The last verified backup of a server stays"
        in admin_client.get(address("backup", backup)).content.decode()
    )
    refused = admin_client.post(address("backup_delete", backup))
    assert refused.status_code == 409
    admin_client.post(reverse("backups_start", args=["test"]), {"kind": "export"})
    run_all()
    assert admin_client.post(address("backup_delete", backup)).status_code == 302
    assert not Backup.objects.filter(pk=backup.pk).exists()


SCHEDULE = {
    "name": "nightly", "kind": "auto", "every": "day", "hours": 6, "at": "03:00", "weekday": 6, "time_zone": "Europe/Berlin",
    "enabled": "on", "keep_last": 3, "keep_daily": 7, "keep_weekly": 4, "keep_monthly": 6, "max_age_hours": 26, "webhook": "",
}  # fmt: skip


def test_schedule(admin_client: Client) -> None:
    add = reverse("backups_add_schedule", args=["test"])
    assert admin_client.get(add).status_code == 200
    assert admin_client.post(add, SCHEDULE | {"time_zone": "Nowhere/Here"}).status_code == 422
    assert admin_client.post(add, SCHEDULE).status_code == 302
    schedule = Schedule.objects.get()
    assert schedule.next_at is not None
    edit = reverse("backups_schedule", args=["test", schedule.pk])
    assert "nightly" in admin_client.get(edit).content.decode()
    assert admin_client.post(edit, SCHEDULE | {"keep_daily": 14}).status_code == 302
    schedule.refresh_from_db()
    assert schedule.keep_daily == 14
    assert (
        admin_client.post(reverse("backups_remove_schedule", args=["test", schedule.pk])).status_code == 302
    )


@pytest.mark.parametrize("name", ["backup", "backup_restore"])
def test_unknown_backups(name: str, admin_client: Client) -> None:
    assert admin_client.get(reverse(name, args=["test", uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("match", ""),
        ("existing", "everything"),
        ("ttl", "x"),
        ("db", "-1"),
        ("target", "elsewhere"),
        ("names", "???"),
        ("type", "x"),
    ],
)
def test_bad_orders(field: str, value: str, backup: Backup, admin_client: Client) -> None:
    order = {
        "target": "test",
        "match": "*",
        "existing": "skip",
        "ttl": "original",
        "act": "dry",
        field: value,
    }
    assert admin_client.post(address("backup_restore", backup), order).status_code in (400, 422)
    assert not Job.objects.filter(kind="restore_backup").exists()


def test_bad_kind(admin_client: Client) -> None:
    assert admin_client.post(reverse("backups_start", args=["test"]), {"kind": "FLUSHALL"}).status_code == 400


def test_jobs_page_by_person(backup: Backup, admin_client: Client, viewer_client: Client) -> None:
    assert "Pull of test" in admin_client.get(reverse("jobs")).content.decode()
    assert "Pull of test" not in viewer_client.get(reverse("jobs")).content.decode()
    job = Job.objects.get(kind="back_up")
    for name in ("job", "job_progress", "job_report"):
        assert viewer_client.get(reverse(name, args=[job.pk])).status_code == 404
        assert admin_client.get(reverse(name, args=[job.pk])).status_code == 200
    assert viewer_client.post(reverse("job_cancel", args=[job.pk])).status_code == 404
    assert admin_client.post(reverse("job_cancel", args=[job.pk])).status_code == 409


def test_cancel_a_waiting_job(admin_client: Client) -> None:
    admin_client.post(reverse("backups_start", args=["test"]), {"kind": "pull"})
    job = Job.objects.get()
    assert admin_client.post(reverse("job_cancel", args=[job.pk]), **HTMX).status_code == 200
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert admin_client.post(reverse("backups_start", args=["test"]), {"kind": "pull"}).status_code == 200


def test_a_server_that_tells_little(
    new_server: Callable[..., Any], make_server: Any, admin_client: Client
) -> None:
    """Without INFO, CONFIG and SYNC the page still stands, and an export is offered with the reason."""
    server = new_server("valkey9", acl=["narrow on >pw ~* &* +@all -config -sync -psync -replconf"])
    make_server(server, "narrow", username="narrow", password="pw")
    page = admin_client.get(reverse("backups", args=["narrow"])).content.decode()
    assert "Export backup" in page
    blind = new_server("valkey9", acl=["blind on >pw ~* &* +@all -info"])
    make_server(blind, "blind", username="blind", password="pw")
    assert admin_client.get(reverse("backups", args=["blind"])).status_code == 200


def test_a_server_that_is_down(
    new_server: Callable[..., Any], make_server: Any, admin_client: Client
) -> None:
    server = new_server("valkey9")
    make_server(server, "down")
    server.stop()
    page = admin_client.get(reverse("backups", args=["down"]))
    assert page.status_code == 200
    assert "refuses connections" in page.content.decode()
    assert admin_client.post(reverse("backups_start", args=["down"]), {"kind": "pull"}).status_code == 503


def test_an_old_backup_is_told_on_every_page_of_the_server(
    backup: Backup, server_row: Any, admin_client: Client
) -> None:
    keys = reverse("keys", args=["test", 0])
    Schedule.objects.create(server=server_row, name="nightly", max_age_hours=1)
    assert "is too old" not in admin_client.get(keys).content.decode()
    Backup.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert "newest verified backup of test is too old" in admin_client.get(keys).content.decode()
