"""Uploading a backup piece by piece: by role, broken off, gone on with, hostile."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from keyspace import job_worker
from keyspace.backups import store, uploads
from keyspace.backups.rdb import RdbChecker, crc64
from keyspace.jobs import Cancelled
from keyspace.models import AuditEntry, Backup, Job
from tests.keyspace.backups.samples import contents, fill
from tests.keyspace.backups.test_restoring import back_up, restore

pytestmark = pytest.mark.django_db(transaction=True)
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PIECE_BYTES", 10_000)


@pytest.fixture
def data(redis: Any, connection_as: Callable[..., Any], server_row: Any) -> bytes:
    """A whole RDB."""
    fill(redis)
    backup = back_up(connection_as("admin"), "pull")
    return b"".join(store.read_chunks(backup.files[0]["name"]))


def begin(client: Client, size: int, name: str = "dump.rdb") -> str:
    answer = client.post(reverse("backups_upload_begin", args=["test"]), {"name": name, "size": size})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["url"])


def put(client: Client, url: str, data: bytes, at: int) -> Any:
    return client.put(f"{url}?at={at}", data[at : at + uploads.PIECE_BYTES], **HTMX)


def send(client: Client, url: str, data: bytes, at: int = 0) -> None:
    while at < len(data):
        answer = put(client, url, data, at)
        assert answer.status_code == 200, answer.content
        at = answer.json()["at"]


def run_all() -> list[Job]:
    jobs = list(Job.objects.filter(state="waiting"))
    for job in jobs:
        job_worker.run_job(job.pk)
        job.refresh_from_db()
    return jobs


def test_an_upload_that_broke_off_goes_on_and_is_used(
    data: bytes, redis: Any, admin_client: Client, connection_as: Callable[..., Any]
) -> None:
    before = contents(redis)
    hostile = "../../../etc/passwd\x00<b>.rdb"
    url = begin(admin_client, len(data), hostile)
    assert put(admin_client, url, data, 0).status_code == 200
    # A piece whose answer was lost comes again: refused, and the place to go on from is told.
    assert put(admin_client, url, data, 0).status_code == 409
    assert put(admin_client, url, data, 20_000).status_code == 409
    at = admin_client.get(url).json()["at"]
    assert at == 10_000
    assert admin_client.post(f"{url}finish/").status_code == 409
    send(admin_client, url, data, at)
    (path,) = store.parts_directory().iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    first = admin_client.post(f"{url}finish/").json()["next"]
    assert admin_client.post(f"{url}finish/").json()["next"] == first
    (job,) = run_all()
    assert job.state == "done", job.problem
    uploaded = Backup.objects.get(kind="upload")
    assert (uploaded.state, uploaded.size, uploaded.person) == ("loaded", len(data), "admin")
    assert "passwd" not in uploaded.files[0]["name"]
    assert uploaded.reason == "file ../../../etc/passwd\ufffd<b>.rdb"
    assert not list(store.parts_directory().iterdir())
    assert "loaded" in admin_client.get(first).content.decode()
    redis.flushall()
    restore(connection_as("admin"), uploaded)
    assert contents(redis) == before
    told = set(AuditEntry.objects.values_list("operation", "outcome"))
    assert {("begin_upload", "done"), ("finish_upload", "done"), ("finish_upload", "failed")} <= told


def test_a_killed_console_begins_the_check_anew(data: bytes, admin_client: Client) -> None:
    url = begin(admin_client, len(data))
    send(admin_client, url, data)
    admin_client.post(f"{url}finish/")
    job = Job.objects.get(kind="take_upload")
    Job.objects.filter(pk=job.pk).update(
        state="running", worker="nobody 0 0 x", beat_at="2020-01-01T00:00:00Z"
    )
    job_worker.recover_jobs()
    run_all()
    job.refresh_from_db()
    assert (job.state, Backup.objects.filter(kind="upload").count()) == ("done", 1)


def test_viewers_and_operators_may_not_upload(
    data: bytes, viewer_client: Client, operator_client: Client, nobody_client: Client, admin_client: Client
) -> None:
    url = begin(admin_client, len(data))
    assert nobody_client.post(reverse("backups_upload_begin", args=["test"]), {"size": 9}).status_code == 404
    for client in (viewer_client, operator_client):
        assert client.post(reverse("backups_upload_begin", args=["test"]), {"size": 9}).status_code == 403
        assert put(client, url, data, 0).status_code == 403
        assert client.get(url).status_code == 403
        assert client.delete(url).status_code == 403
        assert client.post(f"{url}finish/").status_code == 403
    assert AuditEntry.objects.filter(operation="begin_upload", outcome="denied").count() == 2
    assert admin_client.get(url).json()["at"] == 0


def test_an_upload_is_its_persons_and_its_servers(
    data: bytes, admin_client: Client, make_person: Any, make_server: Any, server: Any
) -> None:
    from tests.people import sign_in

    make_server(server, "other")
    url = begin(admin_client, len(data))
    other = sign_in(make_person("another", "admin"))
    assert other.get(url).status_code == 404
    assert admin_client.get(url.replace("/servers/test/", "/servers/other/")).status_code == 404
    assert admin_client.get(url.replace("/uploads/", "/uploads/x")).status_code == 404
    assert admin_client.delete(url).status_code == 204
    assert admin_client.get(url).status_code == 404
    assert put(admin_client, url, data, 0).status_code == 404
    assert not list(store.parts_directory().iterdir())


@pytest.mark.parametrize("size", ["", "0", "-1", "x", "9" * 15, "9" * 40, "1.5"])
def test_sizes_that_are_none(size: str, admin_client: Client, server_row: Any) -> None:
    answer = admin_client.post(reverse("backups_upload_begin", args=["test"]), {"size": size})
    assert answer.status_code in (400, 413)
    assert not list(store.parts_directory().iterdir())


def test_pieces_that_do_not_fit(data: bytes, admin_client: Client) -> None:
    url = begin(admin_client, 100)
    too_much = admin_client.put(f"{url}?at=0", data[:200], **HTMX)
    assert too_much.status_code == 400
    large = admin_client.put(f"{url}?at=0", bytes(uploads.PIECE_BYTES + 1), **HTMX)
    assert large.status_code == 413
    for at in ("", "-1", "x"):
        assert admin_client.put(f"{url}?at={at}", data[:10], **HTMX).status_code == 400
    assert admin_client.get(url).json()["at"] == 0


def test_what_is_no_backup_is_told_with_the_first_piece(admin_client: Client, server_row: Any) -> None:
    url = begin(admin_client, 100)
    answer = admin_client.put(f"{url}?at=0", b"MZ" * 50, **HTMX)
    assert answer.status_code == 400
    assert "neither an RDB nor an export" in answer.content.decode()
    assert not list(store.parts_directory().iterdir())


def test_a_file_that_is_cut_or_changed_is_not_kept(data: bytes, admin_client: Client) -> None:
    for bad in (data[:-2000], data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]):
        url = begin(admin_client, len(bad))
        send(admin_client, url, bad)
        admin_client.post(f"{url}finish/")
        (job,) = run_all()
        assert (job.state, "not a whole backup" in job.problem) == ("failed", True)
    assert not Backup.objects.filter(kind="upload").exists()
    assert not list(store.parts_directory().iterdir())


def lucky_cut() -> bytes:
    """An RDB without its last byte that still looks whole: a value ends as an RDB does, and CRC64 moves along by a byte."""
    for number in range(10_000):
        value = b"%04d\xff" % number
        until = b"REDIS0011\xfe\x00\xfb\x01\x00\x00\x03key" + bytes([len(value)]) + value
        whole = until + b"\xff"
        if crc64(until) & 0xFF == 0xFF:
            return whole + crc64(whole).to_bytes(8, "little")[:-1]
    raise AssertionError("one in 256 has it")


def test_a_cut_that_looks_whole_is_found_when_it_is_loaded(admin_client: Client, server_row: Any) -> None:
    bad = lucky_cut()
    checker = RdbChecker()
    checker.feed(bad)
    checker.finish()
    url = begin(admin_client, len(bad))
    send(admin_client, url, bad)
    admin_client.post(f"{url}finish/")
    run_all()
    kept = Backup.objects.get(kind="upload")
    assert (kept.state, "could not load it" in kept.state_note) == ("damaged", True)


def test_a_full_disk_keeps_what_was_there(
    data: bytes, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = begin(admin_client, len(data))
    assert put(admin_client, url, data, 0).status_code == 200
    write = uploads.os.write

    def full(descriptor: int, piece: Any) -> int:
        if len(piece) < 9000:
            raise OSError(28, "No space left on device")
        return write(descriptor, piece[:5000])

    monkeypatch.setattr(uploads.os, "write", full)
    answer = put(admin_client, url, data, 10_000)
    assert (answer.status_code, "disk of the backup store is full" in answer.content.decode()) == (503, True)
    assert admin_client.get(url).json()["at"] == 10_000
    monkeypatch.setattr(store.shutil, "disk_usage", lambda place: type("Disk", (), {"free": 1000})())
    refused = admin_client.post(reverse("backups_upload_begin", args=["test"]), {"size": 10_000}, **HTMX)
    assert refused.status_code == 503


def test_a_cancelled_upload_leaves_nothing(
    data: bytes, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for begun in (False, True):
        url = begin(admin_client, len(data))
        send(admin_client, url, data)
        admin_client.post(f"{url}finish/")
        job = Job.objects.get(kind="take_upload", state="waiting")
        if begun:
            monkeypatch.setattr("keyspace.job_runs.Run.report", _cancelled)
            job_worker.run_job(job.pk)
        else:
            assert admin_client.post(reverse("job_cancel", args=[job.pk]), **HTMX).status_code == 200
        job.refresh_from_db()
        assert job.state == "cancelled"
        assert not list(store.parts_directory().iterdir())
    assert not Backup.objects.filter(kind="upload").exists()


def _cancelled(run: Any, **told: Any) -> None:
    raise Cancelled
