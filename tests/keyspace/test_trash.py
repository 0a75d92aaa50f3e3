"""The trash: what goes in comes back as it was; over no newer key unasked; within its days and its size; only by who may."""

import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from keyspace import trash, trash_limits
from keyspace.deleting import NoWayBack, delete_keys
from keyspace.errors import Conflict, Denied, NotFound
from keyspace.images import digest_of
from keyspace.models import AuditEntry, TrashEntry
from keyspace.once import once
from tests.keyspace.types.samples import SAMPLES

pytestmark = pytest.mark.django_db
NAME = b"sample:\xff\x00 \xc3\xa9"
IN_EVERY_SERVER = [kind for kind in SAMPLES if kind != "ReJSON-RL"]


def deleted(connection, name=NAME):
    return uuid.UUID(delete_keys(connection, names=[name]).entries[name])


@pytest.mark.parametrize("kind", IN_EVERY_SERVER)
def test_a_deleted_key_of_any_type_comes_back_with_its_expiry(
    any_server, any_redis, connection_as, make_server, kind
):
    connection = connection_as("operator", server=make_server(any_server, name="any"))
    length = SAMPLES[kind](any_redis)
    any_redis.pexpire(NAME, 3_600_000)
    before, ends = any_redis.dump(NAME), any_redis.pexpiretime(NAME)
    entry = deleted(connection)
    assert not any_redis.exists(NAME)
    row = TrashEntry.objects.get()
    assert (row.type, row.length, bytes(row.name), row.left) == (kind, length, NAME, "")
    trash.restore_key(connection, NAME, entry_id=entry)
    assert any_redis.dump(NAME)[:-10] == before[:-10] or kind in ("hash", "set")
    assert any_redis.pexpiretime(NAME) == ends
    assert AuditEntry.objects.filter(operation="delete_keys").get().detail["trash"] == str(entry)


def test_a_json_document_comes_back(json_server, json_redis, connection_as, make_server):
    connection = connection_as("operator", server=make_server(json_server, name="json"))
    SAMPLES["ReJSON-RL"](json_redis)
    before = json_redis.execute_command("JSON.GET", NAME)
    entry = deleted(connection)
    trash.undo_change(connection, NAME, entry_id=entry)
    assert json_redis.execute_command("JSON.GET", NAME) == before


def test_a_newer_key_is_not_written_over_unasked_and_goes_into_the_trash_itself(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, "old")
    entry = deleted(connection)
    redis.set(NAME, "newer")
    with pytest.raises(trash.KeyExists):
        trash.undo_change(connection, NAME, entry_id=entry)
    with pytest.raises(trash.KeyExists):
        trash.restore_key(connection, NAME, entry_id=entry)
    assert redis.get(NAME) == b"newer"
    restored = trash.restore_key(connection, NAME, entry_id=entry, replace=True)
    assert redis.get(NAME) == b"old" and restored.overwrote
    trash.restore_key(connection, NAME, entry_id=uuid.UUID(restored.overwrote), replace=True)
    assert redis.get(NAME) == b"newer"


def test_a_key_whose_time_has_passed_is_asked_for(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, "a", px=3_600_000)
    entry = deleted(connection)
    TrashEntry.objects.update(expires_at=int(time.time() * 1000) - 1)
    with pytest.raises(trash.TimePassed):
        trash.restore_key(connection, NAME, entry_id=entry)
    assert not redis.exists(NAME)
    trash.restore_key(connection, NAME, entry_id=entry, persist=True)
    assert redis.pttl(NAME) == -1


def test_only_who_may_edit_the_key_restores_it_and_only_who_sees_it_finds_it(connection_as, redis):
    redis.set("a:1", "x")
    redis.set("b:1", "x")
    operator = connection_as("operator")
    entry = deleted(operator, b"a:1")
    other = deleted(operator, b"b:1")
    viewer, half = connection_as("viewer"), connection_as("operator", patterns=["a:*"])
    with pytest.raises(Denied):
        trash.restore_key(viewer, b"a:1", entry_id=entry)
    assert [kept.may_restore for kept in trash.list_trash(viewer).kept] == [False, False]
    assert [kept.name for kept in trash.list_trash(half).kept] == [b"a:1"]
    with pytest.raises(NotFound):
        trash.read_entry(half, entry_id=other)
    with pytest.raises(NotFound):
        trash.restore_key(half, b"a:1", entry_id=other)
    assert trash.purge_trash(half) == 1 and TrashEntry.objects.count() == 1


