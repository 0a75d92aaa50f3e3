"""A failover in the middle of bulk work: the server is a replica for a while, or for good, and no key counts as failed for it."""

from collections.abc import Iterator
from typing import Any

import pytest

from keyspace import job_worker, jobs
from keyspace.bulk import away, putting_back
from keyspace.bulk.choice import Choice
from keyspace.bulk.services import Order, start_bulk
from keyspace.keys import Filter
from keyspace.models import Grant, Job, Server, TrashEntry
from keyspace.servers import Connection, open_connection
from tests.jobs import in_thread
from tests.keyspace.test_bulk import BYTES, do, fill, hurry, look, wait_for
from tests.keyspace.test_bulk_copy import CHOICE, copies, to
from tests.keyspace.test_bulk_copy import look as look_at_copy
from tests.servers import RunningServer
from tests.topologies import start_replica, wait_until

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = 1500
TTLS = [
    Order("set", ttl=3_600_000, rate=300), Order("persist", rate=300), Order("extend", ttl=600_000, rate=300),
]  # fmt: skip
DELETES = [Order("delete", rate=300), Order("delete", trash=False, rate=300)]


@pytest.fixture
def pair(new_server: Any) -> Iterator[tuple[RunningServer, RunningServer]]:
    """A primary with KEYS keys that end, and its replica."""
    primary = new_server("valkey9")
    with primary.client() as client:
        fill(client, KEYS)
        pipe = client.pipeline(transaction=False)
        for number in range(KEYS):
            pipe.pexpire(b"s:%d" % number, 3_600_000)
        pipe.pexpire(BYTES, 3_600_000)
        pipe.execute()
    replica = start_replica(primary)
    yield primary, replica
    replica.stop()


def caught_up(replica: RunningServer) -> bool:
    return bool(replica.client().info("replication").get("master_link_status") == "up")


def fail_over(primary: RunningServer, replica: RunningServer) -> None:
    """They change roles, as a Sentinel lets them: no write is lost."""
    primary.client().execute_command("FAILOVER", "TO", replica.host, replica.port, "TIMEOUT", 30_000)
    wait_until(lambda: replica.client().info("replication")["role"] == "master", "the failover", seconds=60)
    wait_until(lambda: caught_up(primary), "the old primary to follow", seconds=60)


@pytest.fixture
def admin(connection_as: Any, make_server: Any, pair: Any) -> Connection:
    connection: Connection = connection_as("admin", server=make_server(pair[0], "first"))
    return connection


def demoted(job: Job, pair: tuple[RunningServer, RunningServer]) -> Any:
    """The job at work, and waiting because its server became a replica on the way."""
    thread = in_thread(job)
    wait_for(job, lambda job: job.done > 50)
    fail_over(*pair)
    wait_for(job, lambda job: "waiting for the server" in job.phase and "read-only replica" in job.phase)
    return thread


def ended(thread: Any, job: Job) -> Job:
    hurry(job)
    thread.join(120)
    job.refresh_from_db()
    return job


def check_done(client: Any, order: Order, job: Job) -> None:
    assert job.state == "done", job.problem
    result = job.result
    assert result["failed"] == 0 and job.done == KEYS + 1, result
    if order.do == "delete":
        assert client.keys("*") == [b"other"]
        assert result["done"] == KEYS + 1, result
        return
    ends = [client.pexpiretime(name) for name in client.scan_iter("s:*", count=1000)]
    assert len(ends) == KEYS + 1
    assert all(end == -1 for end in ends) if order.do == "persist" else len({end > 0 for end in ends}) == 1
    if order.do == "extend":  # each once
        assert max(client.pttl(b"s:%d" % number) for number in range(0, KEYS, 50)) <= 4_200_000


@pytest.mark.parametrize("order", [*TTLS, *DELETES], ids=lambda order: f"{order.do}-{order.trash}")
def test_work_goes_on_when_the_server_is_primary_again(pair: Any, admin: Connection, order: Order) -> None:
    first, second = pair
    job = start_bulk(admin, look_id=look(admin).pk, order=order)
    thread = demoted(job, pair)
    fail_over(second, first)
    check_done(first.client(), order, ended(thread, job))
    assert TrashEntry.objects.count() == (KEYS + 1 if order.do == "delete" and order.trash else 0)


def test_work_goes_on_at_the_new_primary_when_the_server_has_its_address(
    pair: Any, admin: Connection
) -> None:
    """The admin changes it, or the name is resolved to another address."""
    second, order = pair[1], TTLS[0]
    job = start_bulk(admin, look_id=look(admin).pk, order=order)
    thread = demoted(job, pair)
    Server.objects.filter(name="first").update(port=second.port)
    check_done(second.client(), order, ended(thread, job))
    assert pair[0].client().info("replication")["role"] == "slave"


def test_in_the_end_it_is_interrupted_with_what_was_done_and_can_go_on(
    pair: Any, admin: Connection, monkeypatch: Any
) -> None:
    monkeypatch.setattr(away, "GIVE_UP_SECONDS", 1.0)
    first, second = pair
    job = start_bulk(admin, look_id=look(admin).pk, order=TTLS[0])
    thread = demoted(job, pair)
    thread.join(60)
    job.refresh_from_db()
    assert job.state == "interrupted" and "read-only replica" in job.problem, (job.state, job.problem)
    assert 50 < job.done < KEYS and job.result["failed"] == 0 and job.result["done"] == job.done
    fail_over(second, first)
    hurry(job)
    jobs.restart_job(admin.actor, job.pk)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    check_done(first.client(), TTLS[0], job)


@pytest.mark.parametrize("order", [TTLS[0], DELETES[0]], ids=["set", "delete"])
def test_a_server_that_was_no_primary_from_the_beginning_is_not_waited_for(
    pair: Any, connection_as: Any, make_server: Any, order: Order
) -> None:
    job = do(connection_as("admin", server=make_server(pair[1], "second")), order)
    assert job.state == "failed" and "read-only replica" in job.problem
    assert job.result["done"] == job.result["failed"] == 0 and not TrashEntry.objects.exists()


def test_a_copy_waits_for_its_target(
    pair: Any, admin: Connection, server: RunningServer, redis: Any, make_server: Any
) -> None:
    first, second = pair
    first.client().flushall()
    fill(redis, KEYS)
    Grant.objects.create(user=admin.actor.user, role="admin")
    make_server(server, "here")
    here = open_connection(admin.actor, "here", 0)
    dry = look_at_copy(here, to(here, "first"), chosen=CHOICE, existing="different")
    job = copies.start_copy(here, look_id=dry.pk, rate=300)
    thread = demoted(job, pair)
    fail_over(second, first)
    job = ended(thread, job)
    assert job.state == "done" and job.result["failed"] == 0, (job.problem, job.result)
    assert first.client().dbsize() == KEYS + 1


def test_putting_back_waits_too(pair: Any, admin: Connection, monkeypatch: Any) -> None:
    first, second = pair
    job = putting_back.start_put_back(
        admin, job_id=do(admin, Order("delete", rate=0), Choice(Filter(b"s:*"))).pk
    )
    monkeypatch.setattr(putting_back, "AT_ONCE", 20)
    monkeypatch.setattr(putting_back.Pace, "after", lambda pace, keys: pace.sleep(0.05))
    thread = demoted(job, pair)
    fail_over(second, first)
    monkeypatch.undo()
    thread.join(120)
    job.refresh_from_db()
    assert (job.state, job.result["done"]) == ("done", KEYS + 1), (job.problem, job.result)
    assert first.client().dbsize() == KEYS + 2
