"""How far the chain was verified: in the background, by a job, by the command; and what a broken one sets off."""

import uuid
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from keyspace import audit, audit_chain, job_worker
from keyspace.audit_check import broken_sentence, state_of_chain, verify_audit, verify_now, verify_some
from keyspace.audit_entries import audit_reader
from keyspace.errors import Denied
from keyspace.models import AuditChain, AuditCheck, AuditEntry, Job
from tests.tampering import tamper

TAKE = "DELETE FROM keyspace_auditentry WHERE id = %s"
CHANGE = "UPDATE keyspace_auditentry SET person = 'eve' WHERE id = %s"


@pytest.fixture
def write(connection_as):
    subject = connection_as("operator")

    def write(count=1):
        for number in range(count):
            audit.record(subject, "set_ttl", key=b"k\xff", outcome="done", detail={"number": number})
        return list(AuditEntry.objects.order_by("id"))

    return write


def begin_anew():
    """As if the walk had begun two days ago."""
    AuditCheck.objects.update(walk_began_at=timezone.now() - timedelta(days=2))


def test_a_console_without_entries_is_whole(db):
    verify_some()
    assert (state_of_chain().whole_entries, broken_sentence()) == (0, "")


def test_the_background_walks_on_with_what_is_new(write):
    entries = write(3)
    verify_some()
    state = state_of_chain()
    assert (state.whole_id, state.whole_entries, state.by) == (entries[-1].pk, 3, "the console")
    entries = write(2)
    verify_some()
    assert (state_of_chain().whole_id, state_of_chain().whole_entries) == (entries[-1].pk, 5)


def test_the_background_stops_when_its_time_is_up_and_goes_on_there(write, monkeypatch):
    monkeypatch.setattr(audit_chain, "PAGE", 2)
    entries = write(5)
    verify_some(seconds=-1)
    assert (state_of_chain().walk_id, state_of_chain().whole_at) == (entries[1].pk, None)
    verify_some(seconds=-1)
    assert state_of_chain().walk_id == entries[3].pk
    verify_some()
    assert (state_of_chain().whole_id, state_of_chain().whole_entries) == (entries[4].pk, 5)


def test_what_was_verified_is_walked_again_after_a_day(write):
    entries = write(3)
    verify_some()
    tamper(CHANGE, entries[0].pk)
    verify_some()
    assert broken_sentence() == ""
    begin_anew()
    verify_some()
    assert broken_sentence() == f"Entry {entries[0].pk} was changed after it was written."


def test_newest_entries_that_were_verified_cannot_go_together_with_the_row_that_tells_of_them(write):
    entries = write(4)
    verify_some()
    tamper(TAKE, entries[3].pk)
    AuditChain.objects.update(last_hash=entries[2].hash)
    assert audit_chain.verify_chain().broken_id is None
    verify_some()
    assert state_of_chain().broken_id == entries[3].pk


def test_a_broken_chain_is_told_once_and_stays_told(write):
    entries = write(3)
    tamper(CHANGE, entries[1].pk)
    verify_some()
    assert state_of_chain().broken_id == entries[1].pk
    found = AuditEntry.objects.get(operation="find_audit_broken")
    assert (found.outcome, found.person, found.detail["entry"]) == ("failed", "the console", entries[1].pk)
    begin_anew()
    verify_some()
    assert AuditEntry.objects.filter(operation="find_audit_broken").count() == 1


def test_a_chain_that_was_put_right_is_whole_again(write):
    entries = write(3)
    tamper(CHANGE, entries[1].pk)
    verify_some()
    assert broken_sentence()
    tamper("UPDATE keyspace_auditentry SET person = %s WHERE id = %s", entries[1].person, entries[1].pk)
    verify_some()
    assert broken_sentence()  # it is not asked all the time
    begin_anew()
    verify_some()
    assert broken_sentence() == "" and state_of_chain().whole_at is not None


def test_the_command_remembers_what_it_found(write):
    entries = write(2)
    assert verify_now("shell").entries == 2
    assert (state_of_chain().by, state_of_chain().whole_id) == ("shell", entries[1].pk)
    tamper(CHANGE, entries[0].pk)
    assert verify_now("shell").broken_id == entries[0].pk == state_of_chain().broken_id


@pytest.fixture
def run_now(monkeypatch):
    """Jobs are run by the test itself."""
    monkeypatch.setattr(job_worker, "enqueue", lambda job_id: None)

    def run(job):
        assert job_worker.run_job(job.pk)
        return Job.objects.get(pk=job.pk)

    return run


def test_a_job_verifies_all_of_it(write, connection_as, run_now):
    write(3)
    actor = connection_as("admin").actor
    job = verify_audit(audit_reader(actor), once="once")
    assert verify_audit(audit_reader(actor), once="once").pk == job.pk
    newest = AuditEntry.objects.first()
    done = run_now(job)
    assert (done.state, done.result["up_to"], done.done) == ("done", newest.pk, done.result["entries"])
    assert (state_of_chain().by, state_of_chain().whole_id) == (actor.name, newest.pk)
    told = AuditEntry.objects.filter(operation="verify_audit").first()
    assert told.detail["job"] == str(job.pk) and uuid.UUID(told.detail["job"])


def test_the_job_goes_on_after_a_crash(write, connection_as, run_now):
    entries = write(4)
    job = verify_audit(audit_reader(connection_as("admin").actor))
    place = {"id": entries[2].pk, "hash": entries[2].hash, "walked": 3}
    Job.objects.filter(pk=job.pk).update(checkpoint=place)
    assert run_now(job).result["entries"] == 5


def test_the_job_fails_where_the_chain_is_broken(write, connection_as, run_now):
    entries = write(3)
    tamper(CHANGE, entries[1].pk)
    job = run_now(verify_audit(audit_reader(connection_as("admin").actor)))
    assert job.state == "failed" and f"Entry {entries[1].pk} was changed" in job.problem
    assert broken_sentence()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_who_may_read_all_of_it_has_it_verified(connection_as, make_person, server_row, role):
    with pytest.raises(Denied):
        verify_audit(audit_reader(connection_as(role).actor))


def test_truncating_the_audit_is_refused(write):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    write(2)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("TRUNCATE keyspace_auditentry")
