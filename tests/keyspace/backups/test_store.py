"""The store: sealed files, a real S3 server on loopback, downloads by range, uploads."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keyspace.backups import sealed, services, store, transfer, verify
from keyspace.backups.rdb import Damaged
from keyspace.errors import BadInput, NotFound, Unavailable
from keyspace.models import Backup
from tests.keyspace.backups.samples import contents, fill
from tests.keyspace.backups.test_restoring import back_up, finish, restore

pytestmark = pytest.mark.django_db(transaction=True)
PLAIN = os.urandom(700_000)


def put(name: str, data: bytes) -> store.StoredFile:
    with store.Part(name) as part:
        part.write(data)
        return part.commit()


def read(name: str) -> bytes:
    return b"".join(store.read_chunks(name))


def test_a_file_appears_only_when_it_is_whole() -> None:
    with pytest.raises(ZeroDivisionError), store.Part("x/0.rdb") as part:
        part.write(b"half")
        raise ZeroDivisionError
    with pytest.raises(NotFound):
        store.open_raw("x/0.rdb")
    kept = put("x/0.rdb", PLAIN)
    assert (kept.size, kept.sha256) == (len(PLAIN), hashlib.sha256(PLAIN).hexdigest())
    assert read("x/0.rdb") == PLAIN
    assert store.directory().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("size", [0, 1, sealed.CHUNK - 1, sealed.CHUNK, sealed.CHUNK + 1, 700_000])
def test_sealed_files_read_back(size: int, settings: Any) -> None:
    settings.BACKUP_KEY = "a long secret"
    kept = put("sealed/0.rdb", PLAIN[:size])
    assert kept.size == size
    raw = (store.directory() / kept.name).read_bytes()
    assert raw.startswith(sealed.MAGIC)
    assert size < 40 or PLAIN[:40] not in raw
    assert read(kept.name) == PLAIN[:size]


def test_a_wrong_key_is_a_sentence(settings: Any) -> None:
    settings.BACKUP_KEY = "one"
    put("sealed/1.rdb", PLAIN)
    for other, sentence in (("two", "sealed with another key"), ("", "no key is set")):
        settings.BACKUP_KEY = other
        with pytest.raises(Unavailable, match=sentence):
            read("sealed/1.rdb")


def test_a_sealed_file_cannot_be_changed_cut_or_reordered(settings: Any) -> None:
    settings.BACKUP_KEY = "one"
    path = store.directory() / put("sealed/2.rdb", PLAIN).name
    good = path.read_bytes()
    step = sealed.CHUNK + 16
    first, second = good[24 : 24 + step], good[24 + step : 24 + 2 * step]
    flipped = bytearray(good)
    flipped[1000] ^= 1
    for bad in (
        bytes(flipped),
        good[:-1],
        good[: 24 + step],
        good[: 24 + 2 * step],
        good[:24] + second + first + good[24 + 2 * step :],
        good + b"x",
    ):
        path.write_bytes(bad)
        with pytest.raises(Damaged):
            read("sealed/2.rdb")


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_sealed_backups_verify_and_restore(
    kind: str, redis: Any, settings: Any, connection_as: Callable[..., Any]
) -> None:
    settings.BACKUP_KEY = "a long secret"
    fill(redis)
    before = contents(redis)
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    assert backup.state == "loaded"
    redis.flushall()
    assert restore(connection, backup).result["failed"] == 0
    assert contents(redis) == before
    assert not list(store.parts_directory().iterdir())


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    name = f"backups-{os.urandom(4).hex()}"
    client = boto3.client("s3", endpoint_url=s3, **keys)
    client.create_bucket(Bucket=name)
    options = {
        "bucket_name": name,
        "endpoint_url": s3,
        "file_overwrite": False,
        "max_memory_size": 1024 * 1024,
        "access_key": "test",
        "secret_key": "test",
    }
    settings.STORAGES = settings.STORAGES | {
        "backups": {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": options | {"region_name": "us-east-1"},
        }
    }
    return client, name


@pytest.mark.parametrize("key", ["", "a long secret"])
def test_backups_in_a_bucket(
    key: str, bucket: Any, redis: Any, settings: Any, connection_as: Callable[..., Any]
) -> None:
    client, name = bucket
    settings.BACKUP_KEY = key
    fill(redis)
    before = contents(redis)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    assert backup.state == "loaded", backup.state_note
    assert [row["Key"] for row in client.list_objects_v2(Bucket=name)["Contents"]] == [
        backup.files[0]["name"]
    ]
    assert not (store.directory() / backup.files[0]["name"]).exists()
    redis.flushall()
    restore(connection, backup)
    assert contents(redis) == before
    client.put_object(Bucket=name, Key=backup.files[0]["name"], Body=b"REDIS0011 something else")
    finish(services.verify_backup(connection, backup_id=str(backup.pk)))
    backup.refresh_from_db()
    assert backup.state == "damaged"


def test_a_storage_that_fails_half_way(
    bucket: Any, redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, name = bucket
    from storages.backends.s3 import S3Storage

    def save(self: Any, name: str, content: Any) -> str:
        content.read(10)
        raise OSError("connection reset")

    monkeypatch.setattr(S3Storage, "_save", save)
    redis.set("a", 1)
    from keyspace.backups import making

    backup = making.begin_backup(connection_as("admin"), "pull")
    assert finish(backup.job).state == "failed"  # type: ignore[arg-type]
    backup.refresh_from_db()
    assert (backup.state, backup.files) == ("failed", [])
    assert "storage failed" in backup.state_note
    assert "Contents" not in client.list_objects_v2(Bucket=name)
    assert not list(store.parts_directory().iterdir())


def test_a_storage_that_keeps_something_else(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from storages.backends.s3 import S3Storage

    saved = S3Storage._save

    def save(self: Any, name: str, content: Any) -> Any:
        from django.core.files.base import ContentFile

        return saved(self, name, ContentFile(b"not that"))

    monkeypatch.setattr(S3Storage, "_save", save)
    with pytest.raises(Unavailable, match="something else"):
        put("other/0.rdb", PLAIN)


@pytest.mark.parametrize("key", ["", "secret"])
def test_download_by_range(key: str, redis: Any, settings: Any, connection_as: Callable[..., Any]) -> None:
    settings.BACKUP_KEY = key
    fill(redis, many=3000)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    file = transfer.download_backup(connection, backup_id=str(backup.pk))
    whole = b"".join(file.chunks())
    assert hashlib.sha256(whole).hexdigest() == backup.files[0]["sha256"]
    assert b"".join(file.chunks(100, 999)) == whole[100:1000]
    assert b"".join(file.chunks(len(whole) - 5)) == whole[-5:]
    assert file.name.startswith("test-") and file.name.endswith("-pull.rdb")


def pieces(data: bytes) -> Iterator[bytes]:
    yield from (data[at : at + 1000] for at in range(0, len(data), 1000))


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_an_uploaded_backup_is_as_good_as_ours(
    kind: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    fill(redis)
    before = contents(redis)
    connection = connection_as("admin")
    data = read(back_up(connection, kind).files[0]["name"])
    uploaded = transfer.upload_backup(connection, chunks=pieces(data), label="file ../../etc/passwd")
    finish(uploaded.job)  # type: ignore[arg-type]
    uploaded.refresh_from_db()
    assert (uploaded.state, uploaded.files[0]["name"]) == (
        "loaded",
        f"{uploaded.pk}/0{Path(uploaded.files[0]['name']).name[1:]}",
    )
    redis.flushall()
    restore(connection, uploaded)
    assert contents(redis) == before


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"REDIS0011" + b"x" * 100, b"KSARCH2\n", b"REDIS0011\xff" + bytes(7)]
)
def test_what_is_no_backup_is_refused(data: bytes, connection_as: Callable[..., Any]) -> None:
    connection = connection_as("admin")
    with pytest.raises(BadInput):
        transfer.upload_backup(connection, chunks=pieces(data))
    assert not Backup.objects.exists()
    assert not list(store.parts_directory().iterdir())


def test_rdb_of_older_servers_is_verified(
    any_redis: Any, any_server: Any, make_server: Any, connection_as: Callable[..., Any]
) -> None:
    fill(any_redis)
    any_redis.config_set("dbfilename", "upload.rdb")
    any_redis.save()
    data = (any_server.directory / "upload.rdb").read_bytes()
    uploaded = transfer.upload_backup(
        connection_as("admin", server=make_server(any_server)), chunks=pieces(data)
    )
    finish(uploaded.job)  # type: ignore[arg-type]
    uploaded.refresh_from_db()
    assert uploaded.state == ("unverifiable" if any_server.kind == "redis8" else "loaded"), (
        uploaded.state_note
    )
    assert verify
