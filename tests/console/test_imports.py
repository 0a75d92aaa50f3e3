"""The import's pages: a file is chosen, looked at, imported; and who may, and what is wrong with a file, in words."""

import stat
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from keyspace import exports, job_worker
from keyspace.backups import store
from keyspace.models import Job, Server, TrashEntry
from tests.keyspace.test_exports import ALL, BYTES, fill

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = reverse("import", args=["test", 0])


@pytest.fixture
def exported(connection_as: Any, redis: Any) -> bytes:
    fill(redis)
    return b"".join(exports.export_keys(connection_as("admin"), choice=ALL, form="lines").chunks)


def send(client: Client, data: bytes, name: str = "keys.jsonl") -> Any:
    return client.post(PAGE, {"file": SimpleUploadedFile(name, data)})


def previewed(client: Client, data: bytes) -> str:
    """The address of a preview that has ended."""
    answer = send(client, data)
    assert answer.status_code == 302, answer.content.decode()
    job_worker.run_job(Job.objects.get(kind="preview_import").pk)
    return str(answer.url)


def body(answer: Any) -> str:
    return str(answer.content.decode())


def test_preview_then_import_then_the_report(admin_client: Client, redis: Any, exported: bytes) -> None:
    redis.delete("e:l")
    redis.set(BYTES, "newer")
    place = previewed(admin_client, exported.replace(b"\n", b"\n{oops\n", 1))
    page = body(admin_client.get(place))
    assert "keys.jsonl" in page and "Exported from test (Valkey 9" in page and "Bad lines" in page
    answer = admin_client.post(place, {"existing": "different", "ttl": "original"})
    job = Job.objects.get(kind="import_keys")
    assert answer.url == reverse("job", args=[job.pk])
    assert admin_client.post(place, {"existing": "different", "ttl": "original"}).url == answer.url
    assert "This file was imported" in body(admin_client.get(place))
    job_worker.run_job(job.pk)
    assert redis.llen("e:l") == 3 and redis.get(BYTES) != b"newer"
    assert [bytes(kept.name) for kept in TrashEntry.objects.all()] == [BYTES]
    report = body(admin_client.get(answer.url))
    assert (
        reverse("restore_undo", args=["test", job.pk]) in report
        and reverse("trash", args=["test", 0]) in report
    )


def test_a_file_with_function_libraries_says_where_they_are_restored(
    admin_client: Client, redis: Any, exported: bytes
) -> None:
    line = b'{"form":"keyspace-readable","function":"lib","engine":"LUA","part":0,"last":true,"code":"x"}'
    place = previewed(admin_client, exported.replace(b"\n", b"\n" + line + b"\n", 1))
    page = body(admin_client.get(place))
    assert "It holds function libraries as well" in page and reverse("backups", args=["test"]) in page
    Job.objects.all().delete()
    assert "function libraries" not in body(admin_client.get(previewed(admin_client, exported)))


def test_the_name_of_the_file_is_never_a_path_and_only_the_owner_reads_it(
    admin_client: Client, redis: Any, exported: bytes
) -> None:
    send(admin_client, exported, "../../etc/passwd\n.jsonl")
    kept = Job.objects.get(kind="preview_import").params["file"]
    path = store.directory() / kept
    assert (
        kept.startswith("import-")
        and path.is_file()
        and path.resolve().is_relative_to(store.directory().resolve())
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"hello", "no export of this console"),
        (b"REDIS0011" + b"x" * 50, "an RDB goes to the Backups page"),
        (b"", "no export of this console"),
    ],
)
def test_a_wrong_file_is_told_beside_the_field(
    admin_client: Client, redis: Any, data: bytes, told: str
) -> None:
    answer = send(admin_client, data)
    assert answer.status_code == 422 and told in body(answer) and not Job.objects.exists()


def test_no_file_and_a_file_too_large(admin_client: Client, redis: Any, settings: Any) -> None:
    assert "This field is required" in body(admin_client.post(PAGE, {}))
    settings.BACKUP_UPLOAD_BYTES = 1000
    answer = send(admin_client, b"{" + b"x" * 2000)
    assert answer.status_code == 422 and "larger than" in body(answer)
    assert not list(store.parts_directory().iterdir())


def test_a_cut_archive_is_refused_in_words(admin_client: Client, connection_as: Any, redis: Any) -> None:
    fill(redis)
    data = b"".join(exports.export_keys(connection_as("admin"), choice=ALL, form="archive").chunks)
    place = previewed(admin_client, data[:-30])
    page = body(admin_client.get(place))
    assert "The file is damaged" in page and "Import</button>" not in page
    answer = admin_client.post(place, {"existing": "skip", "ttl": "original"})
    assert answer.status_code == 422 and "The file is damaged" in body(answer)


def test_production_asks_for_the_name(
    admin_client: Client, server_row: Server, redis: Any, exported: bytes
) -> None:
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    place = previewed(admin_client, exported)
    assert 'name="typed"' in body(admin_client.get(place))
    sent = {"existing": "overwrite", "ttl": "original"}
    refused = admin_client.post(place, sent)
    assert refused.status_code == 422 and "type its name" in body(refused)
    assert admin_client.post(place, sent | {"typed": "test"}).status_code == 302


@pytest.mark.parametrize("who", ["viewer_client", "operator_client", "nobody_client"])
def test_only_admins_import(request: pytest.FixtureRequest, who: str, redis: Any) -> None:
    client = request.getfixturevalue(who)
    status = 404 if who == "nobody_client" else 403
    assert client.get(PAGE).status_code == status
    assert send(client, b'{"db": 0}').status_code == status
    assert reverse("import", args=["test", 0]) not in body(client.get(reverse("keys", args=["test", 0])))
    assert not Job.objects.exists()


def test_a_preview_is_its_persons_alone(
    admin_client: Client, make_person: Any, redis: Any, exported: bytes
) -> None:
    from tests.people import sign_in

    place = previewed(admin_client, exported)
    other = sign_in(make_person("other", "admin"))
    assert other.get(place).status_code == other.post(place, {"existing": "skip"}).status_code == 404
    assert admin_client.get(reverse("import_preview", args=["test", 0, uuid.uuid4()])).status_code == 404
    assert admin_client.get(place.replace("/0/", "/1/")).status_code == 404


def test_a_read_only_server_takes_none(admin_client: Client, server_row: Server, redis: Any) -> None:
    Server.objects.filter(pk=server_row.pk).update(read_only=True)
    assert "read-only" in body(admin_client.get(PAGE)) and admin_client.get(PAGE).status_code == 403


def test_the_page_asks_for_its_state_until_the_preview_has_ended(
    admin_client: Client, redis: Any, exported: bytes
) -> None:
    place = send(admin_client, exported).url
    state = place + "state/"
    assert state in body(admin_client.get(place)) and state in body(admin_client.get(state))
    job_worker.run_job(Job.objects.get().pk)
    assert admin_client.get(state)["HX-Refresh"] == "true"
