"""Keys as a whole: created, renamed and copied over no other key, with their expiry, on every generation."""

import time

import pytest

from keyspace.changes import create_key, is_cluster, rename_key
from keyspace.copying import copy_key, copy_obstacles
from keyspace.deleting import undo_creation, weigh_key
from keyspace.edits import find_edit
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.models import AuditEntry, TrashEntry
from keyspace.servers import Connection
from keyspace.trash import KeyExists, restore_key
from tests.keyspace.types.samples import SAMPLES
from tests.servers import GENERATIONS
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db
NAME = b"sample:\xff\x00 \xc3\xa9"


@pytest.fixture
def any_operator(connection_as, make_server, any_server):
    return connection_as("operator", server=make_server(any_server, name="any"))


def filled(slug, **typed):
    edit = find_edit(slug)[1](typed)
    assert edit.is_valid(), edit.errors
    return edit


CREATED = [
    ("string-set", {"value": "fe", "using": "hex"}, ("GET", NAME), b"\xfe"),
    ("hash-add", {"field": r"\xff", "value": "v"}, ("HGET", NAME, b"\xff"), b"v"),
    ("list-push", {"side": "head", "value": ""}, ("LRANGE", NAME, 0, -1), [b""]),
    ("set-add", {"members": "a\n\\xff"}, ("SISMEMBER", NAME, b"\xff"), 1),
    ("zset-add", {"member": r"\xff", "score": "0.1"}, ("ZSCORE", NAME, b"\xff"), 0.1),
    ("stream-add", {"pairs": r"\xff=\x00", "id": "1-1"}, ("XLEN", NAME), 1),
]


@pytest.mark.parametrize(("slug", "typed", "asked", "expected"), CREATED)
def test_a_key_is_created_with_its_ttl_and_never_over_another(
    any_operator, any_redis, slug, typed, asked, expected
):
    ends = int(time.time() * 1000) + 100_000
    create_key(any_operator, NAME, edit=filled(slug, **typed), expires_at=ends)
    assert any_redis.execute_command(*asked) == expected and 0 < any_redis.pttl(NAME) <= 100_000
    before = any_redis.dump(NAME)
    for other, fields, *_ in CREATED:
        with pytest.raises(KeyExists):
            create_key(any_operator, NAME, edit=filled(other, **fields))
    assert any_redis.dump(NAME) == before


@pytest.mark.parametrize(("slug", "typed", "asked", "expected"), CREATED)
def test_a_key_that_was_created_goes_again_into_the_trash(
    any_operator, any_redis, slug, typed, asked, expected
):
    ends = int(time.time() * 1000) + 100_000
    made = create_key(any_operator, NAME, edit=filled(slug, **typed), expires_at=ends)
    entry = undo_creation(any_operator, NAME, left=made.left)
    assert not any_redis.exists(NAME)
    restore_key(any_operator, NAME, entry_id=entry)
    assert any_redis.execute_command(*asked) == expected and any_redis.pttl(NAME) > 0
    assert AuditEntry.objects.get(operation="undo_creation").detail["trash"] == entry


def test_a_new_key_that_somebody_wrote_is_not_taken_back(any_operator, any_redis):
    made = create_key(any_operator, NAME, edit=filled("string-set", value="a"))
    any_redis.append(NAME, "theirs")
    with pytest.raises(Conflict, match="changed since"):
        undo_creation(any_operator, NAME, left=made.left)
    assert any_redis.get(NAME) == b"atheirs" and not TrashEntry.objects.exists()
    any_redis.delete(NAME)
    with pytest.raises(NotFound):
        undo_creation(any_operator, NAME, left=made.left)


def test_a_new_key_too_large_for_the_trash_or_that_is_not_dumped_offers_no_way_back(
    connection_as, make_server, server, redis, settings
):
    redis.execute_command("ACL", "SETUSER", "nodump", "on", ">secret", "~*", "&*", "+@all", "-dump")
    row = make_server(server, name="nodump", username="nodump", password="secret")
    try:
        deaf = connection_as("operator", server=row)
        assert create_key(deaf, b"a", edit=filled("string-set", value="a")).left == ""
        assert copy_key(deaf, b"a", to=b"b", target=deaf).left == ""
    finally:
        redis.execute_command("ACL", "DELUSER", "nodump")
    settings.TRASH_KEY_BYTES, large = 1000, " ".join(map(str, range(1000)))
    connection = connection_as("operator")
    assert create_key(connection, b"c", edit=filled("string-set", value=large)).left == ""
    assert copy_key(connection, b"c", to=b"d", target=connection).left == ""
    assert redis.mget("a", "b") == [b"a", b"a"] and redis.get("d") == large.encode()


