"""What stands around the keys: function libraries and ACL users, in archives and in the readable form, and back on any generation."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import opening, restore_services, services, store, surroundings
from keyspace.backups.archive import ArchiveReader, ArchiveWriter
from keyspace.backups.rdb import Damaged
from keyspace.backups.readable import ReadableWriter, read_lines, read_pieces
from keyspace.backups.restore_services import RestoreOrder
from keyspace.backups.surroundings import Around, Library, read_libraries, to_frames, without_secrets
from keyspace.models import Backup, OpenBackup
from keyspace.servers import open_connection
from tests.keyspace.backups.test_exporting import NARROW, served  # noqa: F401
from tests.keyspace.backups.test_hostile import MEBIBYTE, at_most, readable_of, upload
from tests.keyspace.backups.test_restoring import back_up, finish, restore
from tests.servers import RunningServer, find_binary
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db(transaction=True)
RESTORED = "The function libraries were restored."


def library(name: str, answer: int = 1, *, more: bytes = b"") -> bytes:
    code = f"#!lua name={name}\nredis.register_function('{name}_f', function() return {answer} end)\n"
    return code.encode() + more


def restored(connection: Any, backup: Backup) -> Any:
    """The whole server is emptied before."""
    order = RestoreOrder(dry=False, empty=True)
    confirmed = connection.server.name
    return finish(
        restore_services.restore_backup(
            connection, backup_id=str(backup.pk), order=order, confirmed=confirmed
        )
    )


def lines_of(backup: Backup, number: int = 0) -> list[Any]:
    with store.open_file(backup.files[number]["name"]) as source:
        return [json.loads(line) for _, line in read_lines(source)]


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_libraries_come_back_on_every_generation(
    kind: str, any_server: RunningServer, make_server: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    """Also large ones, and code that is no UTF-8; the dry run says what becomes of them."""
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    connection = connection_as("admin", server=make_server(any_server))
    codes = {
        library("odd", more="-- größe\n".encode() + b"-- \xff\xfe\n"),
        library("large", 2, more=("-- ä" + "x" * 98 + "\n").encode() * 4000),
    }
    with any_server.client() as client:
        for code in codes:
            client.function_load(code)
        client.set("a", 1)
        backup = back_up(connection, kind)
        assert backup.state_note == "With 2 function libraries."
        client.function_flush()
        dry = restore(connection, backup, dry=True).result["functions"]
        assert dry in (
            f"Function libraries that would be restored: {names}." for names in ("odd, large", "large, odd")
        )
        assert client.function_list() == []
        assert restore(connection, backup).result["functions"] == RESTORED
        assert {each.code for each in read_libraries(client)} == codes
        assert (client.fcall("odd_f", 0), client.fcall("large_f", 0)) == (1, 2)
        assert (
            restore(connection, backup, existing="overwrite").result["functions"] == RESTORED
        )  # they are the same


@pytest.mark.parametrize("kind", ["export", "readable"])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("redis8", "valkey9"), ("redis7", "valkey9"), ("valkey9", "redis7"), ("valkey9", "redis8"), ("redis8", "redis7"),
        ("valkey9", "valkey8"),
    ],
)  # fmt: skip
def test_libraries_go_across_generations(
    kind: str, source: str, target: str, make_server: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    here, there = shared_server(source), shared_server(target)
    with here.client() as client, there.client() as other:
        client.function_load(library("lib", 5))
        client.set(b"a\xff", 1)
        backup = back_up(connection_as("admin", server=make_server(here, "from")), kind)
        assert backup.state == "loaded", backup.state_note
        into = connection_as("admin", server=make_server(there, "to"))
        other.function_load(library("gone"))
        job = restored(into, backup)
        assert job.result["functions"] == RESTORED, job.problem
        assert [each.name for each in read_libraries(other)] == ["lib"]
        assert other.fcall("lib_f", 0) == 5


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_no_library_that_is_there_is_overwritten(
    kind: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    """The others are restored, whichever form they come from."""
    redis.function_load(library("one"))
    redis.function_load(library("two"))
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    redis.function_flush()
    redis.function_load(library("one", 9))
    assert restore(connection, backup, dry=True).result["functions"] == (
        "Function libraries that would be restored: two. Function libraries that are there already, and left alone: one."
    )
    told = restore(connection, backup, existing="overwrite").result["functions"]
    assert "one: Library 'one' already exists" in told and "The other 1 is there" in told
    assert (redis.fcall("one_f", 0), redis.fcall("two_f", 0)) == (9, 1)
    assert "functions" not in restore(connection, backup, match=b"a*").result


def test_a_library_that_no_server_here_takes_is_restored_from_its_line(
    make_server: Any, connection_as: Callable[..., Any]
) -> None:
    """It loads on Redis 8 alone; the scratch server is a Valkey."""
    code = library("picky").replace(
        b"redis.reg", b"if redis.REDIS_VERSION_NUM < 0x080000 then too_old() end\nredis.reg"
    )
    here = shared_server("redis8")
    connection = connection_as("admin", server=make_server(here))
    with here.client() as client:
        client.function_load(code)
        client.set("a", 1)
        backup = back_up(connection, "readable")
        assert backup.state == "unverifiable"
        assert "does not take its function libraries (picky: " in backup.state_note
        assert "too_old" in backup.state_note
        client.function_flush()
        client.flushall()
        assert restore(connection, backup, dry=True).result["functions"].endswith("would be restored: picky.")
        assert restore(connection, backup).result["functions"] == RESTORED
        assert (client.get("a"), client.fcall("picky_f", 0)) == (b"1", 1)
        elsewhere = connection_as("admin", server=make_server(shared_server("valkey9"), "to"))
        assert "picky: " in restore(elsewhere, backup).result["functions"]
        assert elsewhere.redis.get("a") == b"1"


def test_readable_exports_name_acl_users_as_archives_do(
    served: Any,  # noqa: F811
) -> None:
    connection, owner = served("app on >pw ~* &* +@all")
    owner.execute_command("ACL", "SETUSER", "#odd", "on", ">hunter2", "~a*", "+get", "(~b* +set)")
    owner.set("a", 1)
    backup = back_up(connection, "readable")
    assert (backup.state, backup.state_note) == ("loaded", "")
    rules = [line["user"] for line in lines_of(backup) if "user" in line]
    assert rules == [without_secrets(rule) for rule in owner.execute_command("ACL", "LIST")]
    assert any(rule.startswith("user #odd on ") and "(~b*" in rule for rule in rules)
    assert not any(" #" in rule.replace("user #odd", "") or ">" in rule for rule in rules)
    archived: list[Any] = []
    with store.open_file(back_up(connection, "export").files[0]["name"]) as source:
        for _ in ArchiveReader(io.BytesIO(source.read())).pages(archived.append):
            pass
    (users,) = [json.loads(block.data) for block in archived if block.kind == b"A"]
    assert [user["rule"] for user in users] == rules
    before = owner.execute_command("ACL", "LIST")
    restore(connection, backup)
    assert owner.execute_command("ACL", "LIST") == before


@pytest.mark.parametrize(("kind", "command"), [("export", "DUMP"), ("readable", "LIST")])
def test_what_the_server_keeps_to_itself_is_said(
    kind: str,
    command: str,
    served: Any,  # noqa: F811
) -> None:
    """Also after the next verification, and where the file is taken elsewhere: the file says it."""
    connection, owner = served(f"{NARROW} -function")
    owner.set("a", 1)
    owner.function_load(library("lib"))
    backup = back_up(connection, kind)
    told = f"Function libraries are not in it: the ACL denies FUNCTION {command}. ACL users are not in it: the ACL denies ACL LIST."
    assert (backup.state, backup.state_note) == ("loaded", told)
    finish(services.verify_backup(connection, backup_id=str(backup.pk)))
    backup.refresh_from_db()
    assert backup.state_note == told
    with store.open_file(backup.files[0]["name"]) as source:
        assert upload(connection, source.read()).state_note == told


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_a_command_that_was_renamed_away_is_said_and_one_that_never_was_is_not(
    kind: str,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    connection_as: Callable[..., Any],
) -> None:
    renamed, old = new_server("redis7", 'rename-command FUNCTION ""'), new_server("redis6")
    for server, told in ((renamed, "the server has no FUNCTION"), (old, "")):
        server.client().set("a", 1)
        backup = back_up(connection_as("admin", server=make_server(server, server.kind)), kind)
        assert (backup.state, told in backup.state_note) == ("loaded", True), backup.state_note
        assert bool(told) == bool(backup.state_note)


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_libraries_of_a_cluster(
    kind: str,
    new_cluster: Callable[..., Any],
    redis: Any,
    make_server: Any,
    connection_as: Callable[..., Any],
) -> None:
    """Each shard's file has them; they come back to every shard, or to one server."""
    cluster = new_cluster(primaries=3)
    for number in range(60):
        cluster.client().set(f"key:{number}", number)
    for node in cluster.nodes:
        node.client().function_load(library("lib", 3))
    connection = connection_as("admin", server=make_server(cluster.nodes[0], "cluster"))
    backup = back_up(connection, kind)
    assert (backup.state, backup.state_note, len(backup.files)) == ("loaded", "With 1 function library.", 3)
    assert restore(connection_as("admin"), backup).result["functions"] == RESTORED
    assert (redis.fcall("lib_f", 0), redis.dbsize()) == (3, 60)
    for node in cluster.nodes:
        node.client().function_flush()
    assert restore(connection, backup, existing="different").result["functions"] == RESTORED
    assert [node.client().fcall("lib_f", 0) for node in cluster.nodes] == [3, 3, 3]


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_an_opened_export_has_its_libraries(kind: str, redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.function_load(library("lib"))
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, kind)
    redis.function_flush()
    job = finish(services.open_backup(connection, backup_id=str(backup.pk)))
    opened = open_connection(connection.actor, job.result["server"])
    assert [each.name for each in read_libraries(opened.redis)] == ["lib"]
    assert restore(connection, backup).result["functions"] == RESTORED
    for each in OpenBackup.objects.all():
        opening.close(each)


