"""What the console promises of changes, while servers die, refuse, run full, and others write: nothing is lost without a way back, no
expired key comes to life, and what says that nothing was written has written nothing.
"""

import contextlib
import select
import socket
import threading

import pytest
import redis as redis_py
from django.db import DatabaseError

from keyspace import changes, deleting, edits, trash, ttl
from keyspace.changes import rename_key
from keyspace.deleting import NoWayBack, delete_keys
from keyspace.edits import edit_key, find_edit, open_edit
from keyspace.errors import Conflict, NotFound, Unanswered, explain
from keyspace.models import TrashEntry
from tests.topologies import wait_until

NAME = b"k\xff"


@pytest.fixture
def operator(connection_as):
    return connection_as("operator")


@pytest.fixture
def any_operator(connection_as, make_server, any_server):
    return connection_as("operator", server=make_server(any_server, name="any"))


def append(connection, text="new", **more):
    edit = find_edit("string-append")[1]({"value": text})
    assert edit.is_valid(), edit.errors
    seen = open_edit(connection, NAME, edit=find_edit("string-append")[1]()).digest
    return edit_key(connection, NAME, edit=edit, seen=seen, **more)


def status_of(act):
    with pytest.raises(Exception) as caught:
        act()
    return explain(caught.value).status


@pytest.fixture
def meanwhile(monkeypatch):
    """`meanwhile(module, "function", act)`: `act` happens right after the function has run, once."""

    def set_up(module, function, act):
        real, done = getattr(module, function), []

        def both(*args, **kwargs):
            found = real(*args, **kwargs)
            if not done:
                done.append(True)
                act()
            return found

        monkeypatch.setattr(module, function, both)

    return set_up


def expire(redis):
    """Its time comes: nobody writes it, it goes by itself."""
    redis.pexpire(NAME, 1)
    wait_until(lambda: not redis.exists(NAME), "its end")


# Others write, and time passes, between the look and the write.


def test_a_key_that_expires_before_an_edit_is_written_stays_gone(any_operator, any_redis, meanwhile):
    any_redis.set(NAME, "old", px=60_000)
    meanwhile(edits, "take_image", lambda: expire(any_redis))
    with pytest.raises(NotFound):
        append(any_operator)
    assert not any_redis.exists(NAME) and not TrashEntry.objects.exists()


def test_a_key_that_expires_before_it_is_deleted_leaves_nothing_in_the_trash(
    any_operator, any_redis, meanwhile
):
    any_redis.set(NAME, "old", px=60_000)
    meanwhile(deleting, "take_image", lambda: expire(any_redis))
    with pytest.raises(NotFound):
        delete_keys(any_operator, names=[NAME])
    assert not TrashEntry.objects.exists()


def test_a_key_that_expires_before_it_is_renamed_brings_nothing_to_life(any_operator, any_redis, meanwhile):
    any_redis.set(NAME, "old", px=60_000)
    meanwhile(changes, "read_kind", lambda: expire(any_redis))
    assert status_of(lambda: rename_key(any_operator, NAME, to=b"other")) in (404, 409)
    assert any_redis.dbsize() == 0


def test_a_key_that_became_another_type_in_between_is_left_alone(any_operator, any_redis, meanwhile):
    any_redis.set(NAME, "old")

    def replace():
        any_redis.delete(NAME)
        any_redis.rpush(NAME, "theirs")

    meanwhile(edits, "take_image", replace)
    with pytest.raises(Conflict):
        append(any_operator)
    assert any_redis.lrange(NAME, 0, -1) == [b"theirs"] and not TrashEntry.objects.exists()


def test_a_key_deleted_and_made_anew_in_between_is_not_deleted_as_what_it_was(
    any_operator, any_redis, meanwhile
):
    any_redis.set(NAME, "old")

    def replace():
        any_redis.delete(NAME)
        any_redis.sadd(NAME, "theirs")

    meanwhile(deleting, "take_image", replace)
    with pytest.raises(Conflict):
        delete_keys(any_operator, names=[NAME])
    assert any_redis.smembers(NAME) == {b"theirs"} and not TrashEntry.objects.exists()


def test_a_rename_does_not_write_over_what_came_in_between(any_operator, any_redis, meanwhile):
    any_redis.set(NAME, "mine")
    meanwhile(changes, "read_kind", lambda: any_redis.set("other", "theirs"))
    with pytest.raises(Conflict):
        rename_key(any_operator, NAME, to=b"other")
    assert (any_redis.get(NAME), any_redis.get("other")) == (b"mine", b"theirs")


# The server goes away.


