"""Copies of many keys: to another db or server, through the trash there, whatever the other side takes."""

import time
from typing import Any

import pytest

from keyspace import job_worker
from keyspace.access import Actor
from keyspace.bulk import copies, copying, tally
from keyspace.bulk.choice import Choice
from keyspace.errors import BadInput, Conflict, Denied
from keyspace.jobs import cancel_job
from keyspace.keys import Filter
from keyspace.models import AuditEntry, Grant, Job, Server, TrashEntry
from keyspace.servers import Connection, open_connection
from tests.jobs import in_thread
from tests.keyspace.test_bulk import Broken, hurry, run_elsewhere, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
BYTES = b"s:\xff\x00 \n"
CHOICE = Choice(Filter(b"s:*"))


def fill(redis: Any) -> None:
    redis.set(BYTES, b"\xfe", px=900_000)
    redis.set("s:text", "hello")
    redis.hset("s:h", mapping={b"\xff": "1", "b": "2"})
    redis.rpush("s:l", "a", "b", "c")
    redis.sadd("s:s", "a", b"\xff", 3)
    redis.zadd("s:z", {"a": 0.1, "b": float("inf")})
    redis.xadd("s:x", {"f": "v"}, id="1-1")
    redis.xgroup_create("s:x", "g", id="0")
    redis.set("other", 1)


@pytest.fixture
def there(new_server: Any, make_server: Any) -> Any:
    """Another server, empty: (its client, its row)."""
    server = new_server("valkey9")
    return server.client(), make_server(server, "there")


def to(connection: Connection, name: str, db: int = 0) -> Connection:
    return open_connection(connection.actor, name, db)


def look(connection: Connection, target: Connection, chosen: Choice = CHOICE, existing: str = "skip") -> Job:
    job = copies.start_copy_look(connection, choice=chosen, target=target, existing=existing)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    return job


def copy(connection: Connection, dry: Job, **typed: str) -> Job:
    job = copies.start_copy(connection, look_id=dry.pk, rate=0, **typed)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    return job


@pytest.fixture
def admin(connection_as: Any) -> Connection:
    """An admin of every server."""
    connection: Connection = connection_as("admin")
    Grant.objects.create(user=connection.actor.user, role="admin")
    return open_connection(Actor(connection.actor.user, connection.actor.name), "test", 0)


def test_keys_of_every_type_with_their_ends(redis: Any, there: Any, admin: Connection) -> None:
    client, _ = there
    fill(redis)
    dry = look(admin, to(admin, "there"))
    assert dry.result["copy"]["new"] == 7 and client.dbsize() == 0
    job = copy(admin, dry)
    assert (job.result["done"], job.done, client.dbsize()) == (7, 7, 7)
    assert client.pexpiretime(BYTES) == redis.pexpiretime(BYTES) and client.get(BYTES) == b"\xfe"
    for name in (b"s:h", b"s:l", b"s:s", b"s:z", b"s:x"):
        assert client.dump(name) == redis.dump(name)
    assert redis.dbsize() == 8


def test_to_another_db_of_the_same_server(redis: Any, admin: Connection) -> None:
    fill(redis)
    job = copy(admin, look(admin, to(admin, "test", 3)))
    with to(admin, "test", 3).redis.client() as client:
        assert (job.result["done"], client.dbsize()) == (7, 7)
        client.flushdb()
    with pytest.raises(BadInput, match="the db they are in"):
        look(admin, to(admin, "test", 0))


def test_what_is_there_stays_or_goes_through_the_trash(redis: Any, there: Any, admin: Connection) -> None:
    client, _ = there
    fill(redis)
    client.set("s:text", "theirs", ex=500)
    client.restore("s:l", 0, redis.dump("s:l"))
    dry = look(admin, to(admin, "there"))
    assert [dry.result["copy"][kind] for kind in ("new", "same", "different")] == [5, 1, 1]
    job = copy(admin, dry)
    assert (job.result["done"], job.result["reasons"]) == (5, {copying.THERE: 2})
    assert client.get("s:text") == b"theirs" and not TrashEntry.objects.exists()
    job = copy(admin, look(admin, to(admin, "there"), existing="different"))
    assert job.result["reasons"] == {copying.SAME: 6}
    assert (job.result["done"], job.result["trashed"], client.get("s:text")) == (1, 1, b"hello")
    entry = TrashEntry.objects.get()
    assert (entry.server, bytes(entry.name), entry.why) == ("there", b"s:text", "overwritten")
    assert entry.expires_at is not None


