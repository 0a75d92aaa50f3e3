"""Exports over HTTP: streamed, kept, of one key; and who gets them."""

import io
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import reverse

from keyspace import job_worker
from keyspace.backups.archive import ArchiveReader
from keyspace.encoding import key_id
from keyspace.models import Job
from tests.people import sign_in

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = reverse("export", args=["test", 0])
BYTES = b"e:\xff<i>"


def fill(redis: Any, count: int = 500) -> None:
    redis.mset({f"e:{number}": number for number in range(count)} | {BYTES: b"\xfe", "other": 1})


def test_download_by_pattern(operator_client: Client, redis: Any) -> None:
    fill(redis)
    answer = operator_client.post(PAGE, {"match": "e:*", "form": "archive"})
    assert answer["Content-Disposition"].endswith('.ksarch"')
    found = [dump.name for _, page in ArchiveReader(io.BytesIO(answer.getvalue())).pages() for dump in page]
    assert len(found) == 501 and BYTES in found


async def test_under_asgi_it_comes_in_pieces(operator: Any, redis: Any) -> None:
    """Django would collect a plain iterator of ours before it sent the first byte."""
    for number in range(40):
        redis.set(f"e:{number}", bytes([number]) * 300_000)
    client = AsyncClient()
    await client.aforce_login(operator, backend="allauth.account.auth_backends.AuthenticationBackend")
    answer = await client.post(PAGE, {"match": "e:*", "form": "lines"})
    assert answer.is_async
    pieces = [piece async for piece in answer.streaming_content]
    assert len(pieces) > 5 and b'"end": true' in pieces[-1]


def test_kept_for_a_week(operator_client: Client, redis: Any) -> None:
    fill(redis)
    for _ in range(2):
        answer = operator_client.post(PAGE, {"match": "e:*", "form": "packed", "act": "keep", "once": "x1"})
    job = Job.objects.get()
    assert answer.url == reverse("job", args=[job.pk])
    job_worker.run_job(job.pk)
    file = reverse("export_file", args=["test", job.pk])
    assert file in operator_client.get(answer.url).content.decode()
    answer = operator_client.get(file)
    assert len(answer.getvalue()) == int(answer["Content-Length"])


def test_a_stranger_to_the_job_does_not_get_the_file(
    operator_client: Client, admin_client: Client, redis: Any
) -> None:
    fill(redis)
    operator_client.post(PAGE, {"match": "e:*", "form": "lines", "act": "keep"})
    job = Job.objects.get()
    job_worker.run_job(job.pk)
    assert admin_client.get(reverse("export_file", args=["test", job.pk])).status_code == 404


@pytest.mark.parametrize(
    "given", [{"match": ""}, {"match": "e:*", "form": "zip"}, {"match": "e:*", "type": "cheese"}]
)
def test_what_cannot_be_exported_is_told(operator_client: Client, redis: Any, given: dict[str, str]) -> None:
    assert operator_client.post(PAGE, {"form": "archive"} | given).status_code == 422


def test_a_viewer_exports_single_keys_only(viewer_client: Client, redis: Any) -> None:
    fill(redis)
    assert viewer_client.get(PAGE).status_code == 403
    assert viewer_client.post(PAGE, {"match": "*", "form": "lines"}).status_code == 403
    address = reverse("export_key", args=["test", 0, BYTES, "lines"])
    assert b"/g==" in viewer_client.get(address).getvalue()
    assert viewer_client.get(reverse("export_key", args=["test", 0, b"absent", "lines"])).status_code == 404
    assert viewer_client.get(reverse("export_key", args=["test", 0, BYTES, "csv"])).status_code == 400


def test_the_pages_of_keys_lead_here(viewer_client: Client, operator_client: Client, redis: Any) -> None:
    fill(redis)
    redis.rpush("e:list", "a")
    keys = reverse("keys", args=["test", 0])
    assert f"{PAGE}?match=e%3A%2A" in operator_client.get(keys, {"match": "e:*"}).content.decode()
    assert PAGE not in viewer_client.get(keys, {"match": "e:*"}).content.decode()
    shown = viewer_client.get(reverse("key", args=["test", 0, b"e:list"])).content.decode()
    assert reverse("export_key", args=["test", 0, b"e:list", "csv"]) in shown
    shown = viewer_client.get(reverse("key", args=["test", 0, BYTES])).content.decode()
    assert f"{key_id(BYTES)}/csv/" not in shown


def test_an_export_that_the_server_refuses_is_a_sentence(
    new_server: Any, make_server: Any, make_person: Any
) -> None:
    running = new_server(acl=["narrow on >pw ~* +@all -scan -dump -getrange"])
    make_server(running, username="narrow", password="pw")
    running.client().set("e:1", 1)
    client = sign_in(make_person("ana", "admin"))
    for form in ("lines", "packed", "archive"):
        answer = client.post(PAGE, {"match": "e:*", "form": form})
        assert answer.status_code == 403 and "+scan is missing" in answer.content.decode()
    one = client.get(reverse("export_key", args=["test", 0, b"e:1", "archive"]))
    assert one.status_code == 403 and "+dump is missing" in one.content.decode()
    raw = client.get(reverse("key_download", args=["test", 0, b"e:1"]))
    assert raw.status_code == 403 and "+getrange is missing" in raw.content.decode()