def test_a_library_larger_than_a_readable_file_takes_is_named(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings, "MOST_BYTES", 5000)
    redis.function_load(library("small"))
    redis.function_load(library("big", more=b"-- " + b"x" * 6000))
    backup = back_up(connection_as("admin"), "readable")
    assert backup.state == "loaded"
    assert backup.state_note == (
        "With 1 function library. The function library big is not in it: too much code for the readable form."
    )


def test_an_archive_takes_any_number_of_users() -> None:
    """A block of them is as large as readers take, and no larger."""
    out = bytearray()
    writer = ArchiveWriter(out.extend, {})
    users = [{"rule": f"user {number} on ~{'x' * 400} +@all"} for number in range(20_000)]
    writer.add_users(users)
    writer.finish()
    blocks: list[Any] = []
    list(ArchiveReader(io.BytesIO(bytes(out))).pages(blocks.append))
    assert len(blocks) > 4
    assert [user for block in blocks for user in json.loads(block.data)] == users


def frame(**words: Any) -> bytes:
    return json.dumps({"form": "keyspace-readable", **words}).encode()


def function(name: Any = "lib", code: Any = None, **words: Any) -> bytes:
    code = library(str(name)).decode() if code is None else code
    return frame(**({"function": name, "engine": "LUA", "part": 0, "last": True, "code": code} | words))


