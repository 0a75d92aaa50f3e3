"""What goes wrong: damage, kills, a full disk, hostile files. Nothing broken is ever called whole, and nothing is left over."""

import contextlib
import io
import random
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from keyspace import job_worker
from keyspace.backups import archive, making, pull, store, verify
from keyspace.backups.archive import ArchiveReader, ArchiveWriter
from keyspace.backups.dumps import Dump
from keyspace.backups.rdb import Damaged, RdbChecker, crc64
from keyspace.backups.readable import read_pieces
from keyspace.jobs import cancel_job
from keyspace.models import Backup
from keyspace.servers import Endpoint
from tests.jobs import in_thread
from tests.keyspace.backups.samples import fill
from tests.keyspace.backups.test_restoring import back_up
from tests.servers import RunningServer
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def left_over() -> list[Path]:
    return [path for path in store.directory().rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    for path in left_over():
        path.unlink()


@pytest.mark.parametrize("data", [b"", b"123456789", bytes(range(256)) * 5])
def test_crc64_is_redis_own(data: bytes) -> None:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x95AC9329AC4BC9B5 if value & 1 else 0)
    assert crc64(data) == value
    assert crc64(data[3:], crc64(data[:3])) == value


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_a_hundred_places_of_damage(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    """Cut or flipped anywhere, a file is never whole; most of it is seen without a server."""
    fill(redis, many=300)
    backup = back_up(connection_as("admin"), kind)
    path = store.directory() / backup.files[0]["name"]
    good = path.read_bytes()
    spots = random.Random(5)
    for number in range(100):
        at = spots.randrange(len(good))
        bad = bytearray(good)
        bad[at] ^= 1 << spots.randrange(8)
        path.write_bytes(good[:at] if number % 2 else bytes(bad))
        verdict = verify.verify_files(backup, lambda done, total: None)
        assert verdict.state == "damaged", (at, verdict)
        _structure_is_seen(kind, path, good)
    path.write_bytes(good)
    assert verify.verify_files(backup, lambda done, total: None).state == "loaded"


def _structure_is_seen(kind: str, path: Path, good: bytes) -> None:
    """Without the SHA-256 that we keep: the file alone says that it is not whole."""
    data = path.read_bytes()
    if kind == "readable":
        # A bit in five hundred of a zstd frame says nothing of its contents, nor do its last four bytes.
        with contextlib.suppress(Damaged):
            assert list(read_pieces(io.BytesIO(data))) == list(read_pieces(io.BytesIO(good)))
        return
    if kind == "pull":
        checker = RdbChecker()
        with pytest.raises(Damaged):
            checker.feed(data)
            checker.finish()
        return
    with path.open("rb") as source, pytest.raises(Damaged):
        for _ in ArchiveReader(source, size=len(data)).pages():
            pass


def _changed(backup: Backup, at: int) -> str:
    """What a verification says when this one byte has changed on the disk."""
    path = store.directory() / backup.files[0]["name"]
    good = path.read_bytes()
    path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    verdict = verify.verify_files(backup, lambda done, total: None)
    path.write_bytes(good)
    assert verdict.state == "damaged", verdict
    return verdict.note


def test_damaged_backup_says_where(redis: Any, connection_as: Callable[..., Any]) -> None:
    """The block of an archive, the line of a readable export; of an RDB where a server stumbles, else that nobody can tell."""
    redis.config_set("rdbcompression", "no")
    fill(redis, many=2000)
    redis.set("text", "the very words of a long value " * 3000)
    connection = connection_as("admin")
    archive, lines, pulled = (back_up(connection, kind) for kind in ("export", "readable", "pull"))
    size = archive.files[0]["size"]
    found = re.match(
        r"Damaged at (\d+) % \(byte (\d+)\): the checksum of a block", _changed(archive, size // 2)
    )
    assert found and int(found[2]) < size // 2 and int(found[1]) == round(100 * int(found[2]) / size)
    note = _changed(lines, lines.files[0]["size"] // 2)
    assert re.match(r"Damaged: .*(line \d+|checksum does not match)", note), note
    data = (store.directory() / pulled.files[0]["name"]).read_bytes()
    note = _changed(pulled, data.index(b"the very words") + 40_000)
    assert note.startswith("Damaged: its checksum does not match its contents. Where cannot be told"), note
    note = _changed(pulled, data.index(b"the very words") - 4)  # its length: longer than the file
    assert re.match(r"Damaged at \d+ % \(byte \d+\): ", note), note
    path = store.directory() / archive.files[0]["name"]
    path.write_bytes(path.read_bytes()[: size // 2])
    cut = verify.verify_files(archive, lambda done, total: None).note
    assert re.match(r"Damaged at \d+ % \(byte \d+\): it is cut off", cut), cut


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_server_killed_in_the_middle_of_a_pull(
    share: float, new_server: Callable[..., RunningServer]
) -> None:
    server = new_server("valkey9")
    server.client().execute_command("DEBUG", "POPULATE", 150_000, "k", 300)
    server.client().config_set("rdbcompression", "no")
    got = bytearray()
    whole = 150_000 * 300

    def progress(done: int, total: int | None) -> None:
        if done > whole * share and server.process.poll() is None:
            server.kill()

    try:
        pulled = pull.pull_rdb(
            Endpoint(port=server.port), version="9.1.0", write=got.extend, progress=progress
        )
    except Damaged as error:
        assert "closed the connection" in error.reason
        return
    # The rest was on its way already when the server died: then it is whole.
    assert share == 0.99
    assert pulled.size == len(got) > whole


def test_a_killed_server_leaves_no_backup(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    server = new_server("valkey9")
    server.client().execute_command("DEBUG", "POPULATE", 2000, "k", 100)
    server.client().config_set("rdb-key-save-delay", 2000)
    backup = making.begin_backup(connection_as("admin", server=make_server(server)), "pull")
    threading.Timer(1.0, server.kill).start()
    job_worker.run_job(backup.job.pk)  # type: ignore[union-attr]
    backup.refresh_from_db()
    assert (backup.state, backup.files) == ("failed", [])
    assert backup.state_note
    assert left_over() == []


def test_cancel_a_pull(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    server = new_server("valkey9")
    server.client().execute_command("DEBUG", "POPULATE", 2000, "k", 100)
    server.client().config_set("rdb-key-save-delay", 20_000)
    connection = connection_as("admin", server=make_server(server))
    backup = making.begin_backup(connection, "pull")
    thread = in_thread(backup.job)  # type: ignore[arg-type]
    wait_until(lambda: server.client().info("persistence")["rdb_bgsave_in_progress"], "the pull")
    time.sleep(0.5)
    began = time.monotonic()
    cancel_job(connection.actor, backup.job.pk)  # type: ignore[union-attr]
    thread.join(60)
    assert time.monotonic() - began < 20  # all of it would take 40; on an idle machine it is a second
    backup.refresh_from_db()
    assert backup.state == "cancelled"
    assert left_over() == []


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_a_full_disk_fails_clean_and_says_how_much_is_missing(
    kind: str, redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.config_set("rdbcompression", "no")
    redis.execute_command("DEBUG", "POPULATE", 60_000, "key", 200)
    written = store.Part._write_all
    room = 6_000_000 if kind == "pull" else 500_000

    def write(part: store.Part, view: memoryview) -> None:
        if part.size > room:
            raise OSError(28, "No space left on device")
        written(part, view)

    monkeypatch.setattr(store.Part, "_write_all", write)
    backup = making.begin_backup(connection_as("admin"), kind)
    job_worker.run_job(backup.job.pk)  # type: ignore[union-attr]
    backup.refresh_from_db()
    assert backup.state == "failed"
    assert "disk of the backup store is full" in backup.state_note
    missing = re.search(r"About ([0-9.]+) MB more are needed", backup.state_note)
    assert missing, backup.state_note
    assert 0 < float(missing[1]) < 60
    assert left_over() == []
    redis.config_set("rdbcompression", "yes")


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_a_disk_that_fails_is_not_taken_for_the_connection(
    kind: str, redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.execute_command("DEBUG", "POPULATE", 20_000, "key", 200)

    def write(part: store.Part, view: memoryview) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store.Part, "_write_all", write)
    backup = making.begin_backup(connection_as("admin"), kind)
    job_worker.run_job(backup.job.pk)  # type: ignore[union-attr]
    backup.refresh_from_db()
    assert (backup.state, backup.state_note) == (
        "failed",
        "The disk of the backup store failed: Input/output error.",
    )
    assert left_over() == []


def test_an_interrupted_backup_is_marked_and_its_parts_removed(connection_as: Callable[..., Any]) -> None:
    backup = making.begin_backup(connection_as("admin"), "pull")
    part = store.Part(f"{backup.pk}/0.rdb")
    part.write(b"half")
    assert backup.job is not None
    type(backup.job).objects.filter(pk=backup.job.pk).update(state="running", worker="nobody 0 0 x")
    job_worker.Job.objects.filter(pk=backup.job.pk).update(beat_at="2020-01-01T00:00:00Z")
    job_worker.recover_jobs()
    backup.refresh_from_db()
    assert backup.state == "interrupted"
    assert left_over() == []


def test_the_mark_in_a_value_does_not_end_the_stream(server: RunningServer, redis: Any) -> None:
    """The 40 bytes repeat between syncs of one run, so somebody may have stored them."""
    mark = _sync_mark(server)
    redis.config_set("rdbcompression", "no")
    redis.mset({"a": mark, "b": b"x" + mark * 3, "c": b"y" * 100_000 + mark})
    got = bytearray()
    pulled = pull.pull_rdb(Endpoint(port=server.port), version="9.1.0", write=got.extend)
    assert pulled.size == len(got)
    assert got.count(mark) == 5


def _sync_mark(server: RunningServer) -> bytes:
    import socket

    with socket.create_connection((server.host, server.port)) as link:
        link.sendall(b"REPLCONF capa eof\r\n")
        link.recv(100)
        link.sendall(b"REPLCONF rdb-only 1\r\n")
        link.recv(100)
        link.sendall(b"SYNC\r\n")
        got = b""
        while b"$EOF:" not in got or len(got.partition(b"$EOF:")[2]) < 40:
            got += link.recv(4096)
        return got.partition(b"$EOF:")[2][:40]


def _archive(*pages: list[Dump]) -> bytes:
    out = bytearray()
    writer = ArchiveWriter(out.extend, {"server": "x"})
    for page in pages:
        writer.add(0, page)
    writer.finish()
    return bytes(out)


HOSTILE = [
    b"", b"KSARCH1\n", b"KSARCH1\n" + b"H" * 5,
    b"KSARCH1\n" + struct.pack("<cBIIQ", b"H", 1, 2**32 - 1, 2**32 - 1, 0),
    b"KSARCH1\n" + struct.pack("<cBIIQ", b"K", 1, 100, 600 * 1024 * 1024, 0),
    b"KSARCH1\n" + struct.pack("<cBIIQ", b"Z", 0, 1, 1, 0) + b"x",
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_archives_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    with (tmp_path / "a").open("rb") as source, pytest.raises(Damaged):
        list(ArchiveReader(source, size=len(data)).pages())


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    packed = zstandard.ZstdCompressor().compress(bytes(200 * 1024 * 1024))
    head = _archive()[: len(_archive()) - 0]
    good_header = head[8 : 8 + 18 + struct.unpack_from("<I", head, 10)[0]]
    block = struct.pack("<cBIIQ", b"K", 1, len(packed), 200 * 1024 * 1024, crc64(packed))
    (tmp_path / "a").write_bytes(archive.MAGIC + good_header + block + packed)
    import tracemalloc

    tracemalloc.start()
    with (tmp_path / "a").open("rb") as source, pytest.raises(Damaged, match="impossible length"):
        list(ArchiveReader(source).pages())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_records_that_lie_about_their_lengths(tmp_path: Path) -> None:
    good = _archive([Dump(b"name", None, b"\x00\x01x" + bytes(10))])
    reader_source = tmp_path / "a"
    for lie in ((0, 2**31, -1, 3), (0, 4, -1, 2**31), (0, 4, -5, 13), (2**31, 4, -1, 13), (0, 4, -1, 3)):
        plain = struct.pack("<IIqI", *lie) + b"name" + b"\x00\x01x" + bytes(10)
        stored = zstandard.ZstdCompressor().compress(plain)
        at = 8 + 18 + struct.unpack_from("<I", good, 10)[0]
        block = struct.pack("<cBIIQ", b"K", 1, len(stored), len(plain), crc64(stored)) + stored
        reader_source.write_bytes(good[:at] + block)
        with reader_source.open("rb") as source, pytest.raises(Damaged):
            list(ArchiveReader(source).pages())


def test_readable_lines_that_are_none(tmp_path: Path) -> None:
    for lines in (
        b"",
        b"x\n",
        b'{"form":"keyspace-readable"}\n[]\n',
        b'{"form":"keyspace-readable"}\n{"db":0}\n',
        b"\x28\xb5\x2f\xfd" + b"junk" * 9,
    ):
        (tmp_path / "a").write_bytes(lines)
        with (tmp_path / "a").open("rb") as source, pytest.raises(Damaged):
            list(read_pieces(source))
    assert zlib


def test_a_rotten_backup_is_reported_when_it_is_verified_again(
    redis: Any, connection_as: Callable[..., Any]
) -> None:
    from keyspace.backups import services
    from tests.keyspace.backups.test_restoring import finish

    fill(redis)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    path = store.directory() / backup.files[0]["name"]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 8
    path.write_bytes(bytes(data))
    finish(services.verify_backup(connection, backup_id=str(backup.pk)))
    assert Backup.objects.get(pk=backup.pk).state == "damaged"
