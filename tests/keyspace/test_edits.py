"""Edits: each type is changed, conflicts are refused, TTLs stay, what was there comes back; on every generation."""

import json
import time
import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyspace import edits, images, trash
from keyspace.decoders import decode_value
from keyspace.edits import EDITS, Changed, edit_key, find_edit, open_edit
from keyspace.encoding import key_id, to_text
from keyspace.errors import BadInput, Conflict, Denied, NotFound, TooLarge
from keyspace.models import AuditEntry, TrashEntry
from keyspace.types import editing
from keyspace.types.base import Edit
from tests.servers import GENERATIONS
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db
NAME = b"k\xff\x00"
FIELD = b"f\xff"
TTL = 3_600_000


def write_hash(redis):
    redis.hset(NAME, mapping={FIELD: b"\x00old", "n": "1"})


def write_list(redis):
    redis.rpush(NAME, b"a\xff", "b", "b", "c")


def write_set(redis):
    redis.sadd(NAME, b"m\xff", "other")


def write_zset(redis):
    redis.zadd(NAME, {b"m\xff": 0.1, "other": 2})


def write_stream(redis):
    redis.xadd(NAME, {b"f\xff": b"v\x00"}, id="5-1")
    redis.xadd(NAME, {"f": "w"}, id="6-1")
    redis.xgroup_create(NAME, b"g\xff", "0")
    redis.xreadgroup(b"g\xff", b"c\xfe", {NAME: ">"})


