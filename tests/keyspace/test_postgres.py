"""Several processes on one Postgres, as DATABASE_URL has it: what a lock on all of SQLite gave for free holds there as well."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, DataError, connection, transaction
from django.utils import timezone

from keyspace.audit_chain import Verdict, verify_chain
from keyspace.errors import explain
from keyspace.models import AuditEntry, Backup, Grant, Job, LiveUse, Once, Schedule
from keyspace.models.fields import NUL_SHOWN
from keyspace.pubsub.uses import VIEW
from tests.keyspace.pubsub.test_uses import (  # noqa: F401
    keeper,
    test_rows_are_kept_fresh_and_come_back_after_a_sleep,
    test_two_at_once_do_not_both_take_the_last_place,
    test_what_a_dead_process_had_open_counts_no_more,
)
from tests.postgres import RunningPostgres, as_default

pytestmark = [pytest.mark.usefixtures("on_postgres"), pytest.mark.django_db(transaction=True)]
ROOT = Path(__file__).parents[2]
CONSOLE = """
import json, os, sys
import django
django.setup()
from django.contrib.auth import get_user_model
from django.db import connections
from keyspace.access import Actor
from keyspace.servers import all_servers, open_connection
def actor(name):
    return Actor(get_user_model().objects.get(username=name), name)
for line in sys.stdin:
    names = dict(globals()) | json.loads(line)
    exec(names["code"], names)
    connections.close_all()
    print(json.dumps(names["answer"]), flush=True)
"""


@pytest.fixture(scope="module")
def consoles(on_postgres: str, tmp_path_factory: Any) -> Iterator[list["subprocess.Popen[str]"]]:
    """Two processes with the console's own settings, which run what they are told."""
    environ = {"DJANGO_SETTINGS_MODULE": "console.settings", "DATABASE_URL": on_postgres, "PATH": os.defpath}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", CONSOLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environ | {"CONSOLE_DATA_DIR": str(tmp_path_factory.mktemp("console"))},
        )
        for _ in range(2)
    ]  # fmt: skip
    yield both
    for process in both:
        process.communicate(timeout=90)


@pytest.fixture
def in_both(consoles: Any) -> Any:
    """`in_both("answer = ...", arguments)`: the code in both at the same moment, and the `answer` of each."""

    def run(code: str, arguments: Any = None) -> list[Any]:
        for number, process in enumerate(consoles):
            task = {"code": code, "number": number, "arguments": arguments}
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process in consoles]

    return run


def test_migrations_go_all_the_way_back_and_forward_again(migrated: str, postgres: RunningPostgres) -> None:
    with as_default(postgres.url(postgres.make_database(template=migrated))):
        made = set(connection.introspection.table_names())
        call_command("migrate", "keyspace", "zero", verbosity=0)
        left = {name for name in made if not name.startswith("keyspace_")}
        assert set(connection.introspection.table_names()) == left < made
        with connection.cursor() as cursor:
            cursor.execute("SELECT proname FROM pg_proc WHERE proname LIKE 'audit%'")
            assert cursor.fetchall() == []
        call_command("migrate", "keyspace", verbosity=0)
        assert set(connection.introspection.table_names()) == made


RECORD = """
from keyspace import audit
subject = open_connection(actor("viewer"), "test", 0)
for number in range(50):
    audit.record(subject, "told", key=bytes([255, number]), outcome="done", detail={"number": number})
answer = True
"""


