"""The store: sealed files, a real S3 server on loopback, downloads by range, uploads."""

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyspace.backups import making, sealed, services, store, transfer, verify
from keyspace.backups.rdb import Damaged
from keyspace.errors import BadInput, NotFound, Unavailable
from keyspace.models import Backup
from tests.keyspace.backups.samples import as_redis_6_tells, contents, fill
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


def test_a_backup_whose_key_or_file_is_gone_is_not_called_loaded(
    redis: Any, settings: Any, connection_as: Callable[..., Any]
) -> None:
    settings.BACKUP_KEY = "a long secret"
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    settings.BACKUP_KEY = "another"
    for state, note in (("unverifiable", "sealed with another key"), ("damaged", "gone from the store")):
        finish(services.verify_backup(connection, backup_id=str(backup.pk)))
        backup.refresh_from_db()
        assert (backup.state, note in backup.state_note) == (state, True), backup.state_note
        store.remove(backup.files[0]["name"])


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


def test_backups_made_before_there_was_a_bucket_stay_good(
    redis: Any, settings: Any, connection_as: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    """Who moves to a bucket has backups in the directory: they are still found, and not called damaged."""
    redis.set("a", 1)
    connection = connection_as("admin")
    old = back_up(connection, "pull")
    client, name = request.getfixturevalue("bucket")
    new = back_up(connection, "pull")
    for backup, count in ((old, 0), (new, 1)):
        finish(services.verify_backup(connection, backup_id=str(backup.pk)))
        backup.refresh_from_db()
        assert backup.state == "loaded", backup.state_note
        assert b"".join(transfer.download_backup(connection, backup_id=str(backup.pk)).chunks()).startswith(
            b"VALKEY"
        )
        assert client.list_objects_v2(Bucket=name, Prefix=str(backup.pk)).get("KeyCount", 0) == count
        services.remove(backup)
    assert "Contents" not in client.list_objects_v2(Bucket=name)
    assert not (store.directory() / old.files[0]["name"]).exists()


class Cutting:
    """A proxy before the storage that goes silent for good once it has let `limit` bytes through."""

    def __init__(self, target: str) -> None:
        self.target, self.limit = urlsplit(target), 1 << 40
        self._passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._passed >= self.limit:
                client.close()
                continue
            server = socket.create_connection((self.target.hostname, self.target.port))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := one.recv(65536)) and self._passed < self.limit:
                self._passed += len(data)
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut_after(self, count: int) -> None:
        self.limit = self._passed + count

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def cutting(s3: str, bucket: Any, settings: Any) -> Iterator[Cutting]:
    """The same bucket, reached through a network that breaks."""
    from botocore.config import Config

    proxy = Cutting(s3)
    quick = Config(retries={"max_attempts": 1}, connect_timeout=20, read_timeout=40)
    options = settings.STORAGES["backups"]["OPTIONS"] | {"endpoint_url": proxy.url, "client_config": quick}
    settings.STORAGES = settings.STORAGES | {"backups": settings.STORAGES["backups"] | {"OPTIONS": options}}
    yield proxy
    proxy.close()


def test_a_storage_that_fails_half_way(
    bucket: Any, cutting: Cutting, redis: Any, connection_as: Callable[..., Any]
) -> None:
    """The network breaks in the second part of an upload of several, then comes back."""
    client, name = bucket
    redis.config_set("rdbcompression", "no")
    for number in range(30):
        redis.set(f"k{number}", os.urandom(1_000_000))
    connection = connection_as("admin")
    cutting.cut_after(20_000_000)
    backup = making.begin_backup(connection, "pull")
    assert finish(backup.job).state == "failed"  # type: ignore[arg-type]
    backup.refresh_from_db()
    assert (backup.state, backup.files) == ("failed", [])
    assert backup.state_note.startswith("The backup storage failed")
    assert "Contents" not in client.list_objects_v2(Bucket=name)
    assert not list(store.parts_directory().iterdir())
    cutting.limit = 1 << 40
    again = back_up(connection, "pull")
    assert (again.state, again.size > 30_000_000) == ("loaded", True), again.state_note
    _read_breaks(cutting, connection, again)