GROUP, CONSUMER = key_id(b"g\xff"), key_id(b"c\xfe")
MEMBER = key_id(b"m\xff")
# slug, how the key is written, the address, what is typed, what is asked afterwards, what the answer is
CASES = [
    ("string-set", lambda r: r.set(NAME, b"\xff\x00old"), "0", {"value": "ff 00 6e", "using": "hex"}, ("GET", NAME), b"\xff\x00n"),
    ("string-append", lambda r: r.set(NAME, b"\xff"), "", {"value": "00", "using": "hex"}, ("GET", NAME), b"\xff\x00"),
    ("string-increment", lambda r: r.set(NAME, "41"), "", {"by": "1"}, ("GET", NAME), b"42"),
    ("string-increment", lambda r: r.set(NAME, "1.5"), "", {"by": "-0.25"}, ("GET", NAME), b"1.25"),
    ("string-bits", lambda r: r.set(NAME, b"\x81\x00\x01"), "", {"first": "4", "last": "19", "to": "1"}, ("GET", NAME), b"\x8f\xff\xf1"),
    ("string-bits", lambda r: r.set(NAME, b"\xff\xff\xff"), "", {"first": "4", "last": "19", "to": "0"}, ("GET", NAME), b"\xf0\x00\x0f"),
    ("string-bits", lambda r: r.set(NAME, b"\x00"), "", {"first": "7", "to": "1"}, ("GET", NAME), b"\x01"),
    ("string-pfadd", lambda r: r.pfadd(NAME, "a"), "", {"elements": "b\nc\\xff"}, ("PFCOUNT", NAME), 3),
    ("hash-set", write_hash, key_id(FIELD), {"value": "new", "using": "text"}, ("HGET", NAME, FIELD), b"new"),
    ("hash-add", write_hash, "", {"field": "x\\xfe", "value": "v"}, ("HGET", NAME, b"x\xfe"), b"v"),
    ("hash-delete", write_hash, key_id(FIELD), {}, ("HEXISTS", NAME, FIELD), 0),
    ("hash-increment", write_hash, key_id(b"n"), {"by": "41"}, ("HGET", NAME, "n"), b"42"),
    ("list-push", write_list, "", {"side": "head", "value": "z"}, ("LINDEX", NAME, 0), b"z"),
    ("list-push", write_list, "", {"side": "tail", "value": "z"}, ("LINDEX", NAME, -1), b"z"),
    ("list-set", write_list, "-4", {"value": "ff", "using": "hex"}, ("LINDEX", NAME, 0), b"\xff"),
    ("list-insert", write_list, "2", {"where": "BEFORE", "value": "x"}, ("LRANGE", NAME, 0, -1), [b"a\xff", b"b", b"x", b"b", b"c"]),
    ("list-insert", write_list, "1", {"where": "AFTER", "value": "x"}, ("LRANGE", NAME, 0, -1), [b"a\xff", b"b", b"x", b"b", b"c"]),
    ("list-insert", write_list, "-1", {"where": "AFTER", "value": "x"}, ("LRANGE", NAME, 0, -1), [b"a\xff", b"b", b"b", b"c", b"x"]),
    ("list-insert", write_list, "-4", {"where": "BEFORE", "value": "x"}, ("LRANGE", NAME, 0, -1), [b"x", b"a\xff", b"b", b"b", b"c"]),
    ("list-remove", write_list, "2", {}, ("LRANGE", NAME, 0, -1), [b"a\xff", b"b", b"c"]),
    ("list-remove", write_list, "-1", {}, ("LRANGE", NAME, 0, -1), [b"a\xff", b"b", b"b"]),
    ("list-trim", write_list, "", {"keep": "2", "side": "tail"}, ("LRANGE", NAME, 0, -1), [b"b", b"c"]),
    ("set-add", write_set, "", {"members": "x\ny\\xff"}, ("SISMEMBER", NAME, b"y\xff"), 1),
    ("set-add-value", write_set, "", {"value": "fe", "using": "hex"}, ("SISMEMBER", NAME, b"\xfe"), 1),
    ("set-replace", write_set, MEMBER, {"value": "fe", "using": "hex"}, ("SMISMEMBER", NAME, b"\xfe", b"m\xff"), [1, 0]),
    ("set-remove", write_set, MEMBER, {}, ("SISMEMBER", NAME, b"m\xff"), 0),
    ("zset-add", write_zset, "", {"member": "x", "score": "-inf"}, ("ZSCORE", NAME, "x"), float("-inf")),
    ("zset-score", write_zset, MEMBER, {"score": "0.30000000000000004"}, ("ZSCORE", NAME, b"m\xff"), 0.1 + 0.2),
    ("zset-increment", write_zset, MEMBER, {"by": "1.9"}, ("ZSCORE", NAME, b"m\xff"), 2.0),
    ("zset-remove", write_zset, MEMBER, {}, ("ZSCORE", NAME, b"m\xff"), None),
    ("zset-trim", write_zset, "", {"first": "0", "last": "0"}, ("ZCARD", NAME), 1),
    ("stream-add", write_stream, "", {"pairs": "a=b=c\n\\xff=\\x00", "id": "*"}, ("XLEN", NAME), 3),
    ("stream-add", write_stream, "", {"pairs": "a=b", "id": "9-9", "bound": "MAXLEN", "threshold": "1"}, ("XLEN", NAME), 1),
    ("stream-delete", write_stream, "5-1", {}, ("XLEN", NAME), 1),
    ("stream-trim", write_stream, "", {"bound": "MINID", "threshold": "6-0"}, ("XLEN", NAME), 1),
    ("group-create", write_stream, "", {"group": "h\\xff", "position": "$"}, ("XACK", NAME, b"h\xff", "0-1"), 0),
    ("group-setid", write_stream, GROUP, {"position": "0"}, ("XLEN", NAME), 2),
    ("group-destroy", write_stream, GROUP, {}, ("XACK", NAME, b"g\xff", "5-1"), 0),
    ("consumer-delete", write_stream, f"{GROUP}.{CONSUMER}", {}, ("XACK", NAME, b"g\xff", "5-1"), 0),
    ("pending-ack", write_stream, GROUP, {"ids": "5-1 6-1"}, ("XACK", NAME, b"g\xff", "5-1"), 0),
    ("pending-claim", write_stream, GROUP, {"ids": "5-1", "consumer": "d", "idle": "0"}, ("XACK", NAME, b"g\xff", "5-1"), 1),
    ("pending-autoclaim", write_stream, GROUP, {"consumer": "d", "idle": "0", "start": "0", "count": "10"}, ("XLEN", NAME), 2),
]  # fmt: skip