@pytest.fixture
def lasting(new_server):
    """A server whose data outlives kill -9."""
    return new_server("valkey9", appendonly="yes", appendfsync="always")


def test_a_server_that_dies_between_the_trash_and_the_deletion_loses_nothing(
    lasting, connection_as, make_server, meanwhile
):
    connection = connection_as("operator", server=make_server(lasting, name="lasting"))
    with lasting.client() as client:
        client.set(NAME, "old", px=3_600_000)
    meanwhile(trash, "keep", lasting.kill)
    assert status_of(lambda: delete_keys(connection, names=[NAME])) in (502, 503)
    lasting.restart()
    entry = TrashEntry.objects.get()
    with lasting.client() as client:
        assert client.get(NAME) == b"old" and client.pttl(NAME) > 3_500_000
        with pytest.raises(trash.KeyExists):
            trash.restore_key(connection, NAME, entry_id=entry.pk)
        client.delete(NAME)
        trash.restore_key(connection, NAME, entry_id=entry.pk)
        assert client.get(NAME) == b"old"


def test_what_an_undo_takes_back_has_a_way_back_too(operator, redis):
    redis.set(NAME, "old", px=3_600_000)
    done = append(operator)
    trash.undo_change(operator, NAME, entry_id=done.entry)
    assert redis.get(NAME) == b"old"
    undone = TrashEntry.objects.get(why="overwritten")
    trash.restore_key(operator, NAME, entry_id=undone.pk, replace=True)
    assert redis.get(NAME) == b"oldnew" and redis.pttl(NAME) > 3_500_000


class LosingProxy:
    """Stands before a server and lets all through; once `armed`, the answer to the next EXEC is read and lost with the connection."""

    def __init__(self, target):
        self.target, self.armed, self.seen = target, False, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        with near, socket.create_connection((self.target.host, self.target.port)) as far:
            while True:
                ready, _, _ = select.select([near, far], [], [], 30)
                if not ready or not self._pass_on(near, far, ready):
                    return

    def _pass_on(self, near, far, ready):
        for one in ready:
            data = one.recv(1 << 20)
            if not data:
                return False
            (far if one is near else near).sendall(data)
            self.seen += one is near and b"EXEC" in data
            if one is near and self.armed and b"EXEC" in data:
                self.armed = False
                far.recv(1 << 20)
                return False
        return True


@pytest.fixture
def losing(server, connection_as, make_server):
    """(proxy, operator's connection through it)."""
    proxy = LosingProxy(server)
    yield proxy, connection_as("operator", server=make_server(proxy, name="losing"))
    proxy.listener.close()


def lost(losing, act):
    """`act`, whose answer is lost: that is told as such, not as something that was not written."""
    losing[0].armed, losing[0].seen = True, 0
    with pytest.raises(Unanswered) as caught:
        act()
    assert "not known" in explain(caught.value).sentence
    assert not losing[0].armed and losing[0].seen == 1


def test_an_edit_whose_answer_was_lost_is_not_sent_again_and_has_a_way_back(losing, redis):
    redis.set(NAME, "old")
    lost(losing, lambda: append(losing[1]))
    assert redis.get(NAME) == b"oldnew"
    entry = TrashEntry.objects.get()
    assert entry.why == "edited"
    trash.restore_key(losing[1], NAME, entry_id=entry.pk, replace=True)
    assert redis.get(NAME) == b"old"


def test_a_push_whose_answer_was_lost_is_pushed_once(losing, redis):
    redis.rpush(NAME, "first")
    edit = find_edit("list-push")[1]({"value": "second", "side": "tail"})
    assert edit.is_valid()
    lost(losing, lambda: edit_key(losing[1], NAME, edit=edit, seen=""))
    assert redis.lrange(NAME, 0, -1) == [b"first", b"second"]


def test_a_deletion_whose_answer_was_lost_has_a_way_back(losing, redis):
    redis.set(NAME, "old", px=3_600_000)
    lost(losing, lambda: delete_keys(losing[1], names=[NAME]))
    assert not redis.exists(NAME)
    trash.restore_key(losing[1], NAME, entry_id=TrashEntry.objects.get().pk)
    assert redis.get(NAME) == b"old" and redis.pttl(NAME) > 3_500_000


def test_a_ttl_in_the_past_whose_answer_was_lost_has_a_way_back(losing, redis):
    redis.set(NAME, "old")
    lost(losing, lambda: ttl.set_ttl(losing[1], NAME, seen=None, expires_at=1, may_delete=True))
    assert not redis.exists(NAME)
    trash.restore_key(losing[1], NAME, entry_id=TrashEntry.objects.get().pk)
    assert redis.get(NAME) == b"old"


