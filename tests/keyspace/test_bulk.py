"""Bulk work: looked at first, then done to exactly that, whatever happens on the way."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from django.db import connection as database
from django.utils import timezone

from keyspace import job_worker, jobs
from keyspace.bulk import looking, tally, work, working
from keyspace.bulk.choice import Choice, choice_of
from keyspace.bulk.pace import Pace
from keyspace.bulk.services import Order, get_look, start_bulk, start_look
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.keys import Filter
from keyspace.models import AuditEntry, Grant, Job, Server, TrashEntry
from keyspace.servers import Connection
from keyspace.wire import Wire
from tests.jobs import in_thread

pytestmark = pytest.mark.django_db(transaction=True)
BYTES = b"s:\xff\x00 \n"


def fill(redis: Any, count: int = 300) -> None:
    pipe = redis.pipeline(transaction=False)
    for number in range(count):
        pipe.set(b"s:%d" % number, b"v%d" % number, ex=3600 if number % 3 == 0 else None)
    pipe.set(BYTES, b"\xfe")
    pipe.hset("other", "f", "v")
    pipe.execute()


def choice(match: bytes = b"s:*", **more: Any) -> Choice:
    filter_fields = {name: more.pop(name) for name in ("type", "ttl") if name in more}
    return Choice(Filter(match, **filter_fields), **more)


def look(connection: Connection, chosen: Choice | None = None) -> Job:
    job = start_look(connection, choice=chosen or choice())
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    return job


def do(connection: Connection, order: Order, chosen: Choice | None = None, **typed: str) -> Job:
    job = start_bulk(connection, look_id=look(connection, chosen).pk, order=order, **typed)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    return job


def wait_for(job: Job, holds: Callable[[Job], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        job.refresh_from_db()
        if holds(job):
            return
        time.sleep(0.02)
    raise AssertionError(f"{job.state} {job.done} {job.phase}")


def hurry(job: Job) -> None:
    """When it runs again it goes as fast as it can: it was slow so that there was time to stop it."""
    Job.objects.filter(pk=job.pk).update(params=job.params | {"rate": 0})


# the dry run


def test_a_dry_run_counts_and_changes_nothing(redis: Any, connection_as: Any) -> None:
    fill(redis)
    redis.set("s:large", b"x" * 100_000)
    job = look(connection_as("admin"))
    found = job.result
    assert job.done == job.total == 303
    assert (found["count"], found["of"], found["without_ttl"]) == (302, 303, 202)
    assert found["memory"] > 100_000 and found["measured"] == 302
    assert len(found["examples"]) == 20 and len({each["id"] for each in found["examples"]}) == 20
    assert found["largest"][0]["name"] == "s:large"
    assert redis.dbsize() == 303


def test_filters_narrow_by_type_ttl_memory_and_idle_time(redis: Any, connection_as: Any) -> None:
    fill(redis, 30)
    redis.set("s:large", b"x" * 10_000)
    redis.hset("s:h", "f", "v")
    admin = connection_as("admin")
    assert look(admin, choice(type="hash")).result["count"] == 1
    assert look(admin, choice(ttl="hour")).result["count"] == 10
    assert look(admin, choice(memory=9_000)).result["count"] == 1
    assert look(admin, choice(idle=3600)).result["count"] == 0
    assert look(admin, Choice(Filter(b""), names=(b"s:1", BYTES, b"absent"))).result["count"] == 2


def test_idle_times_that_the_server_does_not_keep_are_a_sentence(redis: Any, connection_as: Any) -> None:
    fill(redis, 3)
    redis.config_set("maxmemory-policy", "allkeys-lfu")
    try:
        job = start_look(connection_as("admin"), choice=choice(idle=1))
        job_worker.run_job(job.pk)
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    job.refresh_from_db()
    assert job.state == "failed" and "idle times" in job.problem


def test_an_empty_pattern_is_refused(connection_as: Any) -> None:
    with pytest.raises(BadInput, match="empty pattern"):
        start_look(connection_as("admin"), choice=choice(b""))
    with pytest.raises(BadInput):
        start_look(connection_as("admin"), choice=Choice(names=()))


@pytest.mark.parametrize("match", [b"*", b"**", b"*?*", b"[^~]*"])
def test_everything_needs_the_servers_name(redis: Any, connection_as: Any, match: bytes) -> None:
    fill(redis, 5)
    admin = connection_as("admin")
    dry = look(admin, choice(match))
    with pytest.raises(BadInput, match="server's name"):
        start_bulk(admin, look_id=dry.pk, order=Order("delete"), name="tset")
    assert start_bulk(admin, look_id=dry.pk, order=Order("delete"), name="test")


def test_on_production_the_number_is_typed(redis: Any, connection_as: Any, server_row: Server) -> None:
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    fill(redis, 1500)
    admin = connection_as("admin")
    dry = look(admin)
    with pytest.raises(BadInput, match="1501"):
        start_bulk(admin, look_id=dry.pk, order=Order("delete"), number="1500")
    assert start_bulk(admin, look_id=dry.pk, order=Order("delete"), number="1 501")


def test_an_old_dry_run_is_no_ground_to_act_on(redis: Any, connection_as: Any) -> None:
    fill(redis, 5)
    admin = connection_as("admin")
    dry = look(admin)
    Job.objects.filter(pk=dry.pk).update(finished_at=timezone.now() - timedelta(hours=2))
    with pytest.raises(Conflict, match="hour ago"):
        start_bulk(admin, look_id=dry.pk, order=Order("delete"))


def test_a_dry_run_is_no_one_elses(redis: Any, connection_as: Any) -> None:
    fill(redis, 5)
    dry = look(connection_as("admin"))
    with pytest.raises(NotFound):
        get_look(connection_as("admin"), look_id=dry.pk)


def test_sending_the_confirmation_twice_starts_one_job(redis: Any, connection_as: Any) -> None:
    fill(redis, 5)
    admin = connection_as("admin")
    dry = look(admin)
    first = start_bulk(admin, look_id=dry.pk, order=Order("delete"))
    assert start_bulk(admin, look_id=dry.pk, order=Order("delete")).pk == first.pk


# who may


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins_work_in_bulk(connection_as: Any, role: str) -> None:
    with pytest.raises(Denied):
        start_look(connection_as(role), choice=choice())


def test_a_read_only_server_is_left_alone(connection_as: Any, server_row: Server) -> None:
    Server.objects.filter(pk=server_row.pk).update(read_only=True)
    with pytest.raises(Denied, match="read-only"):
        start_look(connection_as("admin"), choice=choice())


def test_patterns_of_the_grant_bound_it(redis: Any, make_person: Any, server_row: Server) -> None:
    from keyspace.access import Actor
    from keyspace.servers import open_connection

    fill(redis, 20)
    redis.mset({"mine:1": 1, "mine:2": 2})
    user = make_person("ana", "admin", server=server_row, patterns=["mine:*"])
    connection = open_connection(Actor(user, "ana"), "test", 0)
    assert look(connection, choice(b"*")).result["count"] == 2
    Grant.objects.create(user=user, role="viewer", server=server_row)
    connection = open_connection(Actor(user, "ana"), "test", 0)
    dry = look(connection, choice(b"*"))
    assert (dry.result["count"], dry.result["foreign"]) == (2, 22)
    job = start_bulk(connection, look_id=dry.pk, order=Order("delete"), name="test")
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.result["done"] == 2 and redis.dbsize() == 22
    assert job.result["reasons"] == {working.NOT_YOURS: 22}


def test_who_loses_the_role_stops(redis: Any, connection_as: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(work, "RIGHTS_SECONDS", 0.1)
    fill(redis, 3000)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("delete", trash=False, rate=300))
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 100)
    Grant.objects.filter(user=admin.actor.user).delete()
    thread.join(60)
    job.refresh_from_db()
    assert job.state == "failed" and 0 < redis.dbsize() < 3002
    assert job.result["done"] == 3002 - redis.dbsize()


def test_who_keeps_fewer_keys_goes_on_with_those(redis: Any, connection_as: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(work, "RIGHTS_SECONDS", 0.1)
    redis.mset({f"s:{kind}:{number}": 1 for kind in ("mine", "theirs") for number in range(1500)})
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("delete", trash=False, rate=600))
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 100)
    Grant.objects.filter(user=admin.actor.user).update(patterns=["s:mine:*"])
    Grant.objects.create(user=admin.actor.user, role="viewer", server=admin.server)
    thread.join(60)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    left = redis.keys("*")
    assert {name[:8] for name in left} == {b"s:theirs"}
    assert job.result["reasons"] == {working.NOT_YOURS: len(left)} and job.done == 3000


# delete


def test_delete_goes_through_the_trash(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any
) -> None:
    fill(any_redis)
    any_redis.zadd("s:z", {b"\xff": 1.5})
    admin = connection_as("admin", server=make_server(any_server))
    job = do(admin, Order("delete"))
    assert (job.state, job.done, job.result["trashed"]) == ("done", 302, 302), job.problem
    assert any_redis.keys("*") == [b"other"]
    entry = TrashEntry.objects.get(name=BYTES)
    assert (entry.person, entry.why, entry.type, entry.expires_at) == (
        admin.actor.name,
        "deleted",
        "string",
        None,
    )
    from keyspace.trash import restore_key

    restore_key(admin, BYTES, entry_id=entry.pk)
    restore_key(admin, b"s:0", entry_id=TrashEntry.objects.get(name=b"s:0").pk)
    assert any_redis.get(BYTES) == b"\xfe" and 3_500_000 < any_redis.pttl("s:0") <= 3_600_000


def test_delete_for_good(redis: Any, connection_as: Any) -> None:
    fill(redis, 1200)
    job = do(connection_as("admin"), Order("delete", trash=False))
    assert (job.done, job.total, redis.dbsize(), TrashEntry.objects.count()) == (1201, 1201, 1, 0)


def test_what_does_not_fit_the_trash_stays(redis: Any, connection_as: Any, settings: Any) -> None:
    settings.TRASH_KEY_BYTES = 50_000
    fill(redis, 5)
    redis.set("s:large", b"x" * 60_000)
    admin = connection_as("admin")
    job = do(admin, Order("delete"))
    assert job.result["done"] == 6 and redis.exists("s:large")
    assert job.result["lines"] == [["s:large", "skipped", "too large for the trash, so it was left alone"]]


def test_a_key_written_in_the_very_moment_is_what_the_trash_holds(redis: Any, connection_as: Any) -> None:
    """Writers go on all the time: what the trash has of a key is the last that was written to it."""
    count = 400
    for number in range(count):
        redis.set(f"s:{number}", 0)
    admin = connection_as("admin")
    dry = look(admin)
    stop = threading.Event()
    acknowledged: dict[bytes, int] = {}

    def write() -> None:
        with admin.redis.client() as client:
            number = 0
            while not stop.is_set():
                name = b"s:%d" % (number % count)
                value = client.execute_command("SET", name, number, "XX", "GET")
                if value is not None:
                    acknowledged[name] = number
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    job = start_bulk(admin, look_id=dry.pk, order=Order("delete", rate=2000))
    job_worker.run_job(job.pk)
    stop.set()
    writer.join()
    job.refresh_from_db()
    assert job.state == "done", job.problem
    from keyspace.trash import restore_key

    for entry in TrashEntry.objects.all():
        name = bytes(entry.name)
        restore_key(admin, name, entry_id=entry.pk)
        assert redis.get(name) == str(acknowledged.get(name, 0)).encode()
    assert redis.dbsize() == count


# TTLs


def test_set_ttl_with_jitter(any_server: Any, any_redis: Any, make_server: Any, connection_as: Any) -> None:
    fill(any_redis)
    job = do(
        connection_as("admin", server=make_server(any_server)), Order("set", ttl=600_000, jitter=300_000)
    )
    assert (job.state, job.done) == ("done", 301), job.problem
    ttls = [any_redis.pttl(b"s:%d" % number) for number in range(300)]
    assert all(590_000 < ttl <= 900_000 for ttl in ttls)
    assert max(ttls) - min(ttls) > 200_000
    assert any_redis.pttl("other") == -1


def test_conditions_leave_out_what_they_say(redis: Any, connection_as: Any) -> None:
    fill(redis, 30)
    job = do(connection_as("admin"), Order("set", ttl=60_000, condition="NX"))
    assert (job.result["done"], job.result["skipped"]) == (21, 10)
    assert redis.ttl("s:0") > 3000 and redis.ttl("s:1") <= 60


def test_persist(redis: Any, connection_as: Any) -> None:
    fill(redis, 30)
    job = do(connection_as("admin"), Order("persist"), choice(ttl="any"))
    assert (job.result["done"], redis.ttl("s:0")) == (10, -1)


def test_extend_moves_each_end_once(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any
) -> None:
    fill(any_redis, 30)
    before = any_redis.pttl("s:3")
    job = do(connection_as("admin", server=make_server(any_server)), Order("extend", ttl=100_000))
    assert (job.state, job.result["done"], job.result["skipped"]) == ("done", 10, 21), job.problem
    assert before + 90_000 < any_redis.pttl("s:3") <= before + 100_100


def test_extend_after_a_crash_extends_nothing_twice(redis: Any, connection_as: Any) -> None:
    fill(redis, 30)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("extend", ttl=100_000))
    Job.objects.filter(pk=job.pk).update(state="waiting")
    planned = redis.pexpiretime("s:3")

    class Died(BaseException):
        pass

    real = working.Extend.apply

    def die_after(*arguments: Any) -> None:
        real(*arguments)
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(working.Extend, "apply", die_after)
        job_worker.run_job(job.pk)
    redis.expire("s:6", 50)
    jobs.restart_job(admin.actor, job.pk)
    from keyspace.bulk import plan

    assert not plan.plan_path(job.pk).with_suffix(".part").exists()
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done"
    assert redis.pexpiretime("s:3") == planned + 100_000 and redis.ttl("s:6") <= 50
    assert not plan.plan_path(job.pk).exists()


def test_a_moment_that_has_passed_deletes_nothing(redis: Any, connection_as: Any) -> None:
    fill(redis, 5)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("set", ttl=2_000))
    Job.objects.filter(pk=job.pk).update(checkpoint={"began": int(time.time() * 1000) - 60_000})
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.result["skipped"] == 6 and redis.dbsize() == 7


@pytest.mark.parametrize(
    "order",
    [Order("flush"), Order("set"), Order("set", at=1), Order("set", ttl=10**15), Order("persist", rate=-1)],
)
def test_orders_that_make_no_sense_are_refused(order: Order) -> None:
    with pytest.raises(BadInput):
        order.check()


# on the way


def test_cancel_within_a_second_and_what_was_done_is_told(redis: Any, connection_as: Any) -> None:
    fill(redis, 5000)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("delete", trash=False, rate=200))
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 50)
    assert job.rate and job.seconds_left
    began = time.monotonic()
    jobs.cancel_job(admin.actor, job.pk)
    wait_for(job, lambda job: job.state == "cancelled")
    assert time.monotonic() - began < 10.0  # all of it would take 25; on an idle machine it is half a second
    thread.join()
    assert job.result["done"] == job.done == 5002 - redis.dbsize()
    assert AuditEntry.objects.filter(operation="run_bulk").get().detail["done"] == job.done


@pytest.mark.parametrize("order", [Order("delete", rate=300), Order("set", ttl=600_000, rate=300)])
def test_go_on_after_a_cancel_counts_each_key_once(redis: Any, connection_as: Any, order: Order) -> None:
    fill(redis, 2000)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=order)
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 50)
    jobs.cancel_job(admin.actor, job.pk)
    thread.join()
    hurry(job)
    jobs.restart_job(admin.actor, job.pk)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["done"], job.done, job.total) == ("done", 2001, 2001, 2001), job.result


def test_pause_holds_it_and_it_goes_on(redis: Any, connection_as: Any) -> None:
    fill(redis, 1200)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("delete", trash=False, rate=300))
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 20)
    jobs.pause_job(admin.actor, job.pk)
    wait_for(job, lambda job: job.state == "paused")
    left = redis.dbsize()
    time.sleep(0.6)
    assert redis.dbsize() == left
    jobs.pause_job(admin.actor, job.pk, pause=False)
    thread.join()
    assert redis.dbsize() == 1


def test_the_pace_is_kept(redis: Any, connection_as: Any) -> None:
    fill(redis, 1000)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("persist", rate=1000))
    began = time.monotonic()
    job_worker.run_job(job.pk)
    assert 0.8 < time.monotonic() - began < 20


def test_it_yields_while_the_server_is_late(redis: Any, connection_as: Any, monkeypatch: Any) -> None:
    fill(redis, 2000)
    admin = connection_as("admin")
    real, late = Pace.ping, iter([0.1] * 5 + [50.0] * 3)
    monkeypatch.setattr("keyspace.bulk.pace.LATE_MS", 5.0)
    monkeypatch.setattr(Pace, "ping", lambda pace: next(late, None) or real(pace))
    job = start_bulk(admin, look_id=look(admin, choice()).pk, order=Order("delete", trash=False, rate=0))
    late = iter([0.1] * 5 + [50.0] * 3)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.result["yielded"] >= 3 and redis.dbsize() == 1  # a loaded machine may be late by itself


def test_a_server_that_goes_away_is_waited_for(new_server: Any, make_server: Any, connection_as: Any) -> None:
    server = new_server("valkey9", appendonly="yes", appendfsync="always")
    row = make_server(server, "brittle")
    with server.client() as client:
        fill(client, 1200)
    admin = connection_as("admin", server=row)
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("delete", trash=False, rate=300))
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 50)
    server.kill()
    wait_for(job, lambda job: "waiting for the server" in job.phase)
    server.restart()
    thread.join(90)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    with server.client() as client:
        assert client.keys("*") == [b"other"]
    result = job.result
    assert result["done"] + result["unknown"] == job.done == 1201 and not result["skipped"], result


@pytest.mark.parametrize(
    "order",
    [
        Order("delete", rate=300),
        Order("delete", trash=False, rate=300),
        Order("set", ttl=3_600_000, rate=300),
    ],
)
def test_a_script_that_runs_too_long_is_waited_for(
    new_server: Any, make_server: Any, connection_as: Any, order: Order
) -> None:
    server = new_server("valkey9", busy_reply_threshold=50)
    row = make_server(server, "slow")
    with server.client() as client:
        fill(client, 1200)
    admin = connection_as("admin", server=row)
    job = start_bulk(admin, look_id=look(admin).pk, order=order)
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 50)

    def spin() -> None:
        with server.client(socket_timeout=None) as client, pytest.raises(redis_py.ResponseError):
            client.eval("while true do end", 0)

    script = threading.Thread(target=spin)
    script.start()
    wait_for(job, lambda job: "script" in job.phase)
    with server.client() as client:
        client.execute_command("SCRIPT", "KILL")
    script.join(60)
    thread.join(60)
    job.refresh_from_db()
    assert (job.state, job.result["done"], job.result["failed"]) == ("done", 1201, 0), job.problem


class Broken:
    """Breaks the connection at the third write of `command`: before the server hears of it, or after it has done it."""

    def __init__(self, patch: Any, command: bytes, *, done: bool) -> None:
        self.turns, real = 0, Wire.exchange

        def exchange(wire: Wire, packed: bytes, replies: int) -> list[Any]:
            self.turns += command in packed
            if command not in packed or self.turns != 3:
                return real(wire, packed, replies)
            if done:
                real(wire, packed, replies)
            raise redis_py.ConnectionError("The connection broke")

        patch.setattr(Wire, "exchange", exchange)


@pytest.mark.parametrize("selected", [False, True])
@pytest.mark.parametrize("trash", [False, True])
@pytest.mark.parametrize("done", [False, True])
def test_keys_whose_answer_was_lost_are_counted_as_unknown(
    redis: Any, connection_as: Any, monkeypatch: Any, done: bool, trash: bool, selected: bool
) -> None:
    """UNLINK went out, the connection broke: those that are gone are unknown, those still there come by again. It all adds up."""
    names = tuple(b"s:%d" % number for number in range(700))
    redis.mset(dict.fromkeys(names, 1) | {"other": 1})
    Broken(monkeypatch, b"UNLINK", done=done)
    chosen = Choice(Filter(b""), names=names) if selected else choice()
    job = do(connection_as("admin"), Order("delete", trash=trash, rate=5000), chosen)
    assert (job.state, redis.dbsize()) == ("done", 1), job.problem
    lost = job.result["unknown"]
    assert (lost > 0) == done
    assert (job.result["done"], job.result["skipped"]) == (700 - lost, 0)
    assert job.result["reasons"] == ({tally.NO_ANSWER: lost} if lost else {})
    assert job.done == job.total == 700
    if trash:
        kept = {bytes(name) for name in TrashEntry.objects.values_list("name", flat=True)}
        assert kept == set(names)


def test_keys_that_come_by_again_after_a_break_are_counted_once(
    redis: Any, connection_as: Any, monkeypatch: Any
) -> None:
    fill(redis, 700)
    Broken(monkeypatch, b"PEXPIREAT", done=True)
    job = do(connection_as("admin"), Order("set", ttl=60_000, rate=5000))
    assert (job.state, job.result["done"], job.result["skipped"]) == ("done", 701, 0), job.problem


def test_a_search_that_begins_anew_counts_each_key_once(
    redis: Any, connection_as: Any, monkeypatch: Any, settings: Any
) -> None:
    """The server is another run after the break, as after a restart: its cursors lead nowhere."""
    settings.TRASH_KEY_BYTES = 50_000
    fill(redis, 700)
    redis.set("s:large", b"x" * 60_000)
    runs = iter(["one"])
    monkeypatch.setattr(working, "_server_run", lambda wire: next(runs, "another"))
    Broken(monkeypatch, b"UNLINK", done=False)
    job = do(connection_as("admin"), Order("delete", rate=5000))
    assert (job.state, job.result["done"], job.result["skipped"]) == ("done", 701, 1), job.problem


@pytest.mark.parametrize("broken", [False, True])
def test_a_user_who_may_not_ask_info_works_in_bulk(
    new_server: Any, make_server: Any, connection_as: Any, monkeypatch: Any, broken: bool
) -> None:
    """Whether the server restarted is then not known after a break, so that the search begins anew."""
    running = new_server(acl=["narrow on >pw ~* +@all -info"])
    fill(running.client(), 700)
    admin = connection_as("admin", server=make_server(running, username="narrow", password="pw"))
    if broken:
        Broken(monkeypatch, b"UNLINK", done=False)
    job = do(admin, Order("delete", rate=0 if not broken else 5000))
    assert (job.state, job.result["done"], job.result["skipped"]) == ("done", 701, 0), job.problem
    assert running.client().keys("s:*") == []


def test_what_went_by_itself_since_the_dry_run_is_told(redis: Any, connection_as: Any) -> None:
    fill(redis, 100)
    admin = connection_as("admin")
    dry = look(admin)
    redis.delete("s:1", "s:2")
    job = start_bulk(admin, look_id=dry.pk, order=Order("delete"))
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.result["reasons"] == {work.NOT_FOUND: 2} and job.done == job.total == 101


KILLED = """
import os, sys, uuid
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from django.db import connections
connections["default"].close()
connections["default"].settings_dict["NAME"] = sys.argv[1]
from keyspace import job_worker
from tests import steady
steady.linger(float(sys.argv[-1]) if "linger" in sys.argv else 0.0)
job_worker.run_job(uuid.UUID(sys.argv[2]))
"""


def run_elsewhere(job: Job, *, linger: float = 0.0) -> "subprocess.Popen[bytes]":
    """The job, in a process that can be killed; it stands still for `linger` seconds after each batch."""
    name = str(database.settings_dict["NAME"])
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, name, str(job.pk), "linger", str(linger)], cwd=root
    )


@pytest.mark.parametrize("trash", [True, False])
def test_kill_9_in_the_middle_then_resume(redis: Any, connection_as: Any, trash: bool) -> None:
    """Nothing is left over, nothing is lost: every key is in the trash."""
    fill(redis, 2000)
    admin = connection_as("admin")
    job = start_bulk(admin, look_id=look(admin).pk, order=Order("delete", trash=trash, rate=300))
    process = run_elsewhere(job)
    try:
        wait_for(job, lambda job: job.done > 100)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    hurry(job)
    assert 0 < redis.dbsize() < 2000
    assert job_worker.recover_jobs() == 1
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, redis.dbsize()) == ("done", 1), job.problem
    result = job.result
    assert result["done"] + result["unknown"] == job.done == 2001, result
    assert set(result["reasons"]) <= {work.STOPPED}
    if trash:
        kept = {bytes(name) for name in TrashEntry.objects.values_list("name", flat=True)}
        assert kept == {b"s:%d" % number for number in range(2000)} | {BYTES}


def test_the_audit_tells_who_did_what_to_how_many(redis: Any, connection_as: Any) -> None:
    fill(redis, 10)
    admin = connection_as("admin")
    do(admin, Order("delete"))
    told = {entry.operation: entry for entry in AuditEntry.objects.all()}
    assert told["start_bulk"].detail["count"] == 11
    assert told["run_bulk"].detail["done"] == 11 and told["run_bulk"].person == admin.actor.name


def test_params_keep_the_whole_choice() -> None:
    chosen = Choice(Filter(BYTES, "hash", "day", b"\xfff:", b"\xff"), (BYTES,), 5, 7)
    assert choice_of(chosen.params()) == chosen


def test_examples_are_an_even_choice() -> None:
    found = looking.Look()
    found.add([looking.Seen(b"%d" % number, "string", None, number) for number in range(5000)])
    assert len(found.examples) == 20 and max(int(each.name) for each in found.examples) > 1000
    assert [each["memory"] for each in found.as_dict()["largest"]] == [4999, 4998, 4997, 4996, 4995]


@pytest.mark.parametrize("kind", ["look", "export"])
def test_reading_waits_for_a_server_that_goes_away_and_begins_anew(
    redis: Any, connection_as: Any, monkeypatch: Any, kind: str
) -> None:
    from keyspace import exports

    fill(redis, 2000)
    admin = connection_as("admin")
    Broken(monkeypatch, b"SCAN", done=True)
    if kind == "look":
        assert look(admin).result["count"] == 2001
        return
    job = exports.start_export(admin, choice=choice(ttl="any"), form="archive")
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["keys"]) == ("done", 667), job.problem


def test_json_documents_go_through_the_trash_too(
    new_server: Any, make_server: Any, connection_as: Any
) -> None:
    server = new_server("redis7", module_json=True)
    with server.client() as client:
        client.execute_command("JSON.SET", "s:doc", "$", '{"a": 1}')
        job = do(connection_as("admin", server=make_server(server, "json")), Order("delete"))
        assert (job.result["done"], job.result["trashed"], client.dbsize()) == (1, 1, 0), job.result
