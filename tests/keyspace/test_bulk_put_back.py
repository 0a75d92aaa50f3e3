"""A bulk delete taken back: all of it, with its ends, over no newer key."""

from typing import Any

import pytest

from keyspace import job_worker
from keyspace.bulk import putting_back
from keyspace.bulk.services import Order
from keyspace.errors import Conflict, Denied
from keyspace.models import AuditEntry, Grant, Job, TrashEntry
from keyspace.servers import Connection, open_connection
from tests.keyspace.test_bulk import BYTES, Broken, do, fill, run_elsewhere, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def put_back(connection: Connection, deleted: Job) -> Job:
    job = putting_back.start_put_back(connection, job_id=deleted.pk)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    return job


def test_all_of_it_comes_back_with_its_ends(
    any_server: Any, any_redis: Any, make_server: Any, connection_as: Any
) -> None:
    fill(any_redis, 600)
    before = {name: any_redis.dump(name) for name in any_redis.keys("*")}
    admin = connection_as("admin", server=make_server(any_server))
    job = put_back(admin, do(admin, Order("delete")))
    assert (job.result["done"], job.done, job.total) == (601, 601, 601)
    assert {name: any_redis.dump(name) for name in any_redis.keys("*")} == before
    assert 3_500_000 < any_redis.pttl("s:3") <= 3_600_000 and any_redis.pttl("s:1") == -1
    assert not TrashEntry.objects.filter(restored_at=None).exists()
    assert AuditEntry.objects.filter(operation="put_back").get().detail["done"] == 601
    with pytest.raises(Conflict, match="nothing left"):
        putting_back.start_put_back(admin, job_id=Job.objects.get(kind="run_bulk").pk)


def test_newer_keys_and_passed_times_are_left_alone(redis: Any, connection_as: Any) -> None:
    fill(redis, 10)
    admin = connection_as("admin")
    deleted = do(admin, Order("delete"))
    redis.set("s:1", "newer")
    TrashEntry.objects.filter(name=b"s:0").update(expires_at=1000)
    job = put_back(admin, deleted)
    assert job.result["reasons"] == {putting_back.NEWER: 1, putting_back.PASSED: 1}
    assert redis.get("s:1") == b"newer" and not redis.exists("s:0") and redis.get(BYTES) == b"\xfe"


def test_a_lost_answer_puts_nothing_back_twice(redis: Any, connection_as: Any, monkeypatch: Any) -> None:
    fill(redis, 1000)
    admin = connection_as("admin")
    deleted = do(admin, Order("delete"))
    Broken(monkeypatch, b"RESTORE", done=True)
    job = put_back(admin, deleted)
    assert (job.result["done"], job.result["skipped"], redis.dbsize()) == (1001, 0, 1002)


def test_kill_9_in_the_middle_then_resume(redis: Any, connection_as: Any) -> None:
    fill(redis, 6000)
    admin = connection_as("admin")
    job = putting_back.start_put_back(admin, job_id=do(admin, Order("delete", rate=0)).pk)
    process = run_elsewhere(job, linger=0.2)
    try:
        wait_for(job, lambda job: redis.dbsize() > 1000)
    finally:
        process.kill()
        process.wait()
    assert job_worker.recover_jobs() == 1
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, redis.dbsize()) == ("done", 6002), job.problem
    assert (job.result["done"], job.result["skipped"]) == (6001, 0), job.result


def test_only_admins_and_only_their_keys(redis: Any, connection_as: Any) -> None:
    fill(redis, 20)
    admin = connection_as("admin")
    deleted = do(admin, Order("delete"))
    Grant.objects.filter(user=admin.actor.user).update(patterns=["s:1*"])
    narrow = open_connection(admin.actor, "test", 0)
    job = put_back(narrow, deleted)
    assert (
        job.result["reasons"] == {putting_back.NOT_YOURS: 10}
        and redis.exists("s:1")
        and not redis.exists("s:2")
    )
    Grant.objects.filter(user=admin.actor.user).update(role="operator")
    with pytest.raises(Denied):
        putting_back.start_put_back(open_connection(admin.actor, "test", 0), job_id=deleted.pk)
