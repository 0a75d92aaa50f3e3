"""Comparing: what changed, by prefix and key by key, with the diff of values; streamed; for admins."""

import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from keyspace.backups import comparing, differences, diffing, opening, services
from keyspace.backups.compared import get_compared, get_compared_key
from keyspace.backups.comparing import compare_sides
from keyspace.backups.differences import place_of, prefix_of
from keyspace.backups.diffing import diff_key
from keyspace.backups.dumps import Dump
from keyspace.errors import BadInput, Denied, NotFound
from keyspace.job_retention import purge_jobs
from keyspace.models import AuditEntry, Backup, Job, OpenBackup
from tests.keyspace.backups.samples import fill
from tests.keyspace.backups.test_restoring import back_up, finish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _close_all() -> Any:
    yield
    for opened in OpenBackup.objects.all():
        opening.close(opened)


def compared(connection: Any, older: Backup, newer: Backup | None) -> Job:
    job = finish(
        services.compare_backup(
            connection, backup_id=str(older.pk), other_id=None if newer is None else str(newer.pk)
        )
    )
    assert job.state == "done", job.problem
    return job


def names_of(connection: Any, backup: Backup, job: Job, kind: str, **more: Any) -> set[bytes]:
    found = get_compared(connection, backup_id=str(backup.pk), job_id=str(job.pk), kind=kind, **more)
    assert found.goes_on is None
    return {key.name for key in found.keys}


@pytest.mark.parametrize(
    "kinds",
    [("pull", "live"), ("export", "live"), ("export", "export"), ("pull", "export"), ("readable", "pull")],
)
def test_compare(kinds: tuple[str, str], redis: Any, connection_as: Callable[..., Any]) -> None:
    fill(redis)
    redis.mset({"session:removed": 1, "session:changed": "before"})
    connection = connection_as("admin")
    older = back_up(connection, kinds[0])
    redis.delete("session:removed")
    redis.mset({"session:changed": "after", b"added\xff": 1})
    redis.expire("plain", 5000)
    redis.sadd("ints", "word")  # another encoding, then the same value again
    redis.srem("ints", "word")
    newer = None if kinds[1] == "live" else back_up(connection, kinds[1])
    job = compared(connection, older, newer)
    counts = job.result["counts"]
    assert {kind: counts[kind] for kind in differences.KINDS} == {
        "added": 1,
        "removed": 1,
        "changed": 1,
        "ttl": 1,
    }
    assert names_of(connection, older, job, "added") == {b"added\xff"}
    assert names_of(connection, older, job, "removed") == {b"session:removed"}
    assert names_of(connection, older, job, "changed", prefix=b"session:") == {b"session:changed"}
    assert names_of(connection, older, job, "changed", prefix=b"") == set()
    assert names_of(connection, older, job, "ttl", prefix=b"") == {b"plain"}
    prefixes = {row["prefix"]: row for row in job.result["prefixes"]}
    assert (prefixes["session:"]["removed"], prefixes["session:"]["changed"], prefixes[""]["ttl"]) == (
        1,
        1,
        1,
    )
    for opened in OpenBackup.objects.all():
        opening.close(opened)
    found = get_compared_key(
        connection, backup_id=str(older.pk), job_id=str(job.pk), db=0, name=b"session:changed"
    )
    assert found.kept and found.diff is not None
    assert found.diff["lines"] == [["-", "before"], ["+", "after"]]
    assert AuditEntry.objects.filter(operation="get_compared_key").count() == 1
    assert not [path for path in place_of(job).iterdir() if b"after" in path.read_bytes()]


def test_the_rest_is_diffed_once_the_backups_are_open(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "MOST_DIFFS", 0)
    redis.set("a", "one")
    connection = connection_as("admin")
    older = back_up(connection, "pull")
    redis.set("a", "two")
    newer = back_up(connection, "pull")
    job = compared(connection, older, newer)
    asked = {"backup_id": str(newer.pk), "job_id": str(job.pk), "db": 0, "name": b"a"}
    found = get_compared_key(connection, **asked)
    assert (found.diff, found.closed) == (None, [older, newer])
    for backup in (older, newer):
        finish(services.open_backup(connection, backup_id=str(backup.pk)))
    found = get_compared_key(connection, **asked)
    assert found.diff is not None and not found.kept
    assert found.diff["lines"] == [["-", "one"], ["+", "two"]]


