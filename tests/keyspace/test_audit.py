"""The audit: what is recorded, and that nobody can rewrite it unseen."""

import asyncio
import threading

import pytest
from django.db import DatabaseError, connection, connections, transaction

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.audit_chain import Verdict, verify_chain
from keyspace.errors import Denied, NotFound
from keyspace.models import AuditChain, AuditEntry
from tests.tampering import tamper


@performs(Permission.EDIT_VALUES)
def set_value(connection, name, *, fails=False):
    audit.tell(old_length=1, new_length=2)
    if fails:
        connection.redis.execute_command("NONSENSE")
    return "set"


@performs(Permission.READ_KEYS)
def read_value(connection, name):
    return "read"


@performs(Permission.BACK_UP)
def stream_backup(connection, *, fails=False):
    audit.tell(bytes=0)
    for number in range(3):
        audit.tell(bytes=number + 1)
        yield number
    if fails:
        connection.redis.execute_command("NONSENSE")


@performs(Permission.EDIT_VALUES)
async def set_value_async(connection, name):
    audit.tell(new_length=2)
    return "set"


@performs(Permission.PUBLISH)
async def publish_many(connection, *, count=3):
    for number in range(count):
        audit.tell(messages=number + 1)
        yield number


def last():
    return AuditEntry.objects.first()


def test_a_change_is_recorded_with_who_where_and_what(connection_as):
    assert set_value(connection_as("operator"), b"k\xff") == "set"
    entry = last()
    assert (entry.person, entry.address, entry.request_id) == ("operator-1", "10.1.2.3", "request-1")
    assert (entry.server, entry.db, entry.operation) == ("test", 0, "set_value")
    assert (bytes(entry.key), entry.outcome) == (b"k\xff", "done")
    assert entry.detail == {"old_length": 1, "new_length": 2}


def test_a_failure_is_recorded_with_its_sentence(connection_as):
    with pytest.raises(Exception, match="unknown command"):
        set_value(connection_as("operator"), b"k", fails=True)
    assert (last().outcome, last().detail["problem"]) == ("failed", "The server does not know this command.")


def test_a_viewer_is_denied_and_that_is_recorded(connection_as):
    with pytest.raises(Denied):
        set_value(connection_as("viewer"), b"k")
    assert (last().outcome, last().operation) == ("denied", "set_value")


def test_reading_is_quiet_but_a_refused_read_is_recorded(connection_as):
    viewer = connection_as("viewer", patterns=["a:*"])
    assert read_value(viewer, b"a:1") == "read"
    assert AuditEntry.objects.count() == 0
    with pytest.raises(NotFound):
        read_value(viewer, b"b:1")
    assert (last().outcome, bytes(last().key)) == ("denied", b"b:1")


def test_a_generator_is_refused_at_the_call(connection_as):
    with pytest.raises(Denied):
        stream_backup(connection_as("viewer"))
    assert last().outcome == "denied"


def test_a_generator_is_recorded_at_its_end(connection_as):
    items = stream_backup(connection_as("admin"))
    assert next(items) == 0
    assert AuditEntry.objects.count() == 0
    assert list(items) == [1, 2]
    assert (last().outcome, last().detail) == ("done", {"bytes": 3})


def test_a_generator_that_fails_or_is_left_is_recorded_as_such(connection_as):
    admin = connection_as("admin")
    with pytest.raises(Exception, match="unknown command"):
        list(stream_backup(admin, fails=True))
    assert last().outcome == "failed"
    items = stream_backup(admin)
    next(items)
    items.close()
    assert last().detail == {"bytes": 1, "problem": "It was stopped before its end."}


def test_two_generators_in_turn_tell_their_own_entries(connection_as):
    admin = connection_as("admin")
    first, second = stream_backup(admin), stream_backup(admin)
    next(first), next(second), next(second)
    first.close()
    assert last().detail["bytes"] == 1
    second.close()
    assert last().detail["bytes"] == 2


@pytest.mark.django_db(transaction=True)
async def test_async_services_are_held_to_the_same(connection_as_async):
    viewer, operator = await connection_as_async("viewer"), await connection_as_async("operator")
    assert await set_value_async(operator, b"k") == "set"
    assert await _last() == ("set_value_async", "done", {"new_length": 2})
    with pytest.raises(Denied):
        await set_value_async(viewer, b"k")
    assert (await _last())[:2] == ("set_value_async", "denied")


