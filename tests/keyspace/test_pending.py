"""A console that is killed with -9 around the write of an edit: what was done has a way back, and what was not leaves nothing."""

import contextlib
import json
import socket
import threading
import time
from datetime import timedelta

import pytest

from keyspace import pending, trash
from keyspace.edits import edit_key, find_edit
from keyspace.errors import Conflict
from keyspace.models import Server, TrashEntry
from keyspace.pending import settle_pending
from keyspace.trash import KeyExists
from tests.processes import begin_process

pytestmark = pytest.mark.django_db(transaction=True)
NAME = b"k\xff"
AT_ONCE = timedelta(0)
EDIT = """
from keyspace.access import Actor
from keyspace.edits import edit_key, find_edit
from keyspace.jobs import connect
import json
slug, element, typed = arguments
edit = find_edit(slug)[1](json.loads(typed), element=element)
assert edit.is_valid(), edit.errors
edit_key(connect(Actor(None, "killed"), "held", 0), b"k\\xff", edit=edit, seen="", overwrite=True)
"""


class HoldingProxy:
    """Stands before a server. `hold` "before": the next EXEC is kept from the server; "after": its answer is kept from the client."""

    def __init__(self, target):
        self.target, self.hold, self.held = target, "", threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection((self.target.host, self.target.port))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other, far), daemon=True).start()

    def _pass_on(self, one, other, server):
        with contextlib.suppress(OSError), one, other:
            while data := one.recv(1 << 20):
                if self.hold == "done":
                    self.held.set()  # the answer of what was let through has come
                    continue
                if self.hold and one is not server and b"EXEC" in data:
                    before, self.hold = self.hold == "before", "done"
                    if before:
                        self.held.set()
                        continue
                other.sendall(data)


@pytest.fixture
def held(server, make_server):
    """A proxy before the server, known to the console as "held"."""
    proxy = HoldingProxy(server)
    make_server(proxy, name="held")
    yield proxy
    proxy.listener.close()


@pytest.fixture
def operator(connection_as, held):
    return connection_as("operator", server=Server.objects.get(name="held"))


def killed(proxy, hold, slug, typed, element=""):
    """A console is killed while its edit is on the way to the server, or was done and not answered yet."""
    proxy.hold = hold
    process = begin_process(EDIT, slug, element, json.dumps(typed))
    try:
        assert proxy.held.wait(30)
    finally:
        process.kill()
        process.communicate()
        proxy.hold = ""
    return TrashEntry.objects.get()


APPEND = ("string-append", {"value": "new"})


def test_an_edit_whose_console_was_killed_before_its_end_has_a_way_back(held, operator, redis):
    redis.set(NAME, "old", px=3_600_000)
    entry = killed(held, "after", *APPEND)
    assert redis.get(NAME) == b"oldnew" and entry.in_doubt
    assert settle_pending() == 0  # it may still be under way
    assert settle_pending(older_than=AT_ONCE) == 1 and settle_pending(older_than=AT_ONCE) == 0
    entry.refresh_from_db()
    assert entry.in_doubt and entry.left == ""
    with pytest.raises(KeyExists):
        trash.restore_key(operator, NAME, entry_id=entry.pk)
    trash.restore_key(operator, NAME, entry_id=entry.pk, replace=True)
    assert redis.get(NAME) == b"old" and redis.pttl(NAME) > 3_500_000


def test_an_edit_whose_console_was_killed_before_it_was_written_leaves_nothing(held, redis):
    redis.set(NAME, "old")
    killed(held, "before", *APPEND)
    assert redis.get(NAME) == b"old"
    assert settle_pending(older_than=AT_ONCE) == 1 and not TrashEntry.objects.exists()


@pytest.fixture
def large(redis):
    """A hash of which only the changed part is kept."""
    redis.hset(NAME, mapping={f"field:{at}": "x" * 1000 for at in range(6000)})


FIELD = "ZmllbGQ6MQ"  # field:1