def test_a_document_is_created_where_the_module_is(json_server, json_redis, connection_as, make_server):
    connection = connection_as("operator", server=make_server(json_server, name="json"))
    create_key(connection, NAME, edit=filled("json-create", value='{"a": 1}', using="json"))
    assert json_redis.execute_command("JSON.GET", NAME) in (b'{"a":1}', '{"a":1}')


def test_what_cannot_be_written_creates_nothing(connection_as, redis):
    connection = connection_as("operator")
    with pytest.raises(BadInput):
        create_key(connection, NAME, edit=filled("string-set", value="zz", using="hex"))
    with pytest.raises(BadInput):
        create_key(connection, NAME, edit=filled("string-set", value="a"), expires_at=1)
    with pytest.raises(BadInput):
        create_key(connection, NAME, edit=filled("string-append", value="a"))
    assert not redis.exists(NAME)


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind != "ReJSON-RL"])
def test_rename_takes_the_value_and_the_ttl_along(any_operator, any_redis, kind):
    SAMPLES[kind](any_redis)
    any_redis.pexpire(NAME, 100_000)
    before = any_redis.dump(NAME)
    rename_key(any_operator, NAME, to=b"to\xfe")
    assert (
        not any_redis.exists(NAME) and any_redis.dump(b"to\xfe") == before and any_redis.pttl(b"to\xfe") > 0
    )
    assert AuditEntry.objects.get(operation="rename_key").detail["to"] == r"to\xfe"


def test_rename_overwrites_nothing(connection_as, redis):
    connection = connection_as("operator")
    redis.mset({"a": 1, "b": 2})
    for to, refusal in [(b"b", KeyExists), (b"a", BadInput)]:
        with pytest.raises(refusal):
            rename_key(connection, b"a", to=to)
    with pytest.raises(NotFound):
        rename_key(connection, b"never", to=b"c")
    with pytest.raises(Conflict):
        rename_key(connection, b"a", to=b"c", kind="hash")
    assert redis.mget("a", "b") == [b"1", b"2"]


def test_names_outside_a_grant_and_around_a_mask_are_refused(connection_as, redis):
    redis.set("card:1", "secret")
    half = connection_as("operator", patterns=["card:*"])
    with pytest.raises(NotFound):
        rename_key(half, b"card:1", to=b"other")
    masked = connection_as("operator", masks=["card:*"])
    for act in (lambda: rename_key(masked, b"card:1", to=b"free"),
                lambda: copy_key(masked, b"card:1", to=b"free", target=masked)):  # fmt: skip
        with pytest.raises(Denied, match="masked"):
            act()
    assert redis.keys("*") == [b"card:1"]


def test_a_cluster_is_known_without_info(connection_as, make_server, new_server):
    lines = [f"narrow on >pw ~* +@all -info{more}" for more in ("", " -cluster|info")]
    for number, (clustered, rule, told) in enumerate(
        [("yes", lines[0], True), ("no", lines[0], False), ("yes", lines[1], False)]
    ):
        running = new_server(acl=[rule], cluster_enabled=clustered)
        row = make_server(running, f"node-{number}", username="narrow", password="pw")
        assert is_cluster(connection_as("operator", server=row)) is told


def test_on_a_cluster_names_of_other_slots_are_refused_in_words(connection_as, make_server, new_cluster):
    cluster = new_cluster(primaries=3)
    for node in cluster.nodes:
        try:
            node.client().set("{a}1", "x")
        except Exception:
            continue
        connection = connection_as("operator", server=make_server(node, name="node"))
        with pytest.raises(BadInput, match="different slots"):
            rename_key(connection, b"{a}1", to=b"{b}1")
        rename_key(connection, b"{a}1", to=b"{a}2")
        return
    pytest.fail("no node has the slot")