@pytest.mark.parametrize("kind", ["pull", "export"])
def test_a_cluster_is_compared_with_all_its_shards(
    kind: str, new_cluster: Callable[..., Any], make_server: Any, connection_as: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cluster = new_cluster(primaries=3)
    client = cluster.client()
    for number in range(120):
        client.set(f"key:{number}", number)
        client.sadd(f"ints:{number}", 1)
    connection = connection_as("admin", server=make_server(cluster.nodes[0]))
    backup = back_up(connection, kind)
    for number in range(12):
        client.set(f"key:{number}", "other")
        client.set(b"new\xff:%d" % number, 1)
        client.delete(f"key:{number + 100}")
        client.sadd(f"ints:{number}", "word")
        client.srem(f"ints:{number}", "word")
    monkeypatch.setattr(comparing, "MOST_DIFFS", 3)
    job = compared(connection, backup, None)
    assert job.result["counts"] == {"added": 12, "removed": 12, "changed": 12, "same": 216}
    finish(services.open_backup(connection, backup_id=str(backup.pk)))
    kept = []
    for name in sorted(names_of(connection, backup, job, "changed")):
        found = get_compared_key(connection, backup_id=str(backup.pk), job_id=str(job.pk), db=0, name=name)
        assert found.diff is not None
        assert found.diff["lines"] == [["-", name.decode().partition(":")[2]], ["+", "other"]]
        kept.append(found.kept)
    assert kept.count(True) == 3


def test_archives_are_compared_by_value_without_being_loaded(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.sadd("ints", 1, 2)
    redis.hset("hash", b"f\xff", 1)
    connection = connection_as("admin")
    older = back_up(connection, "export")
    redis.sadd("ints", "word")
    redis.srem("ints", "word")
    redis.hset("hash", b"f\xff", 2)
    newer = back_up(connection, "export")
    monkeypatch.setattr(opening, "load_backup", None)
    job = compared(connection, older, newer)
    assert job.result["counts"] == {"same": 1, "changed": 1}
    found = get_compared_key(connection, backup_id=str(older.pk), job_id=str(job.pk), db=0, name=b"hash")
    assert found.diff is not None
    assert found.diff["lines"] == [["-", "f\\xff: 1"], ["+", "f\\xff: 2"]]


def test_comparisons_are_for_admins_and_of_this_backup(redis: Any, connection_as: Callable[..., Any]) -> None:
    redis.set("a", 1)
    connection = connection_as("admin")
    backup, stranger = back_up(connection, "pull"), back_up(connection, "pull")
    job = compared(connection, backup, None)
    asked = {"backup_id": str(backup.pk), "job_id": str(job.pk)}
    for role in ("viewer", "operator"):
        with pytest.raises(Denied):
            get_compared(connection_as(role), **asked, kind="added")
        with pytest.raises(Denied):
            get_compared_key(connection_as(role), **asked, db=0, name=b"a")
    with pytest.raises(NotFound):
        get_compared(connection, backup_id=str(stranger.pk), job_id=str(job.pk), kind="added")
    with pytest.raises(NotFound):
        get_compared(connection, backup_id=str(backup.pk), job_id=str(backup.job_id), kind="added")
    with pytest.raises(BadInput):
        get_compared(connection, **asked, kind="../added")
    shutil.rmtree(place_of(job))
    with pytest.raises(NotFound):
        get_compared(connection, **asked, kind="added")


def test_what_an_old_job_found_goes_with_it(
    redis: Any, connection_as: Callable[..., Any], settings: Any
) -> None:
    settings.JOB_DAYS = 1
    redis.set("a", 1)
    connection = connection_as("admin")
    backup = back_up(connection, "pull")
    first, second = compared(connection, backup, None), compared(connection, backup, None)
    Job.objects.filter(pk=first.pk).update(finished_at=timezone.now() - timedelta(days=3))
    purge_jobs()
    assert [place_of(job).exists() for job in (first, second)] == [False, True]


def numbered(*numbers: int) -> list[tuple[int, list[Dump]]]:
    return [(0, [Dump(b"p%d:%d" % (n % 3, n), None, b"\x00v" + bytes(10)) for n in numbers])]


def test_a_key_that_a_scan_told_twice_is_one_key(tmp_path: Any) -> None:
    found = compare_sides(
        numbered(1, 1, 2, 2), numbered(2, 2, 3, 3), progress=lambda done, phase: None, into=tmp_path
    )
    assert found.counts == {"removed": 1, "same": 1, "added": 1}


def test_pages_of_differences_go_on_where_they_ended(tmp_path: Any) -> None:
    compare_sides(numbered(), numbered(*range(730)), progress=lambda done, phase: None, into=tmp_path)
    seen: list[bytes] = []
    start: int | None = 0
    while start is not None:
        keys, start = differences.read_page(tmp_path, "added", b"p1:", start)
        assert len(keys) <= differences.PAGE
        seen += [key.name for key in keys]
    assert sorted(seen) == sorted(b"p1:%d" % n for n in range(1, 730, 3))


def test_a_page_takes_no_longer_than_its_budget(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_sides(numbered(), numbered(*range(100)), progress=lambda done, phase: None, into=tmp_path)
    monkeypatch.setattr(differences, "BUDGET_SECONDS", 0)
    keys, start = differences.read_page(tmp_path, "added", b"none:", 0)
    assert keys == [] and start


def test_nothing_is_left_of_a_comparison_that_fails(tmp_path: Any) -> None:
    def broken() -> Any:
        yield from numbered(1)
        raise OSError("gone")

    before = set(comparing.parts_directory().iterdir())
    with pytest.raises(OSError, match="gone"):
        compare_sides(numbered(1), broken(), progress=lambda done, phase: None)
    assert set(comparing.parts_directory().iterdir()) == before


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        (b"a:b:c", b"a:"),
        (b"plain", b""),
        (b":x", b":"),
        (b"\xff:1", b"\xff:"),
        (b"x" * 80 + b":y", b""),
        (b"", b""),
    ],
)
def test_prefix_of(name: bytes, prefix: bytes) -> None:
    assert prefix_of(name) == prefix


Write = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        (lambda r: r.set("k", "a\nb\nc"), lambda r: r.set("k", "a\nB\nc"), [" a", "-b", "+B", " c"]),
        (lambda r: r.set("k", '{"a":1.10,"b":2}'), lambda r: r.set("k", '{"a":1.1,"b":2}'),
         [" {", '-  "a": 1.10,', '+  "a": 1.1,', '   "b": 2', " }"]),
        (lambda r: r.set("k", b"\xff\x00"), lambda r: r.set("k", b"\xff\x01"),
         ["-00000000  ff 00", "+00000000  ff 01"]),
        (lambda r: r.hset("k", mapping={"a": 1, "b": 2, b"\xfe": 3}), lambda r: r.hset("k", mapping={"a": 1, "b": 5, "c": 4}),
         ["-\\xfe: 3", "-b: 2", "+b: 5", "+c: 4"]),
        (lambda r: r.sadd("k", "a", "b"), lambda r: r.sadd("k", "b", "c"), ["-a", "+c"]),
        (lambda r: r.zadd("k", {"a": 1, "b": 2}), lambda r: r.zadd("k", {"a": 1.5, "b": 2}), ["-a: 1", "+a: 1.5"]),
        (lambda r: r.rpush("k", "a", "b", "c"), lambda r: r.rpush("k", "a", "c", "d"), [" a", "-b", " c", "+d"]),
        (lambda r: r.xadd("k", {"f": 1}, id="1-1"), lambda r: (r.xadd("k", {"f": 1}, id="1-1"), r.xgroup_create("k", "g", "0")),
         [" 1-1  f  1", "+group g: at 0-0, 0 pending, consumers none"]),
        (lambda r: r.set("k", "a"), lambda r: r.rpush("k", "a"), [" a"]),
    ],
)  # fmt: skip
def test_diff_of_a_value(
    before: Write, after: Write, lines: list[str], redis: Any, connection_as: Callable[..., Any]
) -> None:
    other = connection_as("admin", db=1).redis
    before(redis)
    after(other)
    found = diff_key(redis, other, 0, b"k")
    shown = [sign + text.partition("  |")[0].rstrip() for sign, text in found["lines"]]
    assert shown == lines, found


