"""What a bulk copy wrote over, put back in one act: where it still is the copy, with its own end, and nothing else."""

from typing import Any

import pytest

from keyspace import job_worker
from keyspace.bulk import putting_back, putting_over
from keyspace.errors import Conflict, Denied, NotFound
from keyspace.models import AuditEntry, Grant, Job, TrashEntry
from keyspace.servers import Connection
from tests.keyspace import test_bulk_copy
from tests.keyspace.test_bulk import Broken, run_elsewhere, wait_for
from tests.keyspace.test_bulk_copy import copy, look, to
from tests.keyspace.test_bulk_put_back import put_back

pytestmark = pytest.mark.django_db(transaction=True)
admin, there = test_bulk_copy.admin, test_bulk_copy.there


def copied_over(here: Any, there: Any, admin: Connection, keys: int = 600) -> Job:
    """`keys` keys of which every second one was there already, with an end of its own."""
    names = [b"s:\xff%d" % number for number in range(keys)]
    here.mset(dict.fromkeys(names, b"ours"))
    pipe = there.pipeline(transaction=False)
    for name in names[::2]:
        pipe.set(name, b"theirs \xfe", px=3_600_000)
    pipe.execute()
    job = copy(admin, look(admin, to(admin, "there"), existing="different"))
    assert job.result["trashed"] == keys // 2 and set(there.mget(names)) == {b"ours"}
    return job


def test_earlier_values_come_back_with_their_ends_and_new_keys_stay(
    redis: Any, there: Any, admin: Connection
) -> None:
    client, _ = there
    done = copied_over(redis, client, admin)
    job = put_back(to(admin, "there"), done)
    assert (job.server, job.result["done"], job.done, job.total) == ("there", 300, 300, 300)
    assert client.get(b"s:\xff0") == b"theirs \xfe" and 3_500_000 < client.pttl(b"s:\xff0") <= 3_600_000
    assert client.get(b"s:\xff1") == b"ours" and client.dbsize() == 600
    assert AuditEntry.objects.get(operation="put_back").server == "there"
    with pytest.raises(Conflict, match="nothing left"):
        putting_back.start_put_back(to(admin, "there"), job_id=done.pk)


def test_what_was_written_or_deleted_since_is_left_alone(redis: Any, there: Any, admin: Connection) -> None:
    client, _ = there
    done = copied_over(redis, client, admin, 20)
    client.append(b"s:\xff0", b"!")
    client.delete(b"s:\xff2")
    job = put_back(to(admin, "there"), done)
    assert job.result["reasons"] == {putting_over.CHANGED: 1, putting_over.GONE: 1}
    assert client.get(b"s:\xff0") == b"ours!" and not client.exists(b"s:\xff2")
    assert job.result["done"] == 8 and TrashEntry.objects.filter(restored_at=None).count() == 2


def test_a_lost_answer_puts_nothing_back_twice(
    redis: Any, there: Any, admin: Connection, monkeypatch: Any
) -> None:
    client, _ = there
    done = copied_over(redis, client, admin, 2000)
    Broken(monkeypatch, b"RESTORE", done=True)
    job = put_back(to(admin, "there"), done)
    assert (job.result["done"], job.result["skipped"]) == (1000, 0), job.result
    assert client.get(b"s:\xff0") == b"theirs \xfe"


def test_kill_9_in_the_middle_then_resume(redis: Any, there: Any, admin: Connection) -> None:
    client, _ = there
    done = copied_over(redis, client, admin, 8000)
    job = putting_back.start_put_back(to(admin, "there"), job_id=done.pk)
    process = run_elsewhere(job)
    try:
        wait_for(job, lambda job: TrashEntry.objects.filter(restored_at__isnull=False).count() > 500, 60)
    finally:
        process.kill()
        process.wait()
    assert job_worker.recover_jobs() == 1
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert job.state == "done", job.problem
    assert (job.result["done"], job.result["skipped"]) == (4000, 0), job.result
    assert {client.get(b"s:\xff%d" % number) for number in range(0, 8000, 2)} == {b"theirs \xfe"}


def test_in_a_cluster_each_key_goes_to_its_shard(
    redis: Any, admin: Connection, make_server: Any, new_cluster: Any
) -> None:
    cluster = new_cluster(primaries=3)
    make_server(cluster.nodes[0], "node")
    with cluster.client() as client:
        for number in range(30):
            redis.set(f"s:{number}", "ours")
            client.set(f"s:{number}", "theirs", px=3_600_000)
        done = copy(admin, look(admin, to(admin, "node"), existing="different"))
        assert client.get("s:7") == b"ours"
        job = put_back(to(admin, "node"), done)
        assert job.result["done"] == 30
        assert {client.get(f"s:{number}") for number in range(30)} == {b"theirs"} and client.pttl("s:7") > 0


def test_it_is_an_act_on_the_target_and_for_its_admins(redis: Any, there: Any, admin: Connection) -> None:
    client, row = there
    done = copied_over(redis, client, admin, 10)
    with pytest.raises(NotFound):
        putting_back.start_put_back(admin, job_id=done.pk)
    Grant.objects.filter(user=admin.actor.user, server=None).delete()
    Grant.objects.create(user=admin.actor.user, server=row, role="operator")
    with pytest.raises(Denied):
        putting_back.start_put_back(to(admin, "there"), job_id=done.pk)
    assert client.get(b"s:\xff0") == b"ours"