@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind != "ReJSON-RL"])
def test_a_copy_is_like_its_original_and_ends_with_it(any_operator, any_redis, kind):
    SAMPLES[kind](any_redis)
    any_redis.pexpire(NAME, 100_000)
    other = Connection(any_operator.actor, any_operator.server, 5, any_operator.access)
    copied = copy_key(any_operator, NAME, to=b"c\xff", target=other)
    assert copied.way == "COPY" and other.redis.pttl(b"c\xff") > 0
    assert other.redis.dump(b"c\xff")[:-10] == any_redis.dump(NAME)[:-10] or kind in ("hash", "set")
    with pytest.raises(KeyExists):
        copy_key(any_operator, NAME, to=b"c\xff", target=other)
    with pytest.raises(BadInput):
        copy_key(any_operator, NAME, to=NAME, target=any_operator)
    with pytest.raises(NotFound):
        copy_key(any_operator, b"never", to=b"free", target=other)
    assert any_operator.redis.exists(NAME)  # the connection is still at its own db


@pytest.mark.parametrize("db", [0, 5])
@pytest.mark.parametrize("kind", [kind for kind in SAMPLES if kind != "ReJSON-RL"])
def test_a_copy_goes_again_and_its_original_stays(any_operator, any_redis, kind, db):
    SAMPLES[kind](any_redis)
    other = Connection(any_operator.actor, any_operator.server, db, any_operator.access)
    copied = copy_key(any_operator, NAME, to=b"c\xff", target=other)
    undo_creation(other, b"c\xff", left=copied.left)
    assert not other.redis.exists(b"c\xff") and any_redis.exists(NAME)
    assert TrashEntry.objects.get().db == db


def test_a_copy_to_another_server_and_what_keeps_it_from_there(connection_as, make_server, redis):
    newer = connection_as("admin")
    older = connection_as("admin", server=make_server(shared_server("redis7"), name="older"))
    older.redis.set(NAME, b"\xff", px=100_000)
    assert copy_obstacles(older, NAME, target=newer) == ()
    copied = copy_key(older, NAME, to=NAME, target=newer)
    assert copied.way == "RESTORE"
    assert redis.get(NAME) == b"\xff" and 0 < redis.pttl(NAME) <= 100_000
    with pytest.raises(KeyExists):
        copy_key(older, NAME, to=NAME, target=newer)
    undo_creation(newer, NAME, left=copied.left)
    assert not redis.exists(NAME) and older.redis.get(NAME) == b"\xff"
    redis.set(NAME, b"\xff")
    assert "older" in copy_obstacles(newer, NAME, target=older)[0]
    with pytest.raises(Conflict, match="does not read"):
        copy_key(newer, NAME, to=b"back", target=older)


@pytest.mark.parametrize("writer", GENERATIONS)
@pytest.mark.parametrize("reader", GENERATIONS)
def test_what_is_said_to_stand_in_the_way_does_and_nothing_else(connection_as, make_server, writer, reader):
    if writer == reader:
        return
    source, target = (
        connection_as("operator", server=make_server(shared_server(kind), name=kind))
        for kind in (writer, reader)
    )
    source.redis.set(NAME, b"\xff" * 100)
    told = copy_obstacles(source, NAME, target=target)
    if told:
        with pytest.raises(Conflict, match="does not read"):
            copy_key(source, NAME, to=NAME, target=target)
    else:
        copy_key(source, NAME, to=NAME, target=target)
        assert target.redis.get(NAME) == b"\xff" * 100


def test_a_copy_needs_the_right_to_create_at_the_target(connection_as, make_server, redis):
    redis.set(NAME, "a")
    source = connection_as("operator")
    viewer = connection_as("viewer", server=make_server(shared_server("redis7"), name="other"))
    with pytest.raises(Denied):
        copy_key(source, NAME, to=b"c", target=viewer)
    assert AuditEntry.objects.get(operation="copy_key").outcome == "denied"


@pytest.mark.parametrize("role", ["viewer"])
def test_a_viewer_changes_no_key(connection_as, redis, role):
    redis.set(NAME, "a")
    viewer = connection_as(role)
    for act in (lambda: rename_key(viewer, NAME, to=b"b"), lambda: weigh_key(viewer, NAME),
                lambda: copy_key(viewer, NAME, to=b"b", target=viewer),
                lambda: undo_creation(viewer, NAME, left="a" * 64),
                lambda: create_key(viewer, b"b", edit=filled("string-set", value="a"))):  # fmt: skip
        with pytest.raises(Denied):
            act()
    assert redis.keys("*") == [NAME]
