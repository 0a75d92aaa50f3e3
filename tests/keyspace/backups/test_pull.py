"""The stream of a pull: both framings, old servers, replicas, marks anywhere in it."""

import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from keyspace.backups import beside, making, pull
from keyspace.backups.rdb import Damaged, crc64
from keyspace.errors import Unavailable, explain
from keyspace.servers import Endpoint
from tests.keyspace.backups.test_saving import run
from tests.servers import GENERATIONS, RunningServer, start_server
from tests.topologies import start_replica

pytestmark = pytest.mark.django_db(transaction=True)
MARK = b"0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("kind", GENERATIONS)
def test_both_framings(kind: str, diskless: str) -> None:
    """With a diskless sync the end is a mark, else the length comes first."""
    with start_server(kind, config={"repl-diskless-sync": diskless, "repl-diskless-sync-delay": 0}) as server:
        server.client().execute_command("DEBUG", "POPULATE", 30_000, "key", 100)
        got, told = bytearray(), []
        version = server.client().info("server")
        pulled = pull.pull_rdb(
            Endpoint(port=server.port), version=version.get("valkey_version") or version["redis_version"],
            write=got.extend, progress=lambda done, total: told.append((done, total)),
        )  # fmt: skip
    assert pulled.size == len(got) > 30_000
    assert got.startswith(pulled.head.magic.encode())
    assert told[-1][1] == (None if diskless == "yes" else pulled.size)


def rdb(size: int, *, checksum: bool = True, holds: bytes = b"") -> bytes:
    """The frame of an RDB of about `size` bytes, with anything inside."""
    inside = random.Random(size).randbytes(size) + holds
    body = b"REDIS0011" + inside + b"\xff"
    return body + (crc64(body).to_bytes(8, "little") if checksum else bytes(8))


