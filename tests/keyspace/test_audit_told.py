"""What the entries of changes tell: enough to see what happened, never a value."""

import pytest

from keyspace import deleting, trash, ttl
from keyspace.edits import edit_key, find_edit, open_edit
from keyspace.encoding import key_id
from keyspace.models import AuditEntry, TrashEntry
from keyspace.people import add_group, add_person, change_group, change_person

NAME, SECRET = b"k\xff", "a value nobody may read here"


@pytest.fixture
def operator(connection_as):
    return connection_as("operator")


def last():
    entry = AuditEntry.objects.first()
    assert SECRET not in str(entry.detail)
    return entry.detail


def run(operator, slug, element="", **typed):
    edit = find_edit(slug)[1](typed, element=element)
    assert edit.is_valid(), edit.errors
    seen = open_edit(operator, NAME, edit=find_edit(slug)[1](element=element)).digest
    edit_key(operator, NAME, edit=edit, seen=seen)


def test_an_edit_tells_the_lengths_before_and_after(operator, redis):
    redis.set(NAME, "old")
    run(operator, "string-set", value=SECRET)
    told = last()
    assert (told["length_before"], told["length_after"]) == (3, len(SECRET))
    assert (told["key_length_before"], told["key_length_after"]) == (3, len(SECRET))


def test_a_push_tells_how_long_the_list_was_and_is(operator, redis):
    redis.rpush(NAME, "a", "b")
    run(operator, "list-push", value=SECRET, side="tail")
    assert (last()["key_length_before"], last()["key_length_after"]) == (2, 3)


def test_removing_the_last_member_tells_that_nothing_is_left(operator, redis):
    redis.sadd(NAME, "only")
    run(operator, "set-remove", key_id(b"only"))
    assert (last()["key_length_before"], last()["key_length_after"]) == (1, 0)


def test_a_ttl_tells_what_it_was_and_is(operator, redis):
    redis.set(NAME, SECRET, ex=100)
    ttl.set_ttl(operator, NAME, seen=None, ttl=500_000)
    assert last()["ttl_before"] <= 100_000 < last()["ttl_after"] <= 500_000
    ttl.persist(operator, NAME, seen=None)
    assert last()["ttl_after"] is None


def test_a_deletion_tells_type_length_memory_and_the_trash(operator, redis):
    redis.set(NAME, SECRET)
    deleting.delete_keys(operator, names=[NAME])
    told = last()
    assert (told["type"], told["length"], told["memory"]) == ("string", len(SECRET), len(SECRET))
    assert told["trash"] == str(TrashEntry.objects.get().pk)


def test_deleting_some_tells_their_names(operator, redis):
    for name in (NAME, b"other"):
        redis.set(name, SECRET)
    deleting.delete_keys(operator, names=[NAME, b"other", b"gone"])
    told = last()
    assert (told["names"], told["deleted"], told["gone"]) == ([r"k\xff", "other", "gone"], 2, 1)


def test_a_restore_over_a_newer_key_tells_where_that_went(operator, redis):
    redis.set(NAME, SECRET)
    deleting.delete_keys(operator, names=[NAME])
    entry = TrashEntry.objects.get()
    redis.set(NAME, "newer")
    restored = trash.restore_key(operator, NAME, entry_id=entry.pk, replace=True)
    assert (last()["trash"], last()["newer_in_trash"]) == (str(entry.pk), restored.overwrote)


def test_people_and_groups_tell_what_changed(console_as):
    console = console_as("admin")
    add_person(console, username="zoe")
    add_group(console, group="ops", members=["zoe"])
    change_group(console, group="ops", members=[])
    assert (last()["members_before"], last()["members_after"]) == (["zoe"], [])
    change_person(console, username="zoe", active=False, groups=["ops"])
    told = last()
    assert (told["active_before"], told["active_after"]) == (True, False)
    assert (told["groups_before"], told["groups_after"]) == ([], ["ops"])


def test_a_deletion_that_fails_on_its_way_tells_what_is_gone(operator, redis, monkeypatch):
    for name in (b"first", b"second", b"third"):
        redis.set(name, SECRET)
    real = deleting._delete

    def fail_at_second(connection, name, *args, **kwargs):
        if name == b"second":
            raise ConnectionError("Connection closed by server.")
        return real(connection, name, *args, **kwargs)

    monkeypatch.setattr(deleting, "_delete", fail_at_second)
    with pytest.raises(ConnectionError):
        deleting.delete_keys(operator, names=[b"first", b"second", b"third"])
    assert AuditEntry.objects.first().outcome == "failed"
    assert (last()["deleted"], last()["names"]) == (1, ["first", "second", "third"])