def filled(slug, element="", **typed):
    edit = find_edit(slug)[1](typed, element=element)
    assert edit.is_valid(), edit.errors
    return edit


def opened(connection, slug, element=""):
    return open_edit(connection, NAME, edit=find_edit(slug)[1](element=element))


def run(connection, slug, element="", **typed):
    seen = opened(connection, slug, element).digest
    return edit_key(connection, NAME, edit=filled(slug, element, **typed), seen=seen)


@pytest.fixture
def any_operator(connection_as, make_server, any_server):
    return connection_as("operator", server=make_server(any_server, name="any"))


@pytest.mark.parametrize(("slug", "write", "element", "typed", "asked", "expected"), CASES)
def test_an_edit_changes_what_it_says_keeps_the_ttl_and_is_undone(
    any_operator, any_redis, slug, write, element, typed, asked, expected
):
    write(any_redis)
    any_redis.pexpire(NAME, TTL)
    before, held = any_redis.dump(NAME), state(any_redis, slug)
    done = run(any_operator, slug, element, **typed)
    assert any_redis.execute_command(*asked) == expected
    assert TTL - 20_000 < any_redis.pttl(NAME) <= TTL and not done.gone
    entry = AuditEntry.objects.get(operation="edit_key")
    assert entry.outcome == "done" and entry.detail["change"] == slug
    if done.entry is None:
        return
    assert entry.detail["trash"] == done.entry
    if asked[0] in ("XACK", "PFCOUNT"):
        return  # asking changed it again
    trash.undo_change(any_operator, NAME, entry_id=uuid.UUID(done.entry))
    assert state(any_redis, slug) == held
    assert any_redis.dump(NAME)[:-10] == before[:-10] or slug.startswith(("hash", "set", "string-pfadd"))
    assert TTL - 20_000 < any_redis.pttl(NAME) <= TTL


def state(redis, slug):
    """The value as a whole, in no order where the type has none; scores and field TTLs with it."""
    kind = find_edit(slug)[0]
    asked = {"hash": ("HGETALL", NAME), "set": ("SMEMBERS", NAME), "list": ("LRANGE", NAME, 0, -1),
             "zset": ("ZRANGE", NAME, 0, -1, "WITHSCORES"), "stream": ("XRANGE", NAME, "-", "+")}  # fmt: skip
    return redis.execute_command(*asked.get(kind, ("GET", NAME)))


PARTS = [case for case in CASES if find_edit(case[0])[1].part is not Edit.part]


@pytest.mark.parametrize(("slug", "write", "element", "typed", "asked", "expected"), PARTS)
def test_a_change_of_one_part_of_a_large_collection_is_undone_and_touches_nothing_else(
    any_operator, any_redis, monkeypatch, slug, write, element, typed, asked, expected
):
    monkeypatch.setattr(images, "EDITED_UP_TO", 0)
    write(any_redis)
    any_redis.pexpire(NAME, TTL)
    before = state(any_redis, slug)
    assert opened(any_operator, slug, element).undoable
    done = run(any_operator, slug, element, **typed)
    assert any_redis.execute_command(*asked) == expected and TrashEntry.objects.get().part
    assert any_redis.dump(NAME) not in bytes(TrashEntry.objects.get().payload)
    trash.undo_change(any_operator, NAME, entry_id=uuid.UUID(done.entry))
    assert state(any_redis, slug) == before and TTL - 20_000 < any_redis.pttl(NAME) <= TTL


