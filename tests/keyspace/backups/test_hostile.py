"""Files from a stranger: whatever stands in them, reading ends in Damaged (or a sentence), soon and in bounded memory."""

import io
import json
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keyspace.backups import archive, readable, sealed, store, transfer
from keyspace.backups.archive import ArchiveReader, ArchiveWriter
from keyspace.backups.dumps import Dump
from keyspace.backups.rdb import Damaged, RdbChecker, crc64, read_head
from keyspace.backups.readable import read_pieces, read_readable
from keyspace.backups.typed import from_line
from keyspace.errors import Problem
from keyspace.models import Backup
from tests.keyspace.backups.test_restoring import finish

MEBIBYTE = 1024 * 1024
quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Python's own allocations in the block stay below `size` bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def block(kind: bytes, plain: bytes, **lies: Any) -> bytes:
    """A block of an archive with a right checksum, and what the test lies about."""
    stored = lies.get("stored", zstandard.ZstdCompressor().compress(plain))
    length = lies.get("length", len(plain))
    head = struct.pack(
        "<cBIIQ", kind, lies.get("flag", 1), lies.get("claimed", len(stored)), length, crc64(stored)
    )
    return head + stored


def header() -> bytes:
    return archive.MAGIC + block(b"H", b"{}")


def record(name: bytes, payload: bytes, *, db: int = 0, expires: int = -1, **lies: int) -> bytes:
    lengths = lies.get("name_length", len(name)), lies.get("length", len(payload))
    return struct.pack("<IIqI", db, lengths[0], expires, lengths[1]) + name + payload


def read_archive(data: bytes, *, size: int | None = None) -> list[Any]:
    return list(ArchiveReader(io.BytesIO(data), size=size).pages())


def good_archive() -> bytes:
    out = bytearray()
    writer = ArchiveWriter(out.extend, {"server": "x"})
    for number in range(40):
        writer.add(number % 3, [Dump(b"name %d" % number, None if number % 2 else 5, bytes(range(30)))])
    writer.add_users([{"rule": "user default on"}])
    writer.finish()
    return bytes(out)


GOOD = good_archive()


@quick
@given(st.binary(max_size=4000))
@example(b"")
def test_random_bytes_are_no_archive(data: bytes) -> None:
    for begin in (b"", archive.MAGIC, header()):
        with pytest.raises(Damaged):
            read_archive(begin + data)


@quick
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=9), st.booleans())
def test_a_changed_archive_is_never_whole(at: int, other: bytes, cut: bool) -> None:
    bad = GOOD[:at] if cut else GOOD[:at] + other + GOOD[at + len(other) :]
    if bad == GOOD:
        return
    with pytest.raises(Damaged):
        read_archive(bad, size=len(bad))


@quick
@given(
    st.sampled_from([b"K", b"F", b"A", b"T", b"H", b"Z"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
)
def test_huge_lengths_are_refused_before_they_are_believed(
    kind: bytes, stored: int, plain: int, flag: int
) -> None:
    lie = header() + struct.pack("<cBIIQ", kind, flag, stored, plain, 0) + bytes(50)
    with at_most(4 * MEBIBYTE), pytest.raises(Damaged):
        read_archive(lie, size=len(lie))
    if stored > 100:
        with at_most(4 * MEBIBYTE), pytest.raises(Damaged):
            read_archive(lie)


@quick
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=300),
)
def test_records_that_lie(db: int, name_length: int, length: int, expires: int, rest: bytes) -> None:
    """Nothing but Damaged; and if such a record reads, it is one that its own lengths describe."""
    data = header() + block(b"K", struct.pack("<IIqI", db, name_length, expires, length) + rest)
    with at_most(4 * MEBIBYTE), pytest.raises(Damaged):
        read_archive(data)


