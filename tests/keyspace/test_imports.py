"""Imports: previewed, written by a policy, through the trash, on any generation; bad lines are numbers, not the end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from django.db import connection as database

from keyspace import exports, imports, job_worker
from keyspace.backups import store
from keyspace.backups.dumps import Dump
from keyspace.backups.restore_undo import undo_restore
from keyspace.bulk.choice import Choice
from keyspace.errors import BadInput, Conflict, Denied
from keyspace.import_fit import Fit
from keyspace.keys import Filter
from keyspace.models import Job, Server, TrashEntry
from keyspace.wire import open_wire
from tests.keyspace.backups.test_restoring import back_up
from tests.keyspace.test_bulk import KILLED, wait_for
from tests.keyspace.test_exports import ALL, BYTES, fill
from tests.topologies import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def exported(connection: Any, form: str, choice: Choice = ALL) -> bytes:
    return b"".join(exports.export_keys(connection, choice=choice, form=form).chunks)


def preview(connection: Any, data: bytes) -> Job:
    job = imports.preview_import(connection, chunks=iter([data[:40], data[40:]]), file_name="e.jsonl")
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    return job


def bring(connection: Any, data: bytes, **how: str) -> Job:
    job = imports.start_import(connection, preview_id=preview(connection, data).pk, **how)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    return job


def state_of(redis: Any) -> dict[bytes, Any]:
    """What the keys of `fill` hold, comparable between generations."""
    return {
        name: [redis.type(name), read(redis, name), (redis.pttl(name) + 5000) // 100_000]
        for name in redis.keys("e:*")
        for read in [READ[redis.type(name)]]
    }


SLOWLY = """
from django.conf import settings; settings.BACKUP_DIR = sys.argv[3]
import time
from keyspace.job_runs import Run
report = Run.report
def slowly(run, **told):
    report(run, **told)
    time.sleep(float(sys.argv[4]))