@pytest.mark.django_db(transaction=True)
async def test_async_generators_are_refused_before_the_first_item(connection_as_async):
    viewer, operator = await connection_as_async("viewer"), await connection_as_async("operator")
    with pytest.raises(Denied):
        await anext(publish_many(viewer))
    assert (await _last())[:2] == ("publish_many", "denied")
    assert [item async for item in publish_many(operator)] == [0, 1, 2]
    assert await _last() == ("publish_many", "done", {"messages": 3})


@pytest.mark.django_db(transaction=True)
async def test_a_cancelled_async_generator_is_recorded(connection_as_async):
    operator, begun = await connection_as_async("operator"), asyncio.Event()

    async def watch():
        async for _ in publish_many(operator, count=10**9):
            begun.set()
            await asyncio.sleep(0)

    task = asyncio.create_task(watch())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(2000):
        if await AuditEntry.objects.aexists():
            break
        await asyncio.sleep(0.02)
    assert (await _last())[1] == "failed"


async def _last():
    entry = await AuditEntry.objects.afirst()
    return entry.operation, entry.outcome, entry.detail


@pytest.fixture
def connection_as_async(connection_as, server_row):
    from asgiref.sync import sync_to_async

    return sync_to_async(connection_as)


def _record(subject, number):
    audit.record(
        subject, f"operation-{number}", key=bytes([number]), outcome="done", detail={"number": number}
    )


@pytest.fixture
def chain(connection_as):
    """Five entries by one person."""
    subject = connection_as("operator")
    for number in range(5):
        _record(subject, number)
    return list(AuditEntry.objects.order_by("id"))


def test_a_chain_is_whole(chain):
    assert verify_chain() == Verdict(5)


def test_an_empty_chain_is_whole(db):
    assert verify_chain() == Verdict(0)


@pytest.mark.parametrize(
    "change",
    ["person = 'eve'", "outcome = 'denied'", "operation = 'x'", "db = 7", "key = NULL", "detail = '{}'", "at = '2020-01-01'",
     "address = ''", "server = 'other'", "request_id = ''"],
)  # fmt: skip
def test_a_changed_entry_is_found(chain, change):
    tamper(f"UPDATE keyspace_auditentry SET {change} WHERE id = %s", chain[2].id)
    assert verify_chain().broken_id == chain[2].id


def test_a_removed_entry_is_found(chain):
    tamper("DELETE FROM keyspace_auditentry WHERE id = %s", chain[2].id)
    assert verify_chain().broken_id == chain[3].id


def test_removed_newest_entries_are_found(chain):
    tamper("DELETE FROM keyspace_auditentry WHERE id >= %s", chain[3].id)
    verdict = verify_chain()
    assert (verdict.broken_id, verdict.sentence) == (chain[3].id, "The newest entries are missing.")


def test_swapped_entries_are_found(chain):
    tamper("UPDATE keyspace_auditentry SET id = -1 WHERE id = %s", chain[1].id)
    tamper("UPDATE keyspace_auditentry SET id = %s WHERE id = %s", chain[1].id, chain[2].id)
    tamper("UPDATE keyspace_auditentry SET id = %s WHERE id = -1", chain[2].id)
    assert verify_chain().broken_id == chain[1].id


def test_entries_taken_from_the_beginning_are_found_also_where_the_anchor_was_moved(chain):
    AuditChain.objects.update(anchor_id=chain[1].id, anchor_hash=chain[1].hash)
    AuditEntry.objects.filter(id__lte=chain[1].id).delete()
    assert verify_chain().sentence == "Entries were taken from the beginning without a purge."


@pytest.mark.parametrize(
    "statement", ["UPDATE keyspace_auditentry SET person = 'eve'", "DELETE FROM keyspace_auditentry"]
)
def test_the_database_refuses_to_rewrite_the_audit(chain, statement):
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert verify_chain() == Verdict(5)


@pytest.mark.parametrize(
    "detail",
    [{1: 2, "b": (1, 2)}, {"score": float("inf")}, {"score": float("nan")}, {"x": 1e300, "y": 0.1, "z": 2.0}, {"raw": b"\xff\x00"},
     {"text": "nul \0 and \u2028", "deep": {"set": {"a"}}}],
)  # fmt: skip
def test_whatever_a_service_tells_the_chain_stays_whole(connection_as, detail):
    audit.record(connection_as("operator"), "told", key=b"", outcome="done", detail=detail)
    assert verify_chain() == Verdict(1)


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_make_one_chain(connection_as):
    subject = connection_as("operator")
    failures = []

    def write(first):
        try:
            for number in range(first, first + 10):
                _record(subject, number)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=write, args=(n * 10,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert verify_chain() == Verdict(60)