def test_a_part_that_changed_since_is_not_undone_but_may_be_put_back(connection_as, redis, monkeypatch):
    monkeypatch.setattr(images, "EDITED_UP_TO", 0)
    connection = connection_as("operator")
    write_hash(redis)
    redis.execute_command("HPEXPIRE", NAME, TTL, "FIELDS", 1, FIELD)
    at = redis.execute_command("HPEXPIRETIME", NAME, "FIELDS", 1, FIELD)
    entry = uuid.UUID(run(connection, "hash-delete", key_id(FIELD)).entry)
    redis.hset(NAME, mapping={FIELD: "theirs", "n": "5"})
    with pytest.raises(Conflict, match="changed again"):
        trash.undo_change(connection, NAME, entry_id=entry)
    assert redis.hget(NAME, FIELD) == b"theirs"
    with pytest.raises(trash.KeyExists, match="changed again"):
        trash.restore_key(connection, NAME, entry_id=entry)
    assert redis.hget(NAME, FIELD) == b"theirs"
    trash.restore_key(connection, NAME, entry_id=entry, replace=True)
    assert redis.hgetall(NAME) == {FIELD: b"\x00old", b"n": b"5"}
    assert redis.execute_command("HPEXPIRETIME", NAME, "FIELDS", 1, FIELD) == at
    masked = trash.list_trash(connection_as("viewer", masks=["k*"])).kept[0]
    assert masked.preview == () and r"\x00old" in trash.list_trash(connection).kept[0].preview[0]


def test_a_part_does_not_bring_a_key_to_life_or_change_its_type(connection_as, redis, monkeypatch):
    monkeypatch.setattr(images, "EDITED_UP_TO", 0)
    connection = connection_as("operator")
    write_set(redis)
    entry = uuid.UUID(run(connection, "set-remove", MEMBER).entry)
    redis.delete(NAME)
    for act in (trash.undo_change, trash.restore_key):
        with pytest.raises(NotFound):
            act(connection, NAME, entry_id=entry)
    redis.set(NAME, "a")
    with pytest.raises(Conflict, match="is a string now"):
        trash.restore_key(connection, NAME, entry_id=entry)
    redis.delete(NAME)
    redis.sadd(NAME, b"m\xff")
    assert run(connection, "set-remove", MEMBER).entry is None and not redis.exists(NAME)


def test_what_cannot_be_undone_says_so_before_it_is_done(connection_as, redis, monkeypatch):
    connection = connection_as("operator")
    write_list(redis)
    assert opened(connection, "list-trim").undoable
    monkeypatch.setattr(images, "EDITED_UP_TO", 0)
    assert not opened(connection, "list-trim").undoable
    assert run(connection, "list-trim", keep="1", side="head").entry is None


def test_every_edit_of_every_type_is_among_the_cases_above_or_below():
    elsewhere = {
        "string-upload",
        "hash-upload",
        "list-upload",
        "json-set",
        "json-add",
        "json-increment",
        "json-delete",
        "json-create",
    }
    assert {case[0] for case in CASES} | elsewhere == set(EDITS)


GUARDED = [
    case for case in CASES
    if find_edit(case[0])[1].guarded
    and (find_edit(case[0])[1].element or case[0] in ("string-set", "zset-trim"))
]  # fmt: skip


@pytest.mark.parametrize(("slug", "write", "element", "typed", "asked", "expected"), GUARDED)
def test_what_changed_meanwhile_is_not_written_over(
    any_operator, any_redis, slug, write, element, typed, asked, expected
):
    connection, redis = any_operator, any_redis
    write(redis)
    seen = opened(connection, slug, element).digest
    theirs = redis.dump(NAME)
    redis.delete(NAME)
    kind = find_edit(slug)[0]
    other = {"string": lambda: redis.set(NAME, "theirs"), "hash": lambda: redis.hset(NAME, FIELD, "theirs"),
             "list": lambda: redis.rpush(NAME, *["theirs"] * 4), "set": lambda: redis.sadd(NAME, "theirs"),
             "zset": lambda: redis.zadd(NAME, {b"m\xff": 9}), "stream": lambda: redis.xadd(NAME, {"a": "b"})}  # fmt: skip
    other[kind]()
    theirs = redis.dump(NAME)
    with pytest.raises(Changed):
        edit_key(connection, NAME, edit=filled(slug, element, **typed), seen=seen)
    assert redis.dump(NAME) == theirs
    assert AuditEntry.objects.get(operation="edit_key").outcome == "failed"
    assert not TrashEntry.objects.exists()