Run.report = slowly
"""
WITH_OUR_FILES = KILLED.replace("from keyspace import", f"{SLOWLY}from keyspace import")

READ = {
    b"string": lambda redis, name: redis.get(name), b"hash": lambda redis, name: redis.hgetall(name),
    b"list": lambda redis, name: redis.lrange(name, 0, -1), b"set": lambda redis, name: redis.smembers(name),
    b"zset": lambda redis, name: redis.zrange(name, 0, -1, withscores=True), b"stream": lambda redis, name: redis.xrange(name),
}  # fmt: skip


@pytest.mark.parametrize("form", ["archive", "lines", "packed"])
def test_what_was_exported_comes_back(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any, form: str
) -> None:
    fill(any_redis)
    admin = connection_as("admin", server=make_server(any_server))
    before, data = state_of(any_redis), exported(admin, form)
    any_redis.delete(*any_redis.keys("e:*"))
    job = bring(admin, data)
    assert (job.state, job.result["restored"]) == ("done", 7), (job.problem, job.result)
    assert state_of(any_redis) == before
    assert any_redis.get("other") == b"1"


@pytest.mark.parametrize("form", ["archive", "lines"])
def test_from_a_new_generation_to_an_old_one(
    redis: Any, new_server: Any, make_server: Any, connection_as: Any, form: str
) -> None:
    """The payload of Valkey 9 is none of Redis 7: the readable form takes its place."""
    fill(redis)
    redis.hset("e:big", mapping={f"f{number}": number for number in range(3000)})
    data = exported(connection_as("admin"), form)
    old = new_server("redis7")
    job = bring(connection_as("admin", server=make_server(old, "old")), data)
    with old.client() as client:
        assert state_of(client) == state_of(redis), job.result


@pytest.mark.parametrize(
    ("here", "there"), [("valkey9", "redis7"), ("redis7", "valkey9"), ("redis6", "redis8")]
)
@pytest.mark.parametrize("form", ["archive", "lines"])
def test_a_score_that_another_generation_writes_otherwise_is_the_same(
    new_server: Any, make_server: Any, connection_as: Any, form: str, here: str, there: str
) -> None:
    """Redis before 7.2 says 0.10000000000000001 where the others say 0.1."""
    scores = {"a": 0.1, "b": 1 / 3, "c": float("-inf"), "d": 1e17, "e": 5e-324, b"\xff": -0.0, "g": 12}
    servers = [new_server(kind) for kind in (here, there)]
    for number, running in enumerate(servers):
        running.client().zadd(b"e:\xfe", scores)
        running.client().zadd("e:large", {f"m{n}": n / 7 for n in range(1500)})
        make_server(running, f"s{number}")
    source, target = (connection_as("admin", server=Server.objects.get(name=f"s{n}")) for n in (0, 1))
    found = preview(target, exported(source, form)).result
    assert (found["same"], found["different"], found["bad_lines"]) == (2, 0, 0), found


@pytest.mark.parametrize("form", ["archive", "lines"])
def test_the_preview_tells_new_same_and_different_and_writes_nothing(
    redis: Any, connection_as: Any, form: str
) -> None:
    fill(redis)
    admin = connection_as("admin")
    data = exported(admin, form)
    redis.delete("e:l")
    redis.hset("e:h", "b", "other")
    redis.persist(BYTES)
    found = preview(admin, data).result
    assert (found["new"], found["same"], found["different"]) == (1, 4, 2)
    assert not redis.exists("e:l") and redis.hget("e:h", "b") == b"other"


def test_trying_a_payload_makes_no_key(any_server: Any, any_redis: Any) -> None:
    """On every generation: a payload of its own is taken, one of a later format is not, and neither leaves anything."""
    any_redis.set("e:text", "a")
    payload = any_redis.dump("e:text")
    with open_wire(any_redis) as wire:
        fit = Fit(wire, lambda dump: [])
        later = payload[:-10] + b"\x60\x00" + payload[-8:]
        fit.look_at([Dump(BYTES, None, payload), Dump(b"e:new", None, later)])
    assert fit.counts == {"readable": 0, "no": 1} and fit.examples["no"][0][:2] == ["e:new", "string"]
    assert any_redis.keys("*") == [b"e:text"] and any_redis.info("stats")["expired_keys"] == 0


def test_the_preview_tells_what_this_server_does_not_take(
    redis: Any, new_server: Any, make_server: Any, connection_as: Any
) -> None:
    fill(redis)
    data = exported(connection_as("admin"), "archive")
    old = connection_as("admin", server=make_server(new_server("redis7"), "old"))
    found = preview(old, data).result
    assert (
        found["fit"]["counts"] == {"readable": 7, "no": 0} and len(found["fit"]["examples"]["readable"]) == 7
    )
    assert found["product"].startswith("Valkey 9") and found["new"] == 7 and old.redis.dbsize() == 0
    assert preview(connection_as("admin"), data).result["fit"]["counts"] == {"readable": 0, "no": 0}


@pytest.mark.parametrize("form", ["archive", "lines"])
def test_what_does_not_fit_the_trash_is_left_alone_and_what_is_the_same_is_not_kept(
    redis: Any, connection_as: Any, settings: Any, form: str
) -> None:
    redis.mset({"e:same": "1", "e:large": "imported", "e:small": "imported"})
    redis.rpush("e:long", *range(7000))
    admin = connection_as("admin")
    data = exported(admin, form)
    redis.mset({"e:large": os.urandom(80_000), "e:small": "newer"})
    settings.TRASH_KEY_BYTES = 60_000
    job = bring(admin, data, existing="different")
    assert redis.get("e:small") == b"imported" and redis.strlen("e:large") == 80_000
    assert [bytes(kept.name) for kept in TrashEntry.objects.all()] == [b"e:small"]
    assert (job.result["restored"], job.result["skipped"], job.result["same"]) == (1, 3, 2)
    assert "too large for the trash" in job.result["problems"][0]


@pytest.mark.parametrize("form", ["archive", "lines"])
def test_an_import_is_undone_key_by_key_where_nobody_wrote_since(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any, form: str
) -> None:
    """New keys go, overwritten ones come back with their expiry; what was changed since stays."""
    fill(any_redis)
    admin = connection_as("admin", server=make_server(any_server))
    data = exported(admin, form)
    any_redis.delete("e:l", "e:s")
    any_redis.set("e:text", "theirs", px=800_000)
    any_redis.hset("e:h", "b", "theirs")
    before = state_of(any_redis)
    job = bring(admin, data, existing="different")
    assert job.result["undo"] == {"new": 2, "overwritten": 2, "beyond": False}, job.result
    any_redis.hset("e:h", "b", "since")
    undo = undo_restore(admin, job_id=str(job.pk))
    job_worker.run_job(undo.pk)
    undo.refresh_from_db()
    assert undo.result["counts"] == {"put_back": 1, "changed": 1, "removed": 2}, undo.problem
    after = state_of(any_redis)
    assert after.pop(b"e:h")[1][b"b"] == b"since" and before.pop(b"e:h")
    assert after == before


@pytest.mark.parametrize("form", ["archive", "lines"])
@pytest.mark.parametrize("existing", ["skip", "overwrite", "different"])
def test_policies(redis: Any, connection_as: Any, form: str, existing: str) -> None:
    fill(redis)
    admin = connection_as("admin")
    data = exported(admin, form)
    redis.set("e:text", "newer")
    redis.delete("e:l")
    job = bring(admin, data, existing=existing)
    assert job.state == "done", job.problem
    assert redis.lrange("e:l", 0, -1) == [b"a", b"b", b"c"]
    if existing == "skip":
        assert (
            redis.get("e:text") == b"newer" and job.result["skipped"] == 6 and not TrashEntry.objects.exists()
        )
    else:
        assert redis.get("e:text") == "ä".encode()
        kept = TrashEntry.objects.get(name=b"e:text")
        from keyspace.trash import restore_key

        restore_key(admin, b"e:text", entry_id=kept.pk, replace=True)
        assert redis.get("e:text") == b"newer" and kept.why == "overwritten"


def test_bad_lines_are_told_by_number_and_the_rest_goes_on(redis: Any, connection_as: Any) -> None:
    fill(redis)
    admin = connection_as("admin")
    lines = exported(admin, "lines").splitlines(keepends=True)
    redis.flushall()
    # Each server has an order of its own; a key of several lines comes last, where none of them is replaced.
    lines[1:-1] = sorted(lines[1:-1], key=lambda line: json.loads(line)["type"] == "stream")
    lines[2] = b"{not json\n"
    lines[3] = (
        json.dumps({"db": 0, "name": "e:w", "type": "set", "expires": None, "value": [1]}).encode() + b"\n"
    )
    lines.insert(
        4,
        json.dumps(
            {
                "db": 0,
                "name": "e:p",
                "type": "list",
                "expires": None,
                "part": 0,
                "last": False,
                "value": ["a"],
            }
        ).encode()
        + b"\n",
    )
    lines.insert(5, b'{"db":0,"name":"e:m","type":"cheese","expires":null,"value":[]}\n')
    lines.insert(6, b'{"db":0,"name":"e:z","type":"zset","expires":null,"value":[["m","much"]]}\n')
    dry = preview(admin, b"".join(lines)).result
    assert [number for number, _ in dry["bad"]] == [3, 4, 6, 7, 8] and dry["bad_lines"] == 5
    job = bring(admin, b"".join(lines[:-1]))
    assert job.state == "done", job.problem
    assert redis.dbsize() == job.result["restored"] == 5 and not redis.exists("e:p")
    assert "last line is missing" in job.result["bad"][-1][1]


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_what_a_whole_backup_holds_beside_its_keys_is_no_bad_line(
    kind: str, redis: Any, connection_as: Any
) -> None:
    """Function libraries are left out, and that is said; a line of them that makes no sense is passed over as well."""
    redis.function_load("#!lua name=lib\nredis.register_function('f', function() return 7 end)")
    redis.set(b"e:a\xff", 1)
    admin = connection_as("admin")
    backup = back_up(admin, kind)
    with store.open_file(backup.files[0]["name"]) as source:
        data = source.read()
    if kind == "readable":
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(data).splitlines(keepends=True)
        lines.insert(2, b'{"form":"keyspace-readable","function":[7],"part":{},"code":null}\n')
        lines.insert(2, b'{"form":"keyspace-readable","user":{"b64":"x"}}\n')
        data = b"".join(lines)
    redis.flushall()
    redis.function_flush()
    dry = preview(admin, data).result
    assert (dry["bad_lines"], dry["new"], dry["libraries"]) == (0, 1, True)
    job = bring(admin, data)
    assert (job.state, job.result["restored"], job.result["libraries"]) == ("done", 1, True), job.problem
    assert (redis.keys(), redis.function_list()) == ([b"e:a\xff"], [])
    assert not preview(admin, exported(admin, "packed")).result["libraries"]


def test_one_key_of_a_batch_does_not_spoil_the_others(redis: Any, connection_as: Any) -> None:
    """A key that stands twice in a file is written once, and what the server refuses is told by name."""

    def line(name: str, kind: str, value: Any) -> bytes:
        return json.dumps(
            {"db": 0, "name": name, "type": kind, "expires": None, "part": 0, "last": True, "value": value}
        ).encode()

    redis.set("there", "old")
    lines = [line("a", "list", ["1"]), line("bad", "zset", [["m", "nan"]]), line("there", "string", "new"),
             line("b", "string", "1"), line("a", "list", ["2"]), line("c", "set", ["x"])]  # fmt: skip
    job = bring(connection_as("admin"), b"\n".join(lines) + b"\n")
    found = job.result
    assert (found["restored"], found["skipped"], found["failed"]) == (3, 2, 1), job.problem
    assert redis.lrange("a", 0, -1) == [b"1"] and redis.get("there") == b"old" and not redis.exists("bad")
    assert redis.get("b") == b"1" and redis.smembers("c") == {b"x"} and "bad: " in found["problems"][0]


@pytest.mark.parametrize("data", [b"hello", b"REDIS0011......", b"\x1f\x8b", b""])
def test_what_is_no_export_is_refused(connection_as: Any, data: bytes) -> None:
    with pytest.raises(BadInput):
        imports.preview_import(connection_as("admin"), chunks=iter([data]))


def test_a_cut_archive_is_refused_before_anything_is_written(redis: Any, connection_as: Any) -> None:
    fill(redis)
    admin = connection_as("admin")
    data = exported(admin, "archive")
    dry = preview(admin, data[:-30])
    assert "damaged" in dry.result["refused"]
    with pytest.raises(Conflict):
        imports.start_import(admin, preview_id=dry.pk)


def test_roles_and_patterns(redis: Any, connection_as: Any) -> None:
    fill(redis)
    data = exported(connection_as("admin"), "lines")
    with pytest.raises(Denied):
        imports.preview_import(connection_as("operator"), chunks=iter([data]))
    admin = connection_as("admin")
    object.__setattr__(admin, "access", type(admin.access)(()))
    with pytest.raises(Denied):
        imports.preview_import(admin, chunks=iter([data]))


def test_keys_outside_the_grant_are_left_alone(
    redis: Any, make_person: Any, server_row: Server, connection_as: Any
) -> None:
    from keyspace.access import Actor
    from keyspace.servers import open_connection

    fill(redis)
    data = exported(connection_as("admin"), "archive")
    redis.flushall()
    user = make_person("ana", "admin", server=server_row, patterns=["e:[hl]"])
    job = bring(open_connection(Actor(user, "ana"), "test", 0), data)
    assert sorted(redis.keys("*")) == [b"e:h", b"e:l"] and job.result["foreign"] == 5


def test_overwriting_on_production_takes_the_name(redis: Any, connection_as: Any, server_row: Server) -> None:
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    fill(redis)
    admin = connection_as("admin")
    dry = preview(admin, exported(admin, "lines"))
    with pytest.raises(BadInput, match="name"):
        imports.start_import(admin, preview_id=dry.pk, existing="overwrite", typed="tset")
    assert imports.start_import(admin, preview_id=dry.pk, existing="overwrite", typed="test")


def test_what_expired_since_is_not_brought_to_life(redis: Any, connection_as: Any) -> None:
    redis.set("e:short", 1, px=2500)
    redis.set("e:long", 1)
    admin = connection_as("admin")
    data = exported(admin, "archive")
    wait_until(lambda: not redis.exists("e:short"), "its end")
    job = bring(admin, data)
    assert job.result["expired"] == 1 and not redis.exists("e:short")


@pytest.mark.parametrize(
    ("form", "existing"), [("archive", "overwrite"), ("lines", "overwrite"), ("lines", "skip")]
)
def test_kill_9_in_the_middle_then_resume(redis: Any, connection_as: Any, form: str, existing: str) -> None:
    """Everything is there, once."""
    count, pause = 3000, "0.5" if form == "archive" else "0.01"  # seconds after each batch, after each line
    pipe = redis.pipeline(transaction=False)
    for number in range(count):
        pipe.rpush(f"e:{number}", os.urandom(60), "b")
    pipe.execute()
    admin = connection_as("admin")
    data = exported(admin, form, Choice(Filter(b"e:*")))
    redis.flushall()
    job = imports.start_import(admin, preview_id=preview(admin, data).pk, existing=existing)
    name = str(database.settings_dict["NAME"])
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_OUR_FILES, name, str(job.pk), str(store.directory()), pause],
        cwd=Path(__file__).parents[2],
    )
    try:
        wait_for(job, lambda job: job.done > 50 or job.state == "done")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < redis.dbsize() < count
    assert job_worker.recover_jobs() == 1
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, redis.dbsize()) == ("done", count), job.problem
    assert all(redis.llen(f"e:{number}") == 2 for number in range(0, count, 7))