def test_a_restore_over_a_newer_key_whose_answer_was_lost_has_a_way_back(losing, redis):
    redis.set(NAME, "old")
    entry = delete_keys(losing[1], names=[NAME]).entries[NAME]
    redis.set(NAME, "newer")
    lost(losing, lambda: trash.restore_key(losing[1], NAME, entry_id=entry, replace=True))
    assert redis.get(NAME) == b"old"
    newer = TrashEntry.objects.get(why="overwritten")
    trash.restore_key(losing[1], NAME, entry_id=newer.pk, replace=True)
    assert redis.get(NAME) == b"newer"


def test_a_rename_whose_answer_was_lost_does_not_say_that_nothing_was_renamed(losing, redis):
    redis.set(NAME, "old")
    lost(losing, lambda: rename_key(losing[1], NAME, to=b"other"))
    assert redis.get("other") == b"old"


@pytest.fixture
def busy(monkeypatch, redis):
    """Every attempt to delete under WATCH finds that somebody wrote."""
    monkeypatch.setattr(deleting, "_executed", lambda pipe, entry: entry.delete() and False)
    redis.set(NAME, "busy", px=3_600_000)


def test_a_busy_key_whose_deletion_was_lost_has_a_way_back(operator, redis, busy, monkeypatch):
    from redis.client import Pipeline

    real = Pipeline.execute

    def lose(pipe, *args, **kwargs):
        commands = [command[0][0] for command in pipe.command_stack]
        answers = real(pipe, *args, **kwargs)
        if "UNLINK" in commands and "DUMP" in commands:
            raise redis_py.ConnectionError("Connection closed by server.")
        return answers

    monkeypatch.setattr(Pipeline, "execute", lose)
    with pytest.raises(redis_py.ConnectionError):
        delete_keys(operator, names=[NAME])
    assert not redis.exists(NAME)
    trash.restore_key(operator, NAME, entry_id=TrashEntry.objects.get().pk)
    assert redis.get(NAME) == b"busy" and redis.pttl(NAME) > 3_500_000


def test_a_busy_key_is_in_the_trash_once(operator, redis, busy):
    done = delete_keys(operator, names=[NAME])
    assert str(TrashEntry.objects.get().pk) == done.entries[NAME] and not redis.exists(NAME)


def test_nothing_is_deleted_while_the_trash_cannot_be_written(operator, redis, monkeypatch):
    def full(*args, **kwargs):
        raise DatabaseError("database or disk is full")

    redis.set(NAME, "old")
    monkeypatch.setattr(trash, "keep", full)
    with pytest.raises(DatabaseError):
        delete_keys(operator, names=[NAME])
    assert redis.get(NAME) == b"old"


def test_no_busy_key_is_deleted_while_the_trash_cannot_be_written(operator, redis, busy, monkeypatch):
    def full(*args, **kwargs):
        raise DatabaseError("database or disk is full")

    monkeypatch.setattr(deleting, "TRIES", 0)
    monkeypatch.setattr(trash, "keep", full)
    with pytest.raises(DatabaseError):
        delete_keys(operator, names=[NAME])
    assert redis.get(NAME) == b"busy"


# The server refuses.


@pytest.fixture
def full(redis):
    """A server that takes no more; call it to fill it, and again to make room."""

    def set_up(yes=True):
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", 1 if yes else 0)

    return set_up


def test_a_full_server_refuses_an_edit_and_nothing_is_written(operator, redis, full):
    redis.set(NAME, "old")
    full()
    assert status_of(lambda: append(operator)) == 507
    full(False)
    assert redis.get(NAME) == b"old" and not TrashEntry.objects.exists()


def test_a_full_server_lets_keys_go_and_they_come_back_when_there_is_room(operator, redis, full):
    redis.set(NAME, "old")
    full()
    entry = delete_keys(operator, names=[NAME]).entries[NAME]
    assert status_of(lambda: trash.restore_key(operator, NAME, entry_id=entry)) == 507
    full(False)
    trash.restore_key(operator, NAME, entry_id=entry)
    assert redis.get(NAME) == b"old"


def test_a_full_server_refuses_a_restore_over_a_newer_key_and_the_newer_stays(operator, redis, full):
    redis.set(NAME, "old")
    entry = delete_keys(operator, names=[NAME]).entries[NAME]
    redis.set(NAME, "newer")
    full()
    assert status_of(lambda: trash.restore_key(operator, NAME, entry_id=entry, replace=True)) == 507
    full(False)
    assert redis.get(NAME) == b"newer"
    assert [str(each.pk) for each in TrashEntry.objects.all()] == [entry]