@contextmanager
def answering(*pieces: bytes, knows: bool, ends: bool = True, pause: float = 0) -> Iterator[Endpoint]:
    """A server that answers SYNC with these pieces, `pause` seconds apart; `knows` rdb-only or not."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        link, _ = listener.accept()
        with link:
            while True:
                asked = link.recv(4096)
                if asked.endswith(b"SYNC\r\n"):
                    break
                refused = b"rdb-only" in asked and not knows
                commands = asked.count(b"*")
                link.sendall((b"-ERR Unrecognized\r\n" if refused else b"+OK\r\n") * commands)
            try:
                for piece in pieces:
                    link.sendall(piece)
                    time.sleep(pause)
                if not ends:
                    done.wait(20)
            except OSError:
                return  # it has enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield Endpoint(port=listener.getsockname()[1], timeout=30)
    done.set()
    thread.join(30)
    listener.close()


def pulled(endpoint: Endpoint) -> bytes:
    got = bytearray()
    pull.pull_rdb(endpoint, version="7.0.0", write=got.extend)
    return bytes(got)


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("size", [10, 100_000, beside.BUFFER_BYTES, 3 * beside.BUFFER_BYTES + 7])
def test_the_mark_is_found_wherever_the_pieces_break(size: int, knows: bool) -> None:
    whole = rdb(size)
    stream = b"\n\n$EOF:" + MARK + b"\r\n" + whole + MARK
    for cut in (1, 20, 39, 45):
        with answering(stream[:-cut], stream[-cut:], knows=knows, ends=False) as endpoint:
            assert pulled(endpoint) == whole


@pytest.mark.parametrize("knows", [True, False])
def test_marks_in_values_are_values(knows: bool) -> None:
    """Also one behind what looks like the end, and one that ends a piece."""
    like_the_end = b"\xff" + (bytes(8) if knows else b"12345678") + MARK
    whole = rdb(600_000, holds=MARK * 3 + like_the_end + b"x" + MARK)
    at = whole.index(MARK) + len(MARK)
    stream = b"$EOF:" + MARK + b"\r\n" + whole + MARK
    cut = stream.index(whole) + at
    with answering(stream[:cut], stream[cut:], knows=knows, ends=False) as endpoint:
        assert pulled(endpoint) == whole


@pytest.mark.parametrize("knows", [True, False])
def test_without_a_checksum_a_value_like_the_end_is_a_value(knows: bool) -> None:
    """Even where the server pauses behind it: the end of the file, and the mark, which is the same for all syncs."""
    whole = rdb(
        600_000, holds=b"\xff" + bytes(8) + MARK + b"more" + b"\xff" + bytes(8) + MARK, checksum=False
    )
    first = whole.index(MARK) + len(MARK)
    second = whole.index(MARK, first) + len(MARK)
    stream = b"$EOF:" + MARK + b"\r\n" + whole + MARK
    cuts = [0, *(stream.index(whole) + at for at in (first, second)), len(stream)]
    pieces = [stream[one:other] for one, other in itertools.pairwise(cuts)]
    with answering(*pieces, knows=knows, ends=False, pause=0.7) as endpoint:
        assert pulled(endpoint) == whole


@pytest.mark.parametrize("kind", [*GENERATIONS, "redis6"])
def test_a_value_with_the_server_s_own_mark_is_a_value(kind: str) -> None:
    quick = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0, "rdbchecksum": "no"}
    with (
        start_server(kind, config=quick | {"repl-ping-replica-period": 1}) as server,
        server.client() as client,
    ):
        info = client.info("server")
        version = info.get("valkey_version") or info["redis_version"]
        evil = b"\xff" + bytes(8) + mark_of(server)
        for number in range(20):
            client.set(b"evil %d" % number, evil)
            client.set(b"large %d" % number, random.Random(number).randbytes(100_000) + evil)
        got = bytearray()
        found = pull.pull_rdb(Endpoint(port=server.port), version=version, write=got.extend)
    assert (got.count(evil), found.checksum_off, got[-9:]) == (40, True, b"\xff" + bytes(8))


def mark_of(server: RunningServer) -> bytes:
    """As anybody learns it who may SYNC."""
    with socket.create_connection((server.host, server.port), 10) as link:
        link.sendall(b"*3\r\n$8\r\nREPLCONF\r\n$4\r\ncapa\r\n$3\r\neof\r\n")
        assert link.recv(100) == b"+OK\r\n"
        link.sendall(b"*1\r\n$4\r\nSYNC\r\n")
        got = b""
        while b"$EOF:" not in got or len(got.partition(b"$EOF:")[2]) < 40:
            got += link.recv(4096)
    return got.partition(b"$EOF:")[2][:40]


def test_an_old_server_goes_on_with_its_stream() -> None:
    """One that does not know rdb-only sends its writes behind the announced length: they are not part of the file."""
    whole = rdb(5000)
    more = b"*1\r\n$4\r\nPING\r\n" * 100
    with answering(b"$%d\r\n" % len(whole) + whole + more, knows=False, ends=False) as endpoint:
        assert pulled(endpoint) == whole


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"$EOF:" + MARK + b"\r\n" + rdb(5000)[:-1], "closed the connection"),
        (b"$EOF:" + MARK + b"\r\n" + rdb(5000) + MARK + b"more", "closed the connection"),
        (b"$EOF:" + MARK + b"\r\n" + rdb(5000)[:-100] + MARK, "closed the connection"),
        (b"$5000\r\n" + rdb(5000)[:5000], "end mark is missing"),
        (b"$EOF:" + MARK + b"\r\n" + b"x" * 5000, "does not begin"),
        (b"$EOF:short\r\n", "not understood"),
        (b"+FULLRESYNC\r\n", "not understood"),
        (b"x" * 5000, "not understood"),
        (b"", "closed the connection"),
    ],
)
def test_a_stream_that_is_no_whole_rdb(stream: bytes, reason: str) -> None:
    with answering(stream, knows=True) as endpoint, pytest.raises(Damaged, match=reason):
        pulled(endpoint)


def test_a_pull_without_a_checksum_says_so() -> None:
    whole = rdb(5000, checksum=False)
    with answering(b"$EOF:" + MARK + b"\r\n" + whole + MARK, knows=True) as endpoint:
        found = pull.pull_rdb(endpoint, version="7.0.0", write=lambda data: None)
    assert found.checksum_off


def test_a_trickle_is_told_and_can_be_cancelled() -> None:
    """A save that is slow sends a little all the time: that is no reason to be deaf."""
    whole = rdb(400_000)
    pieces = [whole[at : at + 4000] for at in range(0, len(whole), 4000)]

    class Enough(Exception):
        pass

    told: list[float] = []

    def progress(done: int, total: int | None) -> None:
        told.append(time.monotonic())
        if done > 30_000:
            raise Enough

    with answering(b"$EOF:" + MARK + b"\r\n", *pieces, MARK, knows=True, pause=0.1) as endpoint:
        began = time.monotonic()
        with pytest.raises(Enough):
            pull.pull_rdb(endpoint, version="7.0.0", write=lambda data: None, progress=progress)
    assert time.monotonic() - began < 8
    assert max(later - before for before, later in itertools.pairwise(told)) < 5


def test_keep_alives_are_no_part_of_the_file() -> None:
    whole = rdb(5000)
    stream = [b"\n", b"\n\n", b"\n$EOF:", MARK + b"\r", b"\n" + whole, MARK]
    with answering(*stream, knows=True, pause=0.05) as endpoint:
        assert pulled(endpoint) == whole


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"-NOMASTERLINK Can't SYNC while not connected with my master\r\n", redis.ResponseError),
        (b"\n\n-NOPERM this user has no permissions to run the 'sync' command\r\n", redis.ResponseError),
        (b"-ERR Failed opening the RDB file\r\n", redis.ResponseError),
    ],
)
def test_what_the_server_answers_instead_is_told(answer: bytes, kind: type[Exception]) -> None:
    with answering(answer, knows=True) as endpoint, pytest.raises(kind) as caught:
        pulled(endpoint)
    assert explain(caught.value).sentence


def test_silence_ends_a_pull_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "SILENT_SECONDS", 1.0)
    with (
        answering(b"$EOF:" + MARK + b"\r\nREDIS0011", knows=True, ends=False) as endpoint,
        pytest.raises(Unavailable, match="stopped sending"),
    ):
        pulled(endpoint)


def test_what_writing_fails_with_ends_the_pull() -> None:
    def write(data: Any) -> None:
        raise ZeroDivisionError

    stream = b"$EOF:" + MARK + b"\r\n" + rdb(3 * beside.BUFFER_BYTES) + MARK
    with answering(stream, knows=True) as endpoint, pytest.raises(ZeroDivisionError):
        pull.pull_rdb(endpoint, version="7.0.0", write=write)


def test_from_a_healthy_replica_where_there_is_one(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    primary = new_server("valkey9")
    primary.client().mset({f"key:{number}": number for number in range(100)})
    connection = connection_as("admin", server=make_server(primary))
    with start_replica(primary) as replica:
        backup = run(making.begin_backup(connection, "pull"))
        assert (backup.state, backup.keys) == ("loaded", {"0": 100})
        assert backup.source == f"replica {replica.host}:{replica.port}"
        replica.client().execute_command("DEBUG", "SET-DISABLE-DENY-SCRIPTS", 0)
    backup = run(making.begin_backup(connection, "pull"))
    assert (backup.state, backup.source) == ("loaded", f"primary {primary.host}:{primary.port}")


def test_a_server_that_refuses_sync_is_a_sentence(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    server = new_server("valkey9")
    server.client().execute_command(
        "ACL", "SETUSER", "some", "on", ">secret", "~*", "+@all", "-sync", "-psync"
    )
    row = make_server(server, username="some", password="secret")
    backup = run(making.begin_backup(connection_as("admin", server=row), "pull"))
    assert (backup.state, backup.files) == ("failed", [])
    assert "not allow" in backup.state_note or "permission" in backup.state_note