END = frame(end=True, keys={}, functions=1)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([function(), function()], "twice"), ([function(name="../x")], "no such name"), ([function(name=["lib"])], "no such name"),
        ([function(name="")], "no such name"), ([function(name="a b\n")], "no such name"), ([function(engine=7)], "no such name"),
        ([function(code={"b64": "%%%"})], "line 2"), ([function(code=7)], "line 2"), ([function(code=None, part=3)], "missing"),
        ([function(part="x")], "missing"), ([function(last=False)], "another number"), ([function(last="yes")], "another number"),
        ([function(last=False), function(name="b")], "does not end"), ([function(last=False), function(part=2)], "missing"),
        ([frame(user=["x"])], "no text"), ([frame(user="user x on"), function()], "ACL users"), ([], "another number"),
        ([b'{"form":"keyspace-readable","function":"' + b"x" * 2 * MEBIBYTE + b'"}'], "not a line"),
    ],
)  # fmt: skip
def test_hostile_libraries_are_damage(lines: list[bytes], why: str) -> None:
    with at_most(40 * MEBIBYTE), pytest.raises(Damaged, match=why):
        list(read_pieces(readable_of(*lines, END)))


def test_libraries_without_end_are_refused_in_bounded_memory() -> None:
    """Some KB that unpack to any number of libraries, or to one of any length."""
    kept: list[Library] = []
    piece = "x" * 130_000
    many = (function(name=f"{number:04000}", code="x") for number in range(1_000_000))
    endless = (function(part=number, last=False, code=piece) for number in range(1_000_000))
    for frames in (many, endless):
        around, seen = Around(kept.append), 0
        with at_most(120 * MEBIBYTE), pytest.raises(ValueError, match="more than 32 MB"):
            for line in frames:
                around.see(json.loads(line))
                seen += 1
        assert seen < 10_000
        kept.clear()


