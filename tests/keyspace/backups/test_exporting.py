"""Exports of servers that let little through, that change meanwhile, and that hold what is large."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from keyspace import job_worker
from keyspace.backups import dumps, making, preflight, readable, sources, store, typed, verify
from keyspace.backups.archive import ArchiveReader, ArchiveWriter
from keyspace.backups.surroundings import without_secrets
from keyspace.errors import TooLarge
from keyspace.models import Backup
from tests.keyspace.backups.samples import contents, fill
from tests.keyspace.backups.test_restoring import back_up, restore
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)
NARROW = "app on >pw ~* &* +@all -@dangerous -@admin"


@pytest.fixture
def served(
    new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> Any:
    """`served(rules)`: a server as its user `app` sees it, and its owner's client."""

    def serve(rules: str, kind: str = "valkey9") -> tuple[Any, Any]:
        running = new_server(kind, acl=[rules])
        row = make_server(running, username="app", password="pw")
        return connection_as("admin", server=row), running.client()

    return serve


def test_without_info_an_export_holds_every_db(served: Any) -> None:
    """INFO counts as dangerous: a user without it is common, and its dbs are found by asking."""
    connection, owner = served(NARROW)
    fill(owner)
    owner.execute_command("COPY", "plain", "far", "DB", 7)
    assert preflight.choose_kind(connection.redis)[0] == "export"
    backup = back_up(connection, "export")
    assert backup.state == "loaded", backup.state_note
    assert backup.keys == {"0": owner.dbsize(), "7": 1}
    assert backup.product.startswith("Valkey 9")


@pytest.mark.parametrize(
    ("rules", "kind", "reason"),
    [
        ("app on >pw ~* &* +@all", "pull", "exact copy"),
        (NARROW, "export", "the ACL denies it"),
        ("app on >pw ~* &* +@all -sync", "export", "the ACL denies it"),
        ("app on >pw ~* &* +@all -replconf -acl", "export", "the ACL denies it"),
        (f"{NARROW} -dump", "readable", "nor DUMP (the ACL denies it)"),
    ],
)
def test_the_probe_chooses_what_works(rules: str, kind: str, reason: str, served: Any) -> None:
    connection, owner = served(rules)
    fill(owner)
    chosen, why = preflight.choose_kind(connection.redis)
    assert (chosen, reason in why) == (kind, True), why
    assert back_up(connection, kind).state == "loaded"


def test_readable_export_needs_no_dump(served: Any) -> None:
    connection, owner = served(f"{NARROW} -dump +restore +info")
    fill(owner)
    before = contents(owner)
    backup = back_up(connection, "readable")
    assert backup.state == "loaded", backup.state_note
    owner.flushall()
    restore(connection, backup)
    assert contents(owner) == before


def test_a_key_that_came_twice_is_not_damage(connection_as: Callable[..., Any], redis: Any) -> None:
    """SCAN gives a key again when the table of keys changes its size; the file may hold it twice."""
    redis.set("a", "1")
    redis.rpush("list", "x", "y")
    dump = dumps.Dump(b"a", None, redis.dump("a"))
    for ending, write in ((".ksarch", _archive_of), (".jsonl.zst", _readable_of)):
        backup = Backup(server="test", kind="export", person="x")
        with store.Part(f"{backup.pk}/0{ending}") as part:
            write(part.write, redis, dump)
            kept = part.commit()
        backup.files = [{"name": kept.name, "size": kept.size, "sha256": kept.sha256}]
        verdict = verify.verify_files(backup, lambda done, total: None)
        assert (verdict.state, verdict.keys) == ("loaded", {0: 2}), (ending, verdict)


def _archive_of(write: Any, client: Any, dump: dumps.Dump) -> None:
    writer = ArchiveWriter(write, {})
    writer.add(0, [dump])
    writer.add(0, [dump, dumps.Dump(b"list", None, client.dump("list")), dump])
    writer.finish()


def _readable_of(write: Any, client: Any, dump: dumps.Dump) -> None:
    writer = readable.ReadableWriter(write, {})
    for name, kind in ((b"a", "string"), (b"list", "list"), (b"list", "list"), (b"a", "string")):
        for piece in typed.read_typed(client, 0, name, kind, None):
            writer.add(piece)
    writer.finish()