def test_overwriting_is_audited_as_such(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, "a")
    seen = opened(connection, "string-set").digest
    redis.set(NAME, "theirs")
    edit = filled("string-set", value="mine")
    with pytest.raises(Changed) as refused:
        edit_key(connection, NAME, edit=edit, seen=seen)
    assert refused.value.theirs.value == b"theirs"
    edit_key(connection, NAME, edit=edit, seen=refused.value.digest)
    redis.set(NAME, "theirs again")
    edit_key(connection, NAME, edit=filled("string-set", value="mine"), seen=seen, overwrite=True)
    assert redis.get(NAME) == b"mine"
    assert AuditEntry.objects.filter(operation="edit_key").latest("id").detail["overwrote"] is True


def test_a_concurrent_push_cannot_make_it_hit_another_element(connection_as, redis):
    connection = connection_as("operator")
    redis.rpush(NAME, "x", "x", "x")
    seen = opened(connection, "list-set", "1").digest
    redis.lpush(NAME, "x")
    with pytest.raises(Changed):
        edit_key(connection, NAME, edit=filled("list-set", "1", value="new"), seen=seen)
    assert redis.lrange(NAME, 0, -1) == [b"x"] * 4


def test_a_push_at_the_other_end_does_not_disturb(connection_as, redis):
    connection = connection_as("operator")
    redis.rpush(NAME, "a", "b", "c")
    seen = opened(connection, "list-set", "1").digest
    redis.rpush(NAME, "d")
    edit_key(connection, NAME, edit=filled("list-set", "1", value="new"), seen=seen)
    assert redis.lindex(NAME, 1) == b"new"


def test_an_expired_key_is_not_brought_to_life(connection_as, redis):
    connection = connection_as("operator")
    for slug, write, element, typed in [(*case[:4],) for case in CASES]:
        redis.flushdb()
        write(redis)
        seen = opened(connection, slug, element).digest
        redis.pexpire(NAME, 1)
        time.sleep(0.003)
        with pytest.raises(NotFound):
            edit_key(connection, NAME, edit=filled(slug, element, **typed), seen=seen, overwrite=True)
        assert not redis.exists(NAME)


def test_another_type_is_not_written(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, "a")
    seen = opened(connection, "string-set").digest
    redis.delete(NAME)
    redis.rpush(NAME, "a")
    with pytest.raises(Conflict, match="is a list now"):
        edit_key(connection, NAME, edit=filled("string-set", value="b"), seen=seen, overwrite=True)


def test_the_ttl_of_a_field_outlives_an_edit(connection_as, redis):
    connection = connection_as("operator")
    redis.hset(NAME, mapping={FIELD: "1", "other": "2"})
    redis.execute_command("HPEXPIRE", NAME, TTL, "FIELDS", 1, FIELD)
    at = redis.execute_command("HPEXPIRETIME", NAME, "FIELDS", 1, FIELD)
    run(connection, "hash-set", key_id(FIELD), value="5")
    assert redis.execute_command("HPEXPIRETIME", NAME, "FIELDS", 1, FIELD) == at
    run(connection, "hash-increment", key_id(FIELD), by="2")
    assert redis.execute_command("HPEXPIRETIME", NAME, "FIELDS", 1, FIELD) == at
    assert redis.hget(NAME, FIELD) == b"7"