def test_two_processes_write_one_chain_that_nobody_may_rewrite(in_both: Any, viewer: Any) -> None:
    assert in_both(RECORD) == [True, True]
    assert verify_chain() == Verdict(100)
    assert sorted(entry.name or b"" for entry in AuditEntry.objects.all()) == sorted(
        bytes([255, number]) for number in [*range(50), *range(50)]
    )
    for statement in (
        "UPDATE keyspace_auditentry SET person = 'eve'",
        "DELETE FROM keyspace_auditentry",
        "TRUNCATE keyspace_auditentry",
    ):
        with (
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert verify_chain() == Verdict(100)


CLAIM = """
from keyspace import job_worker
from keyspace.access import Permission
from keyspace.jobs import KINDS, JobKind
KINDS["count"] = JobKind("count", Permission.BULK, lambda run: {"ran": run.params["number"]})
answer = [job for job in arguments if job_worker.run_job(job)]
"""


def test_a_job_is_claimed_by_one_of_two_processes(in_both: Any) -> None:
    rows = [Job(kind="count", title="count", params={"number": number}) for number in range(20)]
    numbers = [str(job.pk) for job in Job.objects.bulk_create(rows)]
    first, second = in_both(CLAIM, numbers)
    assert sorted(first + second) == sorted(numbers)
    assert {job.state for job in Job.objects.all()} == {Job.State.DONE}
    assert sorted(job.result["ran"] for job in Job.objects.filter(result__ran__gte=0)) == list(range(20))


VIEWS = """
import asyncio
from keyspace.models.fields import NUL_SHOWN
from keyspace.pubsub.uses import VIEW, Keeper, TooMany, Use, this_process
async def main():
    keeper, begun = Keeper(), 0
    for at in range(10):
        try:
            await keeper.begin(Use(f"{this_process()} {at}", VIEW, arguments), most=7)
            begun += 1
        except TooMany:
            pass
    return begun
answer = asyncio.run(main())
"""


def test_limits_of_the_live_view_hold_over_two_processes(in_both: Any, viewer: Any) -> None:
    assert sum(in_both(VIEWS, viewer.pk)) == 7
    assert LiveUse.objects.filter(kind=VIEW, user=viewer).count() == 7


ONCE = """
import os, time
from keyspace.once import once
def act():
    time.sleep(0.02)
    return {"by": os.getpid()}
answer = [once(f"form {number}", act)["by"] for number in range(20)]
"""


def test_a_form_sent_to_two_processes_does_its_thing_once(in_both: Any) -> None:
    first, second = in_both(ONCE)
    assert first == second and len(first) == 20


START = """
import datetime, time
from keyspace.backups import schedule
from keyspace.jobs import start_job
start_job(actor("admin"), "back_up", title="twice", once="form 1")
def slowly(row):  # both have read the row before one claims it
    time.sleep(0.5)
    return datetime.timedelta()
schedule.jitter = slowly
answer = schedule.run_due()
"""


def test_a_schedule_that_is_due_starts_one_backup(in_both: Any, admin: Any, server_row: Any) -> None:
    due = timezone.now() - timedelta(hours=1)
    Schedule.objects.create(server=server_row, name="nightly", next_at=due)
    assert sorted(in_both(START)) == [0, 1]
    assert Backup.objects.count() == 1 and Job.objects.filter(once="form 1").count() == 1


def test_any_text_is_kept_or_refused_in_words() -> None:
    """SQLite takes all of them."""
    odd = "a\0b\\u0000\\\0"
    job = Job.objects.create(kind="k", title=odd + "x" * 300, params={odd: [odd]}, result={"said": odd})
    Job.objects.filter(pk=job.pk).update(phase=odd * 100)
    job.refresh_from_db()
    kept = odd.replace("\0", NUL_SHOWN)
    assert (job.title, job.phase) == ((kept + "x" * 300)[:255], (kept * 100)[:255])
    assert (job.params, job.result) == ({kept: [kept]}, {"said": kept})
    with pytest.raises(DataError) as refused, transaction.atomic():
        Once.objects.create(token="t" * 65)
    problem = explain(refused.value)
    assert problem.status == 400 and "too long" in problem.sentence


REMOVE = """
import time
from keyspace import grants
from keyspace.errors import Problem
me, other = (lambda names: names if number else names[::-1])(["one", "two"])
keep = grants._keep_an_admin
def slowly(console):
    keep(console)
    time.sleep(0.5)
grants._keep_an_admin = slowly
try:
    grants.remove_grant(all_servers(actor(me)), grant_id=arguments[other])
    answer = "removed"
except Problem as problem:
    answer = problem.sentence
finally:
    grants._keep_an_admin = keep
"""


def test_two_admins_who_remove_each_other_leave_one(in_both: Any, make_person: Any) -> None:
    make_person("one", "admin"), make_person("two", "admin")
    grants = {grant.user.get_username(): grant.pk for grant in Grant.objects.all() if grant.user}
    removed, refused = sorted(in_both(REMOVE, grants), reverse=True)
    assert removed == "removed" and refused.startswith("This would leave the console without an admin")
    assert Grant.objects.count() == 1
