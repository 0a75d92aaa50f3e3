"""Finding keys: bounded steps, unforgeable cursors, filters, and only what the person may see."""

import time

import pytest

from keyspace import keys
from keyspace.errors import BadInput, NotFound
from keyspace.keys import Filter
from keyspace.values import read_value

pytestmark = pytest.mark.django_db
ODD = [b"\xff\xfe", b"", b"a b", b"::", b"{tag}:x", "ключ".encode(), b"new\nline", b"star*", b"x" * 5000]


def scan_all(connection, **filter):
    cursor, found, steps = None, [], 0
    while True:
        step = keys.scan_keys(connection, filter=Filter(**filter), cursor=cursor)
        found += step.names
        cursor, steps = step.cursor, steps + 1
        if cursor is None:
            return found, steps, step


def fill(redis, count, prefix="key"):
    pipe = redis.pipeline(transaction=False)
    for number in range(count):
        pipe.set(f"{prefix}:{number}", number)
    pipe.execute()


def test_a_scan_finds_every_key_once_and_says_how_many_it_looked_at(connection_as, redis):
    fill(redis, 3000)
    found, steps, last = scan_all(connection_as("viewer"))
    assert sorted(found) == sorted({f"key:{n}".encode() for n in range(3000)})
    assert steps > 1
    assert (last.looked, last.total, last.cursor) == (3000, 3000, None)


def test_a_step_ends_when_its_time_is_over_and_the_next_goes_on(connection_as, redis):
    fill(redis, 5000)
    connection = connection_as("viewer")
    step = keys.scan_keys(connection, filter=Filter(b"nothing-like-it*"), budget_ms=0)
    assert step.names == [] and step.cursor and 0 < step.looked < 5000
    assert scan_all(connection, match=b"key:4999")[0] == [b"key:4999"]


def test_any_bytes_are_a_name(connection_as, redis):
    for name in ODD:
        redis.set(name, b"1")
    connection = connection_as("viewer")
    assert sorted(scan_all(connection)[0]) == sorted(ODD)
    rows, problems = keys.describe_keys(connection, names=ODD)
    assert [row.name for row in rows] == ODD and problems == []
    assert keys.find_key(connection, b"\xff\xfe").type == "string"


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [("none", {b"stays"}), ("any", {b"soon", b"later"}), ("hour", {b"soon"}), ("day", {b"soon", b"later"})],
)
def test_the_ttl_filter_keeps_what_it_says(connection_as, redis, ttl, expected):
    redis.set("stays", 1)
    redis.set("soon", 1, ex=60)
    redis.set("later", 1, ex=3 * 3600)
    assert set(scan_all(connection_as("viewer"), ttl=ttl)[0]) == expected


def test_the_type_filter_runs_on_every_generation(any_server, any_redis, connection_as, make_server):
    any_redis.set("s", 1)
    any_redis.rpush("l", 1)
    connection = connection_as("viewer", server=make_server(any_server, name="other"))
    assert scan_all(connection, type="list")[0] == [b"l"]
    assert {row.type for row in keys.describe_keys(connection, names=[b"s", b"l"])[0]} == {"string", "list"}


def test_names_outside_the_grant_are_absent_from_scans_and_counts(connection_as, redis):
    for name in ("session:1", "session:2", "secret:1"):
        redis.set(name, 1)
    connection = connection_as("viewer", patterns=["session:*"])
    assert sorted(scan_all(connection)[0]) == [b"session:1", b"session:2"]
    assert scan_all(connection, match=b"secret*")[0] == []
    assert scan_all(connection)[2].total is None
    assert keys.count_keys(connection) is None
    with pytest.raises(NotFound):
        keys.find_key(connection, b"secret:1")
    with pytest.raises(NotFound):
        keys.describe_keys(connection, names=[b"session:1", b"secret:1"])


def test_two_patterns_are_both_seen(connection_as, redis):
    for name in ("a:1", "b:1", "c:1"):
        redis.set(name, 1)
    assert sorted(scan_all(connection_as("viewer", patterns=["a:*", "b:*"]))[0]) == [b"a:1", b"b:1"]