def test_deleting_the_last_element_says_that_the_key_is_gone_and_undo_brings_it_back(connection_as, redis):
    connection = connection_as("operator")
    redis.hset(NAME, FIELD, b"\xff")
    redis.pexpire(NAME, TTL)
    at = redis.execute_command("PEXPIRETIME", NAME)
    done = run(connection, "hash-delete", key_id(FIELD))
    assert done.gone and not redis.exists(NAME)
    trash.undo_change(connection, NAME, entry_id=uuid.UUID(done.entry))
    assert redis.hgetall(NAME) == {FIELD: b"\xff"} and redis.execute_command("PEXPIRETIME", NAME) == at


def test_undo_refuses_what_was_changed_since(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, "a")
    done = run(connection, "string-set", value="b")
    redis.set(NAME, "c")
    with pytest.raises(Conflict, match="changed again"):
        trash.undo_change(connection, NAME, entry_id=uuid.UUID(done.entry))
    assert redis.get(NAME) == b"c"


def test_a_value_written_through_a_decoder_keeps_its_encoding(connection_as, redis):
    import gzip

    connection = connection_as("operator")
    redis.set(NAME, gzip.compress(b'{"a": 1}'))
    shown = decode_value(redis.get(NAME))
    assert shown.using == "gzip+json" and shown.roundtrips
    run(connection, "string-set", value=shown.text.replace("1", "12345678901234567890"), using=shown.using)
    assert gzip.decompress(redis.get(NAME)) == b'{"a": 12345678901234567890}'


def test_text_that_is_not_valid_in_its_form_is_refused_before_anything_is_written(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, '{"a": 1}')
    for using, text in [("json", '{"a": '), ("hex", "zz"), ("nonsense", "a")]:
        with pytest.raises(BadInput):
            run(connection, "string-set", value=text, using=using)
    assert redis.get(NAME) == b'{"a": 1}' and not TrashEntry.objects.exists()


def test_what_the_server_refuses_is_a_sentence_and_leaves_nothing_in_the_trash(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, "not a number")
    with pytest.raises(BadInput, match="not an integer"):
        run(connection, "string-increment", by="1")
    assert not TrashEntry.objects.exists()


@pytest.mark.parametrize("slug", ["string-set", "string-append", "string-bits"])
def test_a_string_that_is_too_large_is_read_only_and_says_so(connection_as, redis, slug):
    redis.setrange(NAME, 64 * 1024 * 1024, "x")
    with pytest.raises(TooLarge, match="can only be read"):
        opened(connection_as("operator"), slug)


UPLOADS = [
    ("string-upload", lambda r: r.set(NAME, "old"), "", ("GET", NAME)),
    ("hash-upload", write_hash, key_id(FIELD), ("HGET", NAME, FIELD)),
    ("list-upload", write_list, "-1", ("LINDEX", NAME, -1)),
]


@pytest.mark.parametrize(("slug", "write", "element", "asked"), UPLOADS)
def test_a_file_becomes_the_value_as_it_is(any_operator, any_redis, slug, write, element, asked):
    write(any_redis)
    any_redis.pexpire(NAME, TTL)
    before = any_redis.execute_command(*asked)
    data = b"\xff\r\n\x00" * 70_000
    edit = find_edit(slug)[1]({}, {"file": SimpleUploadedFile("v.bin", data)}, element=element)
    assert edit.is_valid()
    seen = opened(any_operator, slug, element).digest
    done = edit_key(any_operator, NAME, edit=edit, seen=seen)
    assert any_redis.execute_command(*asked) == data and any_redis.pttl(NAME) > 0
    trash.undo_change(any_operator, NAME, entry_id=uuid.UUID(done.entry))
    assert any_redis.execute_command(*asked) == before
    any_redis.delete(NAME)
    write(any_redis)
    if slug == "string-upload":
        any_redis.set(NAME, "theirs")
    elif slug == "hash-upload":
        any_redis.hset(NAME, FIELD, "theirs")
    else:
        any_redis.lset(NAME, -1, "theirs")
    with pytest.raises(Changed):
        edit_key(any_operator, NAME, edit=edit, seen=seen)


