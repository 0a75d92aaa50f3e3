"""Old entries go in order, and the chain that is left still proves itself."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from keyspace import audit, audit_retention
from keyspace.audit_chain import Verdict, verify_chain
from keyspace.audit_check import broken_sentence, state_of_chain, verify_some
from keyspace.audit_retention import purge_audit
from keyspace.models import AuditChain, AuditEntry
from tests.tampering import tamper


@pytest.fixture
def written(connection_as, monkeypatch, settings):
    """Six entries, one a day: the oldest six days old, the newest of a moment ago; three days are kept."""
    settings.AUDIT_KEEP_DAYS = 3
    subject, now = connection_as("operator"), timezone.now()
    for days in (6, 5, 4, 2, 1, 0):
        with monkeypatch.context() as clock:
            clock.setattr(audit.timezone, "now", lambda days=days: now - timedelta(days=days))
            audit.record(subject, "set_ttl", key=b"k\xff", outcome="done", detail={"days": days})
    return list(AuditEntry.objects.order_by("id"))


def test_what_is_older_than_is_kept_goes_and_the_rest_is_whole(written):
    assert purge_audit() == 3
    assert [entry.detail.get("days") for entry in AuditEntry.objects.order_by("id")] == [2, 1, 0, None]
    assert verify_chain() == Verdict(4)
    assert purge_audit() == 0


def test_the_purge_is_an_entry_itself(written):
    purge_audit()
    told = AuditEntry.objects.first()
    assert (told.operation, told.person, told.outcome) == ("purge_audit", "retention", "done")
    assert (told.detail["entries"], told.detail["last"], told.detail["hash"]) == (
        3,
        written[2].pk,
        written[2].hash,
    )


def test_without_the_setting_everything_is_kept(written, settings):
    settings.AUDIT_KEEP_DAYS = 0
    assert purge_audit() == 0 and AuditEntry.objects.count() == 6


def test_a_large_purge_is_done_bit_by_bit(written, monkeypatch):
    monkeypatch.setattr(audit_retention, "AT_ONCE", 2)
    assert [purge_audit(), purge_audit(), purge_audit()] == [2, 1, 0]
    assert verify_chain() == Verdict(5)


def test_a_change_in_what_is_left_is_found(written):
    purge_audit()
    tamper("UPDATE keyspace_auditentry SET person = 'eve' WHERE id = %s", written[4].pk)
    assert verify_chain().broken_id == written[4].pk


def test_the_database_still_refuses_to_let_others_go(written):
    purge_audit()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(pk=written[3].pk).delete()
    assert verify_chain() == Verdict(4)


def test_more_that_was_taken_from_the_beginning_is_found_also_with_the_anchor_moved_along(written):
    purge_audit()
    AuditChain.objects.update(anchor_id=written[3].pk, anchor_hash=written[3].hash)
    AuditEntry.objects.filter(pk=written[3].pk).delete()
    assert verify_chain().sentence == "Entries were taken from the beginning without a purge."


def test_entries_that_are_broken_do_not_go(written):
    tamper("UPDATE keyspace_auditentry SET person = 'eve' WHERE id = %s", written[1].pk)
    assert purge_audit() == 0
    assert AuditEntry.objects.filter(pk=written[0].pk).exists()
    assert str(written[1].pk) in broken_sentence()


def test_the_background_goes_on_from_the_new_beginning(written):
    verify_some()
    purge_audit()
    verify_some()
    assert broken_sentence() == "" and state_of_chain().whole_id == AuditEntry.objects.first().pk


def test_a_walk_that_a_purge_overtakes_goes_on_behind_it(written, monkeypatch):
    from keyspace import audit_chain

    monkeypatch.setattr(audit_chain, "PAGE", 1)
    steps = audit_chain.walk(audit_chain.beginning())
    assert next(steps).id == written[0].pk
    purge_audit()
    assert [place.id for place in steps] == [entry.pk for entry in AuditEntry.objects.order_by("id")]


def test_two_processes_do_not_purge_the_same_twice(written):
    place = audit_retention.beginning()
    last = audit_retention._last_to_go(place, audit_retention.oldest_kept(timezone.now()))
    before = audit_retention.oldest_kept(timezone.now())
    assert audit_retention._purge(place, last, before) == 3
    assert audit_retention._purge(place, last, before) == 0
    assert AuditEntry.objects.filter(operation="purge_audit").count() == 1