def test_a_changed_type_is_told(redis: Any, connection_as: Callable[..., Any]) -> None:
    other = connection_as("admin", db=1).redis
    redis.set("k", "a")
    other.sadd("k", "b")
    found = diff_key(redis, other, 0, b"k")
    assert (found["types"], found["lines"]) == (["string", "set"], [["-", "a"], ["+", "b"]])
    assert diff_key(redis, other, 0, b"none")["types"] == ["", ""]


def test_a_field_that_got_a_ttl_is_a_change(redis: Any, connection_as: Callable[..., Any]) -> None:
    other = connection_as("admin", db=1).redis
    for client in (redis, other):
        client.hset("k", "f", 1)
    end = int(time.time() * 1000) + 10**6
    other.execute_command("HPEXPIREAT", "k", end, "FIELDS", 1, "f")
    assert diff_key(redis, other, 0, b"k")["lines"] == [["-", "f: 1"], ["+", f"f: 1  (expires {end})"]]


def test_diffs_are_bounded(
    redis: Any, connection_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = connection_as("admin", db=1).redis
    redis.rpush("list", *range(5000))
    other.rpush("list", *range(5000, 10_000))
    redis.set("text", "x" * 3000)
    other.set("text", "y" * 3000)
    began = time.monotonic()
    found = diff_key(redis, other, 0, b"list")
    assert (len(found["lines"]), found["more"]) == (diffing.MOST_LINES, 10_000 - diffing.MOST_LINES)
    assert time.monotonic() - began < 30
    assert all(len(text) <= diffing.LONGEST_LINE for _, text in diff_key(redis, other, 0, b"text")["lines"])
    monkeypatch.setattr(diffing, "MOST_PARTS", 1000)
    redis.hset("hash", mapping={str(number): 1 for number in range(3000)})
    other.hset("hash", mapping={str(number): 2 for number in range(3000)})
    found = diff_key(redis, other, 0, b"hash")
    assert found["lines"] == []
    assert "too long" in found["note"]