def test_a_file_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(editing, "LARGEST", 10)
    edit = find_edit("hash-upload")[1]({}, {"file": SimpleUploadedFile("v.bin", b"x" * 11)}, element="")
    assert not edit.is_valid() and "up to 10 are taken" in edit.errors["file"][0]


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_edits_nothing(connection_as, redis, role):
    connection = connection_as(role)
    for slug, write, element, typed in [(*case[:4],) for case in CASES]:
        redis.flushdb()
        write(redis)
        before = redis.dump(NAME)
        with pytest.raises(Denied):
            opened(connection, slug, element)
        with pytest.raises(Denied):
            edit_key(connection, NAME, edit=filled(slug, element, **typed), seen="", overwrite=True)
        assert redis.dump(NAME) == before


def test_masked_values_are_not_opened_in_an_editor_and_conflicts_do_not_tell_them(connection_as, redis):
    connection = connection_as("operator", masks=["k*"])
    redis.set(NAME, "secret")
    with pytest.raises(Denied):
        opened(connection, "string-set")
    with pytest.raises(Changed) as refused:
        edit_key(connection, NAME, edit=filled("string-set", value="x"), seen="")
    assert refused.value.hidden


@pytest.fixture(params=GENERATIONS)
def any_json(request, connection_as, make_server):
    """(an operator's connection, a client) to a server of each generation that has the JSON module."""
    server = shared_server(request.param, module_json=True)
    with server.client() as client:
        yield connection_as("operator", server=make_server(server, name="json")), client


def test_json_by_path(any_json):
    connection, json_redis = any_json
    json_redis.execute_command("JSON.SET", NAME, "$", '{"a": {"b": 1, "l": [1]}, "": 2}')
    json_redis.pexpire(NAME, TTL)
    run(connection, "json-set", '$["a"]["b"]', value='"\\u00e9"', using="json")
    run(connection, "json-add", '$["a"]["l"]', key="", value="[2]")
    run(connection, "json-add", '$["a"]', key='x"y', value="null")
    run(connection, "json-increment", '$[""]', by="0.5")
    done = run(connection, "json-delete", '$["a"]["l"][0]')
    assert json_redis.execute_command("JSON.GET", NAME, "$") in (
        '[{"a":{"b":"é","l":[[2]],"x\\"y":null},"":2.5}]'.encode(),
        '[{"a":{"b":"é","l":[[2]],"x\\"y":null},"":2.5}]',
    )
    assert json_redis.pttl(NAME) > 0
    trash.undo_change(connection, NAME, entry_id=uuid.UUID(done.entry))
    assert b"1,[2]" in str(json_redis.execute_command("JSON.GET", NAME)).encode()
    with pytest.raises(BadInput, match="not JSON"):
        run(connection, "json-set", "$", value="{")


@pytest.mark.parametrize(
    ("slug", "element", "typed"),
    [
        ("json-set", '$["a"]["b"]', {"value": '[1,"\\u00e9"]'}),
        ("json-add", '$["a"]', {"key": 'x"y', "value": "null"}),
        ("json-increment", '$["a"]["b"]', {"by": "0.5"}),
        ("json-delete", '$["a"]["l"]', {}),
    ],
)
def test_a_part_of_a_large_document_is_undone(any_json, monkeypatch, slug, element, typed):
    monkeypatch.setattr(images, "EDITED_UP_TO", 0)
    connection, client = any_json
    before = '{"a":{"b":1,"l":[1,{"c":null}]},"other":"é"}'
    client.execute_command("JSON.SET", NAME, "$", before)
    done = run(connection, slug, element, **typed)
    assert json.loads(client.execute_command("JSON.GET", NAME)) != json.loads(before)
    assert TrashEntry.objects.get().part
    trash.undo_change(connection, NAME, entry_id=uuid.UUID(done.entry))
    assert json.loads(client.execute_command("JSON.GET", NAME)) == json.loads(before)