def test_the_preview_is_masked_as_the_key_is(connection_as, redis):
    redis.hset("card:1", "number", "4111")
    deleted(connection_as("operator"), b"card:1")
    assert "4111" in trash.list_trash(connection_as("viewer")).kept[0].preview[0]
    masked = trash.list_trash(connection_as("viewer", masks=["card:*"])).kept[0]
    assert masked.masked and masked.preview == ()


def test_a_key_too_large_is_refused_before_the_act(connection_as, redis, settings):
    settings.TRASH_KEY_BYTES = 1000
    redis.set("big", "x" * 2000)
    redis.set("small", "x")
    connection = connection_as("operator")
    with pytest.raises(NoWayBack):
        delete_keys(connection, names=[b"small", b"big"])
    assert redis.exists("small", "big") == 2 and not TrashEntry.objects.exists()
    gone = delete_keys(connection, names=[b"small", b"big", b"never"], without_trash=True)
    assert gone.for_good == (b"big",) and list(gone.entries) == [b"small"] and gone.gone == (b"never",)


def test_old_entries_and_those_beyond_the_size_go_oldest_first(connection_as, redis, settings):
    connection = connection_as("operator")
    redis.set("aged", "x")
    TrashEntry.objects.filter(pk=deleted(connection, b"aged")).update(at=timezone.now() - timedelta(days=8))
    ids = []
    for number in range(4):
        redis.set(f"k{number}", bytes(range(256)) * 4)
        ids.append(deleted(connection, f"k{number}".encode()))
    assert TrashEntry.objects.count() == 4
    settings.TRASH_BYTES = 2 * TrashEntry.objects.first().stored_size
    redis.set("last", bytes(range(256)) * 4)
    last = deleted(connection, b"last")
    assert {row.pk for row in TrashEntry.objects.all()} == {ids[3], last}


def test_what_is_too_old_goes_also_while_nobody_deletes_anything(connection_as, redis):
    connection = connection_as("operator")
    redis.mset({"aged": "x", "new": "x"})
    aged, new = deleted(connection, b"aged"), deleted(connection, b"new")
    assert trash_limits.prune_aged() == 0
    TrashEntry.objects.filter(pk=aged).update(at=timezone.now() - timedelta(days=8))
    assert trash_limits.prune_aged() == 1 and [row.pk for row in TrashEntry.objects.all()] == [new]


def test_another_type_than_was_seen_is_not_deleted(connection_as, redis):
    redis.rpush(NAME, "a")
    with pytest.raises(Conflict):
        delete_keys(connection_as("operator"), names=[NAME], kind="string")
    assert redis.exists(NAME) and not TrashEntry.objects.exists()


def test_what_the_trash_has_is_what_was_deleted_while_others_write(connection_as, redis):
    """A counter that somebody increments all the time: nothing of it is lost between trash and deletion."""
    connection = connection_as("operator")
    stop = threading.Event()

    def count():
        with redis.client() as mine:
            while not stop.is_set():
                mine.incr("counter")
                time.sleep(0.0005)

    redis.set("counter", 1_000_000)
    worker = threading.Thread(target=count)
    worker.start()
    try:
        entry = deleted(connection, b"counter")
    finally:
        stop.set()
        worker.join()
    now = redis.get("counter")
    assert TrashEntry.objects.count() == 1
    redis.delete("counter")
    trash.restore_key(connection, b"counter", entry_id=entry)
    assert int(redis.get("counter")) >= 1_000_000 and int(now or 0) < 1_000_000


def test_the_digest_is_of_the_value_not_of_the_version(redis):
    redis.set(NAME, "a")
    payload = redis.dump(NAME)
    assert digest_of(payload) == digest_of(payload[:-10] + b"\x00" * 10) and digest_of(None) == ""


def test_an_act_runs_once_and_a_failed_one_may_be_sent_again():
    ran = []

    def act():
        ran.append(1)
        if len(ran) == 1:
            raise Conflict("no", "")
        return {"number": len(ran)}

    with pytest.raises(Conflict):
        once("t", act)
    assert once("t", act) == {"number": 2}
    assert once("t", act) == {"number": 2} and len(ran) == 2


def test_an_act_whose_end_is_unknown_is_not_repeated():
    import redis as redis_py

    ran = []

    def act():
        ran.append(1)
        raise redis_py.TimeoutError("Timeout reading from the server")

    with pytest.raises(redis_py.TimeoutError):
        once("t", act)
    with pytest.raises(Exception, match="did not answer in time"):
        once("t", act)
    assert len(ran) == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_moment_run_it_once():
    from django.db import connection

    ran, answers = [], []

    def act():
        ran.append(1)
        time.sleep(0.2)
        return {"number": len(ran)}

    def send():
        answers.append(once("both", act))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(ran) == 1 and answers == [{"number": 1}] * 3