def test_a_newer_key_too_large_for_the_trash_is_not_written_over(operator, redis, settings):
    redis.set(NAME, "old")
    entry = delete_keys(operator, names=[NAME]).entries[NAME]
    redis.set(NAME, "n" * 5000)
    settings.TRASH_KEY_BYTES = 1000
    with pytest.raises(Conflict):
        trash.restore_key(operator, NAME, entry_id=entry, replace=True)
    assert redis.strlen(NAME) == 5000


@pytest.fixture
def replica(new_server, connection_as, make_server):
    """(connection, the primary's client) of a replica that holds NAME."""
    primary, second = new_server("valkey9"), new_server("valkey9")
    client = primary.client()
    client.set(NAME, "old", px=3_600_000)
    with second.client() as other:
        other.execute_command("REPLICAOF", primary.host, primary.port)
        wait_until(lambda: other.info("replication")["master_link_status"] == "up", "the replica to catch up")
    yield connection_as("operator", server=make_server(second, name="replica")), client
    client.close()


def test_a_replica_takes_no_change_and_leaves_nothing_in_the_trash(replica):
    connection, primary = replica
    acts = (
        lambda: append(connection),
        lambda: delete_keys(connection, names=[NAME]),
        lambda: rename_key(connection, NAME, to=b"other"),
        lambda: ttl.set_ttl(connection, NAME, seen=None, ttl=1000),
        lambda: ttl.set_ttl(connection, NAME, seen=None, expires_at=1, may_delete=True),
    )
    for act in acts:
        assert status_of(act) == 409
    assert primary.get(NAME) == b"old" and not TrashEntry.objects.exists()


def test_a_script_that_runs_too_long_stops_a_deletion_and_nothing_stays_in_the_trash(
    new_server, connection_as, make_server, meanwhile
):
    running = new_server("valkey9", lua_time_limit=50)
    connection = connection_as("operator", server=make_server(running, name="slow"))
    client = running.client(socket_timeout=None)
    client.set(NAME, "old")

    def run():
        with pytest.raises(redis_py.ResponseError):
            client.eval("while true do end", 0)

    script = threading.Thread(target=run)

    def is_busy():
        with running.client() as other, contextlib.suppress(redis_py.exceptions.BusyLoadingError):
            try:
                other.ping()
            except redis_py.ResponseError as error:
                return str(error).startswith("BUSY")
        return False

    def begin():
        script.start()
        wait_until(is_busy, "the script to be too long")

    meanwhile(trash, "keep", begin)
    assert status_of(lambda: delete_keys(connection, names=[NAME])) == 503
    with running.client() as other:
        other.execute_command("SCRIPT", "KILL")
    script.join(60)
    assert client.get(NAME) == b"old" and not TrashEntry.objects.exists()
    client.close()


@pytest.fixture
def no_dump(redis, server, connection_as, make_server):
    """A connection whose user may do everything but DUMP."""
    redis.execute_command("ACL", "SETUSER", "nodump", "on", ">secret", "~*", "&*", "+@all", "-dump")
    row = make_server(server, name="nodump", username="nodump", password="secret")
    yield connection_as("operator", server=row)
    redis.execute_command("ACL", "DELUSER", "nodump")


def test_without_dump_a_deletion_asks_before_anything_goes(no_dump, redis):
    redis.mset({NAME: "old", "other": "old"})
    with pytest.raises(NoWayBack):
        delete_keys(no_dump, names=[b"other", NAME])
    assert redis.dbsize() == 2
    done = delete_keys(no_dump, names=[NAME], without_trash=True)
    assert done.for_good == (NAME,) and not TrashEntry.objects.exists()


def test_without_dump_an_edit_says_that_there_is_no_way_back(no_dump, redis):
    redis.set(NAME, "old")
    assert append(no_dump).entry is None
    assert redis.get(NAME) == b"oldnew"


def test_without_dump_a_ttl_in_the_past_does_not_promise_the_trash(no_dump, redis):
    redis.set(NAME, "old")
    with pytest.raises(ttl.WouldDelete, match="deleted at once") as asked:
        ttl.set_ttl(no_dump, NAME, seen=None, expires_at=1)
    assert "no way back" in asked.value.advice


def test_without_dump_nothing_newer_is_written_over_by_a_restore(no_dump, operator, redis):
    redis.set(NAME, "old")
    entry = delete_keys(operator, names=[NAME]).entries[NAME]
    TrashEntry.objects.update(server="nodump")
    redis.set(NAME, "newer")
    with pytest.raises(Conflict):
        trash.restore_key(no_dump, NAME, entry_id=entry, replace=True)
    assert redis.get(NAME) == b"newer"