def test_json_that_changed_meanwhile_is_not_written_over(any_json):
    connection, json_redis = any_json
    json_redis.execute_command("JSON.SET", NAME, "$", '{"a": 1, "b": 1}')
    seen = opened(connection, "json-set", '$["a"]').digest
    json_redis.execute_command("JSON.SET", NAME, "$.b", "2")
    edit_key(connection, NAME, edit=filled("json-set", '$["a"]', value="5"), seen=seen)
    with pytest.raises(Changed):
        edit_key(connection, NAME, edit=filled("json-set", '$["a"]', value="6"), seen=seen)


@given(st.binary(max_size=300), st.sampled_from(["text", "hex", None]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_what_an_editor_shows_and_writes_reads_back_the_same(connection_as, redis, data, using):
    """Unchanged text of any value that round-trips gives the same bytes; into a field, an element, a string."""
    connection = test_what_an_editor_shows_and_writes_reads_back_the_same.__dict__.setdefault("held", {})
    connection = connection.get(id(redis)) or connection.setdefault(id(redis), connection_as("operator"))
    shown = decode_value(data, using)
    if not shown.roundtrips:
        return
    redis.flushdb()
    redis.set(NAME, data)
    run(connection, "string-set", value=shown.text, using=shown.using)
    assert redis.get(NAME) == data
    redis.delete(NAME)
    redis.hset(NAME, FIELD, data)
    run(connection, "hash-set", key_id(FIELD), value=shown.text.replace("\n", "\r\n"), using=shown.using)
    assert redis.hget(NAME, FIELD) == data
    redis.delete(NAME)
    redis.rpush(NAME, "first", data)
    run(connection, "list-set", "-1", value=shown.text, using=shown.using)
    assert redis.lrange(NAME, 0, -1) == [b"first", data]
    redis.delete(NAME)
    redis.sadd(NAME, "other")
    run(connection, "set-add-value", value=data.hex(), using="hex")
    assert redis.smembers(NAME) == {b"other", data}


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_names_that_are_typed_as_they_are_shown_are_the_same_bytes(connection_as, redis, name, member):
    """Fields, members, the fields of an entry, of any bytes at all."""
    held = test_names_that_are_typed_as_they_are_shown_are_the_same_bytes.__dict__.setdefault("held", {})
    connection = held.get(id(redis)) or held.setdefault(id(redis), connection_as("operator"))
    redis.flushdb()
    redis.hset(NAME, mapping={b"other field": "1"})
    run(connection, "hash-add", field=to_text(name), value="v")
    assert redis.hget(NAME, name) == b"v"
    redis.delete(NAME)
    redis.zadd(NAME, {b"other member": 1})
    run(connection, "zset-add", member=to_text(name), score="2")
    assert redis.zscore(NAME, name) == 2
    redis.delete(NAME)
    redis.sadd(NAME, b"other member")
    run(connection, "set-add", members=to_text(member))
    assert redis.sismember(NAME, member)


@given(st.floats(allow_nan=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_a_score_reads_back_the_same_to_its_last_digit(connection_as, redis, score):
    held = test_a_score_reads_back_the_same_to_its_last_digit.__dict__.setdefault("held", {})
    connection = held.get(id(redis)) or held.setdefault(id(redis), connection_as("operator"))
    redis.delete(NAME)
    redis.zadd(NAME, {"m": 1})
    run(connection, "zset-score", key_id(b"m"), score=repr(score))
    assert redis.zscore(NAME, "m") == score


def test_edits_run_once_each_under_watch(connection_as, redis):
    """Between reading and writing somebody else writes: it is tried again on what is there then, and written once."""
    connection = connection_as("operator")
    redis.set(NAME, "1")
    original, raced = edits._write, []

    def race(*args, **more):
        if not raced:
            raced.append(redis.set(NAME, "10"))
        return original(*args, **more)

    edits._write = race
    try:
        run(connection, "string-increment", by="1")
    finally:
        edits._write = original
    assert redis.get(NAME) == b"11" and TrashEntry.objects.count() == 1