@pytest.mark.parametrize("old", ["redis6", "redis7"])
def test_what_the_other_side_does_not_read_goes_in_readable_form(
    redis: Any, new_server: Any, make_server: Any, admin: Connection, old: str
) -> None:
    fill(redis)
    server = new_server(old)
    make_server(server, "older")
    dry = look(admin, to(admin, "older"))
    assert dry.result["copy"]["fit"]["counts"] == {"readable": 7, "no": 0}
    job = copy(admin, dry)
    assert (job.result["done"], job.result["readable"]) == (7, 7), job.result["reasons"]
    with server.client() as client:
        assert client.hgetall("s:h") == {b"\xff": b"1", b"b": b"2"} and client.zscore("s:z", "b") == float(
            "inf"
        )
        assert abs(client.pttl(BYTES) - redis.pttl(BYTES)) < 5000 and client.xlen("s:x") == 1


def test_giants_go_piece_by_piece(redis: Any, there: Any, admin: Connection, settings: Any) -> None:
    settings.TRASH_KEY_BYTES = 20_000
    client, _ = there
    redis.hset("s:big", mapping={f"field{number}": "x" * 50 for number in range(2500)})
    redis.expire("s:big", 1000)
    redis.set("s:small", 1)
    dry = look(admin, to(admin, "there"))
    assert dry.result["copy"]["giants"] == 1
    job = copy(admin, dry)
    assert (job.result["done"], job.result["readable"]) == (2, 1)
    assert client.hgetall("s:big") == redis.hgetall("s:big")
    assert client.pexpiretime("s:big") == redis.pexpiretime("s:big") and client.dbsize() == 2
    assert copy(admin, look(admin, to(admin, "there"))).result["reasons"] == {copying.THERE: 2}


def test_a_break_in_the_middle_copies_nothing_twice(
    redis: Any, there: Any, admin: Connection, monkeypatch: Any
) -> None:
    client, _ = there
    redis.mset({f"s:{number}": number for number in range(1500)})
    dry = look(admin, to(admin, "there"))
    Broken(monkeypatch, b"RESTORE", done=True)
    job = copy(admin, dry)
    assert client.dbsize() == 1500 and job.done == 1500 and not job.result["failed"], job.result


def test_both_servers_audits_tell_of_it(redis: Any, there: Any, admin: Connection) -> None:
    fill(redis)
    copy(admin, look(admin, to(admin, "there")))
    told = {(entry.operation, entry.server): entry.detail for entry in AuditEntry.objects.all()}
    assert told["run_bulk", "there"]["copied_from"] == "test" and told["run_bulk", "there"]["done"] == 7
    assert told["run_bulk", "test"]["copied_to"] == "there"
    assert told["start_copy", "test"]["count"] == 7 and ("_begin_copy", "there") in told


# who may


def test_the_target_decides_by_role_mark_and_pattern(
    redis: Any, there: Any, make_person: Any, server_row: Server
) -> None:
    client, row = there
    fill(redis)
    redis.mset({"s:mine:1": 1, "s:mine:2": 2})
    user = make_person("ana", "operator", server=server_row)
    grant = Grant.objects.create(user=user, role="operator", server=row)
    ana = open_connection(Actor(user, "ana"), "test", 0)
    with pytest.raises(Denied):
        copies.start_copy_look(ana, choice=CHOICE, target=to(ana, "there"), existing="skip")
    Grant.objects.filter(pk=grant.pk).update(role="admin", patterns=["s:mine:*"])
    dry = look(ana, to(ana, "there"))
    assert dry.result["copy"]["left_out"] == {copying.NOT_YOURS_THERE: 7}
    job = copy(ana, dry)
    assert (job.result["done"], job.result["skipped"], client.dbsize()) == (2, 7, 2)
    dry = look(ana, to(ana, "there"))
    Server.objects.filter(pk=row.pk).update(read_only=True)
    assert [each.server.name for each in copies.copy_targets(ana)] == []
    with pytest.raises(Denied, match="read-only"):
        copies.start_copy(ana, look_id=dry.pk, rate=0)