def test_a_folder_holds_the_keys_directly_in_it(connection_as, redis):
    for name in ("a", "a:1", "a:2", "a:b:3", "a*:4", ":x"):
        redis.set(name, 1)
    connection = connection_as("viewer")
    assert sorted(scan_all(connection, folder=b"a:")[0]) == [b"a:1", b"a:2"]
    assert scan_all(connection, folder=b"a*:")[0] == [b"a*:4"]
    assert scan_all(connection, folder=b"")[0] == [b"a"]
    assert scan_all(connection, folder=b":")[0] == [b":x"]


def test_a_cursor_cannot_be_forged_or_carried_to_another_search_or_person(connection_as, redis):
    fill(redis, 2000)
    ana, ben = connection_as("viewer"), connection_as("viewer")
    cursor = keys.scan_keys(ana, filter=Filter(), want=10).cursor
    assert cursor
    keys.scan_keys(ana, filter=Filter(), cursor=cursor)
    for who, filter, token in (
        (ana, Filter(), "17"),
        (ana, Filter(b"a*"), cursor),
        (ben, Filter(), cursor),
        (ana, Filter(), cursor[:-1]),
    ):
        with pytest.raises(BadInput):
            keys.scan_keys(who, filter=filter, cursor=token)


@pytest.mark.parametrize("bad", [{"match": b"x" * 5000}, {"ttl": "year"}, {"type": "no such type!"}])
def test_a_filter_that_means_nothing_is_refused_in_words(connection_as, bad):
    with pytest.raises(BadInput) as refused:
        keys.scan_keys(connection_as("viewer"), filter=Filter(**bad))
    assert refused.value.sentence and refused.value.advice


def test_rows_have_ttl_length_and_memory(connection_as, redis):
    redis.hset("h", mapping={"a": 1, "b": 2})
    redis.pexpire("h", 90_000)
    row = keys.find_key(connection_as("viewer"), b"h")
    assert (row.type, row.length) == ("hash", 2)
    assert 80_000 < (row.ttl or 0) <= 90_000
    assert (row.memory or 0) > 10


def test_one_refused_command_leaves_the_rest_of_the_row(new_server, connection_as, make_server):
    server = new_server("valkey9", acl=["narrow on >pw ~* +@all -memory -hlen"])
    server.client().hset("h", "a", 1)
    connection = connection_as(
        "viewer", server=make_server(server, name="narrow", username="narrow", password="pw")
    )
    rows, problems = keys.describe_keys(connection, names=[b"h"])
    assert (rows[0].type, rows[0].memory, rows[0].length) == ("hash", None, None)
    assert any("+memory" in problem.sentence for problem in problems)


def test_a_key_that_went_away_is_left_out_of_the_rows(connection_as, redis):
    redis.set("here", 1)
    rows, _ = keys.describe_keys(connection_as("viewer"), names=[b"here", b"gone"])
    assert [row.name for row in rows] == [b"here"]


def test_looking_at_keys_leaves_their_idle_times_alone(any_server, any_redis, connection_as, make_server):
    any_redis.set("k", 1)
    connection = connection_as("viewer", server=make_server(any_server, name="any"))
    time.sleep(2.2)
    keys.describe_keys(connection, names=[b"k"])
    read_value(connection, b"k", kind="string", query={})
    expected = 0 if any_server.kind == "redis7" else 1  # CLIENT NO-TOUCH came with 7.2
    assert any_redis.object("idletime", "k") >= expected


def test_a_json_key_has_its_length_in_the_list(json_server, json_redis, connection_as, make_server):
    json_redis.execute_command("JSON.SET", "j", "$", '{"a": 1, "b": 2}')
    connection = connection_as("viewer", server=make_server(json_server, name="json"))
    row = keys.find_key(connection, b"j")
    assert (row.type, row.length, row.memory) == ("ReJSON-RL", 2, None)