def test_scan_does_give_keys_twice_and_the_export_is_still_right(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that shrinks in the middle of an export."""
    for number in range(4000):
        redis.set(f"k{number}", number)
    received = dumps.receive_answers
    asked = 0

    def receive(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 4:
            redis.delete(*[f"k{number}" for number in range(3900)])
            for _ in range(3000):
                redis.get("k3999")  # the server moves its table on with each command
        return received(*arguments)

    monkeypatch.setattr(dumps, "receive_answers", receive)
    backup = back_up(connection_as("admin"), "export")
    assert backup.state == "loaded", backup.state_note
    with store.open_file(backup.files[0]["name"]) as source:
        names = [dump.name for _, page in ArchiveReader(source).pages() for dump in page]
    assert len(set(names)) == sum(backup.keys.values())
    assert {f"k{number}".encode() for number in range(3900, 4000)} <= set(names)


def test_keys_that_change_their_type_or_go_while_they_are_read(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set("becomes", "text")
    redis.xadd("stream", {"a": 1})
    redis.xgroup_create("stream", "g", "0")
    redis.hset("goes", mapping={"f": 1})
    redis.set("stays", 1)
    read = dumps.read_heads

    def read_heads(*arguments: Any, **more: Any) -> Any:
        for page in read(*arguments, **more):
            redis.delete("becomes", "stream", "goes")
            redis.rpush("becomes", "now", "a", "list")
            yield page

    monkeypatch.setattr(dumps, "read_heads", read_heads)
    backup = back_up(connection_as("admin"), "readable")
    assert backup.state == "loaded", backup.state_note
    with store.open_file(backup.files[0]["name"]) as source:
        kinds = {first.name: first.type for first, pieces in readable.read_readable(source) if list(pieces)}
    assert kinds == {b"becomes": "list", b"stays": "string"}


def test_large_elements_make_short_pieces(redis: Any) -> None:
    for number in range(60):
        redis.rpush("list", bytes([number]) * 1_000_000)
        redis.hset("hash", f"f{number}", bytes([number]) * 1_000_000)
    for name, kind in ((b"list", "list"), (b"hash", "hash")):
        pieces = list(typed.read_typed(redis, 0, name, kind, None))
        assert max(len(piece.piece["value"]) for piece in pieces) <= 5, kind
        assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert sum(len(piece.piece["value"]) for piece in pieces) == 60


def test_what_no_file_can_hold_is_said_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyspace.backups.archive.MAX_RECORD", 100)
    with pytest.raises(TooLarge, match="The key big takes"):
        ArchiveWriter(lambda data: None, {}).add(0, [dumps.Dump(b"big", None, bytes(101))])
    monkeypatch.setattr(readable, "MAX_LINE", 100)
    piece = typed.TypedPiece(0, b"big", "string", None, 0, True, {"value": "x" * 200})
    with pytest.raises(TooLarge, match="The key big has an element"):
        readable.ReadableWriter(lambda data: None, {}).add(piece)


def test_values_of_a_page_are_asked_in_bounded_batches(redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    redis.config_set("rdbcompression", "no")
    for number in range(200):
        redis.set(f"k{number}", "x" * 100_000)
    monkeypatch.setattr(dumps, "_AT_MOST_BYTES", 1_000_000)
    pages = list(dumps.read_dumps(redis, count=20))
    assert max(len(page) for page in pages[1:]) <= 20
    assert min(len(page) for page in pages) <= 10
    assert sum(map(len, pages)) == 200


def test_acl_users_come_without_their_secrets(served: Any) -> None:
    connection, owner = served("app on >pw ~* &* +@all")
    owner.execute_command("ACL", "SETUSER", "#odd", "on", ">hunter2", "~a*", "+get", "(~b* +set)")
    owner.set("a", 1)
    backup = back_up(connection, "export")
    blocks: list[Any] = []
    with store.open_file(backup.files[0]["name"]) as source:
        data = source.read()
    for _ in ArchiveReader(io.BytesIO(data)).pages(blocks.append):
        pass
    (users,) = [block.data for block in blocks if block.kind == b"A"]
    assert b"user #odd on" in users and b"(~b*" in users and b"+set)" in users
    for rule in owner.execute_command("ACL", "LIST"):
        for word in rule.decode().split()[2:]:
            assert not (word.startswith("#") and word.encode() in users)
    assert without_secrets("user x on #abc ~* +@all") == "user x on ~* +@all"


def test_function_libraries_come_along(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.function_load("#!lua name=lib\nredis.register_function('f', function() return 7 end)")
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "export")
    redis.function_flush()
    restore(connection, backup)
    assert redis.fcall("f", 0) == 7
    redis.function_flush()


def test_what_hello_tells_where_info_is_kept(served: Any) -> None:
    connection, _ = served(NARROW, "redis7")
    told = sources.info_of(connection.redis)
    assert (sources.product_of(told)[:7], told["role"], told["cluster_enabled"]) == ("Redis 7", "master", 0)


def test_cluster_without_info_is_still_exported_whole(
    new_cluster: Callable[..., Any], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    cluster = new_cluster(primaries=3)
    client = cluster.client()
    for number in range(100):
        client.set(f"key:{number}", number)
    for node in cluster.nodes:
        node.client().execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-info")
    row = make_server(cluster.nodes[0], username="app", password="pw")
    backup = making.begin_backup(connection_as("admin", server=row), "export")
    assert backup.job is not None
    job_worker.run_job(backup.job.pk)
    backup.refresh_from_db()
    assert (backup.state, len(backup.files), backup.keys) == ("loaded", 3, {"0": 100}), backup.state_note


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_a_server_without_absolute_times_or_functions(
    kind: str, new_server: Callable[..., RunningServer], make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """Redis 6 has neither PEXPIRETIME nor FUNCTION: the ends of lives go by the server's own clock."""
    old = new_server("redis6")
    with old.client() as client:
        fill(client)
        client.set("soon", 1)
        client.expireat("soon", client.time()[0] + 90)
        before = contents(client)
        connection = connection_as("admin", server=make_server(old))
        backup = back_up(connection, kind)
        assert backup.state == "loaded", backup.state_note
        end = client.time()[0] * 1000 + client.pttl("soon")
        client.flushall()
        assert restore(connection, backup).result["failed"] == 0
        assert contents(client) == before
        assert abs(client.time()[0] * 1000 + client.pttl("soon") - end) < 2000