def _read_breaks(cutting: Cutting, connection: Any, backup: Backup) -> None:
    """A download that breaks says so; a verification is no verdict; deleting leaves the row."""
    cutting.cut_after(3_000_000)
    with pytest.raises(Unavailable, match="backup storage failed"):
        list(transfer.download_backup(connection, backup_id=str(backup.pk)).chunks())
    job = finish(services.verify_backup(connection, backup_id=str(backup.pk)))
    backup.refresh_from_db()
    assert (job.state, backup.state) == ("failed", "loaded")
    assert "The backup storage failed" in backup.state_note
    with pytest.raises(Unavailable):
        services.remove(backup)
    assert Backup.objects.filter(pk=backup.pk).exists()


def test_a_shard_that_fails_takes_the_others_with_it(bucket: Any) -> None:
    """Whatever lies under the id goes, also what no row tells of."""
    client, name = bucket
    backup_id = uuid.uuid4()
    for number in range(70):
        client.put_object(Bucket=name, Key=f"{backup_id}/{number}.rdb", Body=b"x")
    client.put_object(Bucket=name, Key="other/0.rdb", Body=b"x")
    store.remove_all(backup_id)
    assert [row["Key"] for row in client.list_objects_v2(Bucket=name)["Contents"]] == ["other/0.rdb"]


def test_what_a_killed_console_left_is_removed(settings: Any, tmp_path: Path) -> None:
    settings.BACKUP_DIR = str(tmp_path)
    mine = store.Part("mine/0.rdb")
    left = [store.parts_directory() / name for name in ("copy~1", "x~0.rdb~2", "upload~3", "upload~4")]
    for path in left:
        path.write_bytes(b"x")
    works = [store.parts_directory() / f"compare~{number}" for number in range(2)]
    for path in works:
        path.mkdir()
        (path / "keys").write_bytes(b"x")
    hours = {left[3]: 49.0, works[1]: 49.0}
    for path in (mine.path, *left, *works):
        then = time.time() - hours.get(path, 1.0) * 3600
        os.utime(path, (then, then))
    store.remove_abandoned()
    assert set(store.parts_directory().iterdir()) == {mine.path, left[2], works[0]}
    mine.__exit__()


def test_a_bucket_that_is_not_there_is_told_by_its_code(bucket: Any) -> None:
    client, name = bucket
    client.delete_bucket(Bucket=name)
    with pytest.raises(Unavailable, match=r"storage failed: NoSuchBucket\."):
        put("nowhere/0.rdb", PLAIN)
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


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("key", ["", "secret"])
def test_a_range_reads_nothing_before_it(
    key: str, away: bool, settings: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if away:
        request.getfixturevalue("bucket")
    settings.BACKUP_KEY = key
    data = os.urandom(3 * 1024 * 1024 + 17)
    name = put("range/0.rdb", data).name
    decrypted = 0
    decrypt = sealed.AESGCM.decrypt

    class Counting:
        def __init__(self, key: bytes) -> None:
            self._gcm = AESGCM(key)

        def decrypt(self, nonce: bytes, chunk: bytes, associated: bytes) -> bytes:
            nonlocal decrypted
            decrypted += len(chunk)
            return decrypt(self._gcm, nonce, chunk, associated)

    monkeypatch.setattr(sealed, "AESGCM", Counting)
    for first in (0, 1, sealed.CHUNK, sealed.CHUNK * 5 - 1, len(data) - 3):
        decrypted = 0
        file = transfer.Download("x", len(data), "", name)
        assert b"".join(file.chunks(first)) == data[first:]
        assert b"".join(file.chunks(first, first + 9)) == data[first : first + 10]
        assert decrypted <= len(data) - first + 16 * 20 + 3 * store.CHUNK
    store.remove(name)


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


def test_rdb_of_redis_6_comes_up_in_our_server(
    new_server: Any, make_server: Any, connection_as: Callable[..., Any], redis: Any
) -> None:
    """Redis 5 and 6 write version 9: uploaded, proved, and restored into a server of today."""
    old = new_server("redis6", config={"dbfilename": "old.rdb"})
    with old.client() as client:
        fill(client)
        client.save()
        before = contents(client)
    data = (old.directory / "old.rdb").read_bytes()
    assert data.startswith(b"REDIS0009")
    connection = connection_as("admin")
    uploaded = transfer.upload_backup(connection, chunks=pieces(data), label="file dump.rdb")
    finish(uploaded.job)  # type: ignore[arg-type]
    uploaded.refresh_from_db()
    assert (uploaded.state, uploaded.format, uploaded.product[:7]) == ("loaded", "REDIS0009", "Redis 6"), (
        uploaded.state_note
    )
    redis.flushall()
    restore(connection, uploaded)
    assert as_redis_6_tells(contents(redis)) == before