@pytest.mark.parametrize("size", [8 * MEBIBYTE, 200 * MEBIBYTE])
@pytest.mark.parametrize("kind", [b"K", b"F", b"A", b"T"])
def test_bombs_are_refused_unopened(kind: bytes, size: int) -> None:
    """A zstd frame of some KB that says, or does not say, how much comes out of it."""
    packer = zstandard.ZstdCompressor(level=19).compressobj()
    silent = b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(size // MEBIBYTE)) + packer.flush()
    told = zstandard.ZstdCompressor(level=19).compress(bytes(size))
    for stored in (silent, told):
        for length in (size, 4 * MEBIBYTE, 100):
            data = header() + block(kind, b"", stored=stored, length=length)
            with at_most(12 * MEBIBYTE), pytest.raises(Damaged):
                read_archive(data)


def test_a_frame_with_a_huge_window_is_refused() -> None:
    """The frame's own head can ask for 2 GB of memory before its first byte."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0xA8]) + bytes(100)  # windowLog 31
    with at_most(4 * MEBIBYTE), pytest.raises(Damaged):
        list(read_pieces(io.BytesIO(frame)))
    with at_most(4 * MEBIBYTE), pytest.raises(Damaged):
        read_archive(header() + block(b"K", b"", stored=frame, length=1000))


def readable_of(*lines: bytes, compress: bool = False) -> io.BytesIO:
    data = b'{"form":"keyspace-readable"}\n' + b"".join(line + b"\n" for line in lines)
    return io.BytesIO(zstandard.ZstdCompressor().compress(data) if compress else data)


NESTED = 200_000


@pytest.mark.parametrize(
    "line",
    [
        b"[" * NESTED, b'{"form":' * NESTED, b'{"form":"keyspace-readable","end":' + b"[" * NESTED,
        b'{"db":0,"name":"a","type":"string","expires":null,"value":' + b"[" * NESTED + b"]" * NESTED + b"}",
        b'{"db":Infinity,"name":"a","type":"string","expires":null,"value":"x"}',
        b'{"db":NaN,"name":"a","type":"string","expires":null,"value":"x"}',
        b'{"db":' + b"9" * 5000 + b',"name":"a","type":"string","expires":null}',
        b'{"db":0,"name":{"b64":"%%%"},"type":"string","expires":null}',
        b'{"db":0,"name":"a","type":"string","expires":1e400}', b'{"db":0,"name":["a"],"type":1,"expires":null}',
        b"\xff\xfe\x00", b"null", b'"x"', b"0", b'{"db":{},"name":"a","type":"string","expires":null}',
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)  # fmt: skip
@pytest.mark.parametrize("compress", [False, True])
def test_lines_that_are_none(line: bytes, compress: bool) -> None:
    with at_most(40 * MEBIBYTE), pytest.raises(Damaged):
        for _, pieces in read_readable(readable_of(line, compress=compress)):
            list(pieces)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@quick
@given(
    st.dictionaries(st.sampled_from(["db", "name", "type", "expires", "part", "last", "value"]), json_values)
)
def test_any_json_is_a_line_or_a_sentence(fields: dict[str, Any]) -> None:
    try:
        piece = from_line(json.dumps(fields).encode())
    except ValueError as error:
        assert str(error)
    else:
        assert isinstance(piece.name, bytes) and isinstance(piece.db, int)


@quick
@given(st.binary(max_size=2000))
def test_random_bytes_are_no_readable_export(data: bytes) -> None:
    for begin in (b"", b"\x28\xb5\x2f\xfd", b'{"form":"keyspace-readable"}\n'):
        with pytest.raises(Damaged):
            list(read_pieces(io.BytesIO(begin + data)))


def test_one_endless_line_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of some KB that unpacks to a line of 400 MB."""
    monkeypatch.setattr(readable, "MAX_LINE", 4 * MEBIBYTE)
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    packed = b"".join(packer.compress(b"x" * MEBIBYTE) for _ in range(400)) + packer.flush()
    with at_most(40 * MEBIBYTE), pytest.raises(Damaged, match="longer than"):
        list(read_pieces(io.BytesIO(packed)))


@quick
@given(st.binary(max_size=200), st.lists(st.binary(max_size=60), max_size=8))
def test_any_stream_is_a_whole_rdb_or_none(head: bytes, pieces: list[bytes]) -> None:
    for begin in (b"", b"REDIS0011", b"VALKEY080", b"REDIS0011\xfa"):
        checker = RdbChecker()
        try:
            for piece in (begin + head, *pieces):
                checker.feed(piece)
            checker.finish()
        except Damaged:
            continue
        assert (begin + head + b"".join(pieces))[-9] == 0xFF


@quick
@given(st.binary(max_size=200))
def test_facts_of_a_hostile_head(rest: bytes) -> None:
    assert len(read_head(b"REDIS0011" + rest).facts) <= 32
    for text in ("x", "", "9" * 400, "-5", "1e3"):
        aux = b"\xfa\x08used-mem" + bytes([0x40 | len(text) >> 8, len(text) & 0xFF]) + text.encode()
        assert read_head(b"REDIS0011" + aux + rest).used_memory >= 0


@quick
@given(st.binary(max_size=400), st.integers(0, 400))
def test_any_sealed_file_is_a_sentence(rest: bytes, cut: int) -> None:
    secret = bytes(32)
    out = io.BytesIO()
    sealer = sealed.Sealer(out, secret)
    sealer.write(b"contents")
    sealer.finish()
    good = out.getvalue()
    for bad in (good[: min(cut, len(good) - 1)], good[:-1] + rest + b"x", sealed.MAGIC + rest):
        if bad == good:
            continue
        with pytest.raises((Damaged, Problem)):
            sealed.Opener(io.BytesIO(bad), secret).read()


def upload(connection: Any, data: bytes) -> Backup:
    pieces = (data[at : at + 5000] for at in range(0, len(data), 5000))
    backup = transfer.upload_backup(connection, chunks=pieces)
    job = finish(backup.job)  # type: ignore[arg-type]
    assert job.state in ("done", "failed"), job.problem
    backup.refresh_from_db()
    return backup


def archive_of(*records: bytes, keys: dict[str, int] | None = None) -> bytes:
    """A whole archive, by its own checksums, of whatever these records are."""
    keys_of = b"".join(records)
    blocks = block(b"H", b"{}") + block(b"K", keys_of, stored=keys_of, flag=0)
    crc, at = 0, 0
    while at < len(blocks):
        length = struct.unpack_from("<I", blocks, at + 2)[0]
        crc = crc64(blocks[at + 18 : at + 18 + length], crc64(blocks[at : at + 18], crc))
        at += 18 + length
    trailer = {"keys": keys or {"0": len(records)}, "crc64": f"{crc:016x}"}
    return archive.MAGIC + blocks + block(b"T", json.dumps(trailer).encode())


def payload_of(body: bytes, version: int = 11) -> bytes:
    """A DUMP payload of these bytes, as a server would have signed it."""
    signed = body + version.to_bytes(2, "little")
    return signed + crc64(signed).to_bytes(8, "little")


HOSTILE_VALUES = [
    b"\x0b\x05\x02\x00\x00\x00\x01\x00\x00\x00",  # a set of integers that says it is longer than it is
    b"\x10\x10" + b"\x10\x00\x00\x00\xff\xff" + b"\x80" * 9 + b"\xff",  # a hash whose listpack is nonsense
    b"\x12\x01\x02\xc3\x0a\x81" + b"\xff" * 8 + bytes(10),  # a list with a node that unpacks to 2^64 bytes
    b"\x00\x81" + b"\x7f" * 8 + b"x", b"\xfe\x01", b"\x07" + b"\x81" * 20,
]  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", range(len(HOSTILE_VALUES)))
def test_hostile_values_are_tried_on_a_scratch_server_alone(
    number: int, connection_as: Callable[..., Any], redis: Any
) -> None:
    """Right checksums everywhere, and a value made to break a server: it is looked at in depth, refused, and nothing dies of it."""
    data = archive_of(record(b"a", payload_of(HOSTILE_VALUES[number])), record(b"ok", redis_payload(redis)))
    backup = upload(connection_as("admin"), data)
    assert backup.state in ("unverifiable", "damaged"), backup.state_note
    assert backup.state_note
    assert not [path for path in store.parts_directory().iterdir() if path.name.startswith("copy")]


def redis_payload(redis: Any) -> bytes:
    redis.set("ok", 1)
    return bytes(redis.dump("ok"))


@pytest.mark.django_db(transaction=True)
def test_hostile_names_and_dbs(connection_as: Callable[..., Any], redis: Any) -> None:
    payload = redis_payload(redis)
    names = [b"", b"\x00", b"../../etc/passwd", b"\xff" * 3000, b"{", b"a\r\nFLUSHALL\r\n", b"${jndi}"]
    backup = upload(connection_as("admin"), archive_of(*[record(name, payload) for name in names]))
    assert (backup.state, backup.keys) == ("loaded", {"0": len(names)}), backup.state_note
    assert redis.dbsize() == 1
    far = upload(connection_as("admin"), archive_of(record(b"a", payload, db=5000), keys={"5000": 1}))
    assert (far.state, "db 5000" in far.state_note) == ("unverifiable", True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "line",
    [
        b'"type":"hash","expires":null,"value":[["f"]]', b'"type":"list","expires":null,"value":{}',
        b'"type":"nothing","expires":null,"value":"x"', b'"type":"string","expires":null',
        b'"type":"stream","expires":null,"value":[["x",["a"]]]', b'"type":"zset","expires":null,"value":[["m","not a number"]]',
        b'"type":"string","expires":1e30,"value":"x"', b'"type":"string","expires":null,"value":"x","db":-4',
    ],
    ids=bytes.decode,
)  # fmt: skip
def test_hostile_lines_are_never_called_loaded(line: bytes, connection_as: Callable[..., Any]) -> None:
    line = b'{"db":0,"name":"a",' + line + b"}"
    db = json.loads(line)["db"]
    end = json.dumps({"form": "keyspace-readable", "end": True, "keys": {str(db): 1}}).encode()
    backup = upload(connection_as("admin"), readable_of(line, end).getvalue())
    assert backup.state in ("unverifiable", "damaged"), (backup.state, backup.state_note)


@pytest.mark.django_db(transaction=True)
def test_values_that_unpack_to_more_than_the_machine_has(
    connection_as: Callable[..., Any], settings: Any, redis: Any
) -> None:
    """An archive of some KB whose strings are LZF bombs: the scratch server is stopped at its bound."""
    settings.SCRATCH_MEMORY = 64 * MEBIBYTE
    redis.config_set("rdbcompression", "yes")
    redis.set("zeros", bytes(16 * MEBIBYTE))
    bomb = bytes(redis.dump("zeros"))
    assert len(bomb) < MEBIBYTE
    data = archive_of(*[record(b"k%d" % number, bomb) for number in range(40)])
    backup = upload(connection_as("admin"), data)
    assert (backup.state, "more memory than may be used" in backup.state_note) == ("unverifiable", True), (
        backup.state_note
    )