@pytest.mark.parametrize(
    ("code", "state", "why"),
    [
        ("this is no code", "unverifiable", "lib: Missing library metadata"),
        ("#!lua name=lib\nnot lua at all", "unverifiable", "lib: Error compiling function"),
        ("#!nothing name=lib\n", "unverifiable", "lib: Engine 'nothing' not found"),
        ("#!lua name=lib\nwhile true do end", "unverifiable", "timeout"),
        ("#!lua name=lib\nredis.call('FLUSHALL')", "unverifiable", "lib: "),
        ("#!lua name=other\nredis.register_function('f', function() end)", "damaged", "another name in its code"),
        ("", "unverifiable", "lib: "),
        ({"b64": base64.b64encode(b"#!lua name=lib\n\xff\x00").decode()}, "unverifiable", "lib: "),
    ],
)  # fmt: skip
def test_code_of_a_stranger_is_tried_on_a_scratch_server_alone(
    code: Any, state: str, why: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    redis.set("mine", 1)
    connection = connection_as("admin")
    data = readable_of(function(code=code), END).getvalue()
    backup = upload(connection, data)
    assert (backup.state, why in backup.state_note) == (state, True), backup.state_note
    if state == "unverifiable":
        job = restore(connection, backup)
        assert (job.state, "lib: " in job.result["functions"]) == ("done", True), job.problem
    assert (redis.keys(), redis.function_list()) == ([b"mine"], [])


def test_a_library_that_takes_all_memory_is_stopped(connection_as: Callable[..., Any], settings: Any) -> None:
    settings.SCRATCH_MEMORY = 64 * MEBIBYTE
    code = """#!lua name=lib
        local t = {} for i = 1, 60 do t[i] = ('x' .. i):rep(2000000) end
        redis.register_function('f', function() return #t end)"""
    backup = upload(connection_as("admin"), readable_of(function(code=code), END).getvalue())
    assert backup.state == "unverifiable"
    assert "more memory than may be used" in backup.state_note


@pytest.mark.parametrize("cut", [0, 1, 131_071, 131_072, 131_073, 300_000])
def test_a_library_is_cut_into_lines_and_joined_again(cut: int) -> None:
    code = ("#!lua name=lib\n" + "ü€\x01\n" * 60_000).encode()[: cut or None]
    out, got = bytearray(), list[Library]()
    writer = ReadableWriter(out.extend, {}, compress=False)
    writer.add_library(Library("lib", "LUA", code))
    writer.add_user("user x on")
    writer.finish()
    assert max(map(len, bytes(out).splitlines())) < MEBIBYTE
    around = Around(got.append)
    assert list(read_pieces(io.BytesIO(bytes(out)), around)) == []
    assert (got, around.users) == ([Library("lib", "LUA", code)], 1)
    assert len(list(to_frames(got[0]))) == max(1, -(-len(code) // 131_072))