@pytest.mark.parametrize("hold", ["before", "after"])
def test_of_a_collection_the_part_is_kept_and_asked_for(held, operator, redis, large, hold):
    entry = killed(held, hold, "hash-set", {"value": "mine", "using": "text"}, FIELD)
    assert entry.part and entry.in_doubt
    settle_pending(older_than=AT_ONCE)
    if hold == "before":
        assert redis.hget(NAME, "field:1") == b"x" * 1000 and not TrashEntry.objects.exists()
        return
    for ask in (trash.undo_change, trash.restore_key):
        with pytest.raises(Conflict):
            ask(operator, NAME, entry_id=entry.pk)
    assert redis.hget(NAME, "field:1") == b"mine"
    trash.restore_key(operator, NAME, entry_id=entry.pk, replace=True)
    assert redis.hget(NAME, "field:1") == b"x" * 1000


def test_a_key_of_another_type_by_then_keeps_the_entry(held, redis, large):
    entry = killed(held, "after", "hash-set", {"value": "mine", "using": "text"}, FIELD)
    redis.set(NAME, "theirs")
    assert settle_pending(older_than=AT_ONCE) == 1
    assert TrashEntry.objects.get().pk == entry.pk


def test_before_it_is_settled_an_undo_writes_over_nothing(held, operator, redis):
    redis.set(NAME, "old")
    entry = killed(held, "after", *APPEND)
    with pytest.raises(KeyExists):
        trash.undo_change(operator, NAME, entry_id=entry.pk)
    assert redis.get(NAME) == b"oldnew"


def test_a_server_that_is_away_is_asked_again_later_and_holds_up_no_other(held, redis, monkeypatch):
    monkeypatch.setattr(pending, "_away_until", {})
    redis.set(NAME, "old")
    entry = killed(held, "before", *APPEND)
    TrashEntry.objects.update(server="never")
    entry.pk = None
    entry.save(force_insert=True)
    assert settle_pending(older_than=AT_ONCE) == 1 and TrashEntry.objects.get().server == "never"
    TrashEntry.objects.update(server="held")
    monkeypatch.setattr(pending, "_away_until", {"held": time.monotonic() + 60})
    assert settle_pending(older_than=AT_ONCE) == 0
    monkeypatch.setattr(pending, "_away_until", {"held": time.monotonic()})
    assert settle_pending(older_than=AT_ONCE) == 1 and not TrashEntry.objects.exists()


def appended(connection):
    edit = find_edit("string-append")[1]({"value": "new"})
    assert edit.is_valid()
    return edit_key(connection, NAME, edit=edit, seen="", overwrite=True)


def test_an_edit_that_was_answered_is_in_no_doubt_and_is_undone(operator, redis):
    redis.set(NAME, "old")
    done = appended(operator)
    entry = TrashEntry.objects.get()
    assert str(entry.pk) == done.entry and entry.in_doubt is None and entry.left
    assert settle_pending(older_than=AT_ONCE) == 0
    trash.undo_change(operator, NAME, entry_id=entry.pk)
    assert redis.get(NAME) == b"old"


def test_an_edit_that_changes_nothing_leaves_nothing(operator, redis):
    redis.set(NAME, "old")
    edit = find_edit("string-set")[1]({"value": "old", "using": "text"})
    assert edit.is_valid()
    assert edit_key(operator, NAME, edit=edit, seen="", overwrite=True).entry is None
    assert not TrashEntry.objects.exists()


def test_of_a_key_that_others_write_the_entry_has_what_the_edit_replaced(operator, redis):
    """Tried again and again: the entry of the first try is in the trash meanwhile, and the last image in the end, once."""
    redis.set(NAME, "0")
    stop, counted = threading.Event(), 0

    def count():
        with redis.client() as mine:
            while not stop.is_set():
                mine.incr(NAME)
                time.sleep(0.001)

    edit = find_edit("string-increment")[1]({"by": "1000000"})
    assert edit.is_valid(), edit.errors
    other = threading.Thread(target=count)
    other.start()
    try:
        for _ in range(20):
            with contextlib.suppress(Conflict):
                edit_key(operator, NAME, edit=edit, seen="")
                counted += 1
    finally:
        stop.set()
        other.join()
    assert counted and TrashEntry.objects.count() == counted
    assert not TrashEntry.objects.filter(in_doubt=True).exists()