def test_a_viewer_copies_nothing(redis: Any, there: Any, connection_as: Any) -> None:
    viewer = connection_as("viewer")
    Grant.objects.create(user=viewer.actor.user, role="admin", server=there[1])
    with pytest.raises(Denied):
        copies.start_copy_look(viewer, choice=CHOICE, target=to(viewer, "there"), existing="skip")


def test_masked_values_do_not_become_visible_elsewhere(
    redis: Any, there: Any, make_person: Any, server_row: Server
) -> None:
    client, row = there
    redis.mset({"s:secret": 1, "s:open": 2})
    user = make_person("ana", "operator", server=server_row)
    Grant.objects.filter(user=user).update(masks=["s:secret*"])
    Grant.objects.create(user=user, role="admin", server=row)
    ana = open_connection(Actor(user, "ana"), "test", 0)
    job = copy(ana, look(ana, to(ana, "there")))
    assert client.keys("*") == [b"s:open"] and job.result["reasons"] == {copying.MASKED: 1}


def test_a_read_only_server_is_copied_from(redis: Any, there: Any, admin: Connection) -> None:
    fill(redis)
    Server.objects.filter(name="test").update(read_only=True)
    source = open_connection(admin.actor, "test", 0)
    assert copy(source, look(source, to(source, "there"))).result["done"] == 7


def test_a_production_target_asks_for_the_number_and_all_keys_for_its_name(
    redis: Any, there: Any, admin: Connection
) -> None:
    fill(redis)
    Server.objects.filter(name="there").update(environment="production")
    dry = look(admin, to(admin, "there"), Choice(Filter(b"*")))
    for typed in ({}, {"number": "8"}, {"number": "8", "name": "test"}):
        with pytest.raises(BadInput):
            copies.start_copy(admin, look_id=dry.pk, rate=0, **typed)
    assert copy(admin, dry, number="8", name="there").result["done"] == 8


def test_a_dry_run_of_something_else_is_no_ground(redis: Any, admin: Connection) -> None:
    from keyspace.bulk.services import start_look

    fill(redis)
    job = start_look(admin, choice=CHOICE)
    job_worker.run_job(job.pk)
    with pytest.raises(Conflict, match="no dry run of a copy"):
        copies.start_copy(admin, look_id=job.pk, rate=0)


def test_keys_that_went_meanwhile_are_told(redis: Any, there: Any, admin: Connection) -> None:
    fill(redis)
    names = (b"s:text", b"s:h")
    dry = look(admin, to(admin, "there"), Choice(names=names))
    redis.delete("s:text")
    job = copy(admin, dry)
    assert (job.result["done"], job.result["reasons"]) == (1, {tally.GONE: 1})


def test_kill_9_in_the_middle_of_a_copy_then_resume(redis: Any, there: Any, admin: Connection) -> None:
    client, _ = there
    redis.mset({f"s:{number}": number for number in range(2000)})
    dry = look(admin, to(admin, "there"))
    job = copies.start_copy(admin, look_id=dry.pk, rate=300)
    process = run_elsewhere(job)
    try:
        wait_for(job, lambda job: job.done > 100)
    finally:
        process.kill()
        process.wait()
    hurry(job)
    assert 0 < client.dbsize() < 2000
    assert job_worker.recover_jobs() == 1
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, client.dbsize(), job.done) == ("done", 2000, 2000), job.problem
    assert set(job.result["reasons"]) <= {copying.THERE}  # copied, and not counted yet


def test_a_copy_is_cancelled_within_a_second_also_in_a_giant(
    redis: Any, there: Any, admin: Connection, settings: Any, monkeypatch: Any
) -> None:
    settings.TRASH_KEY_BYTES = 20_000
    redis.hset("s:big", mapping={f"field{number}": "x" * 50 for number in range(8000)})
    client, _ = there
    dry = look(admin, to(admin, "there"))
    job = copies.start_copy(admin, look_id=dry.pk, rate=0)
    real = copying.read_typed

    def slowly(*arguments: Any) -> Any:
        for piece in real(*arguments):
            yield piece
            time.sleep(0.8)

    monkeypatch.setattr(copying, "read_typed", slowly)
    thread = in_thread(job)
    wait_for(job, lambda job: job.state == "running")
    cancel_job(admin.actor, job.pk)
    wait_for(job, lambda job: job.state == "cancelled")
    thread.join()
    assert client.dbsize() == 0 and job.result["done"] == 0
