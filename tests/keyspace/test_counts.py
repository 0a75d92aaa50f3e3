"""The tree's counts are true, whatever the names are, and bounded, whatever their number is."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyspace import counts
from keyspace.counts import build_tree

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_counted():
    yield
    counts.forget_counts()


def tree_of(names, separator=b":"):
    parents = Counter(
        name[: name.rfind(separator) + len(separator)] if separator in name else b"" for name in names
    )
    return build_tree(parents, separator)


def test_a_small_db_is_counted_at_once_for_free(connection_as, redis):
    redis.mset({"a:1": 1, "a:2": 1, "a:b:3": 1, "top": 1, "::": 1})
    count = counts.get_count(connection_as("viewer"))
    assert count is not None and count.tree is not None
    assert [(folder.label, folder.keys, folder.here) for folder in count.tree.folders_in(b"")] == [
        (b"a:", 3, 2),
        (b":", 1, 0),
    ]
    assert count.tree.totals[b""] == 5 and count.tree.here[b""] == 1
    assert [folder.prefix for folder in count.tree.folders_in(b":")] == [b"::"]


def test_a_large_db_is_counted_only_when_a_person_starts_it(connection_as, redis, monkeypatch):
    monkeypatch.setattr(counts, "FREE_KEYS", 1)
    redis.mset({f"k:{n}": 1 for n in range(100)})
    connection = connection_as("viewer")
    assert counts.get_count(connection) is None
    begun = counts.start_count(connection)
    assert begun.thread is not None
    begun.thread.join(60)
    done = counts.get_count(connection)
    assert done is not None and done.tree is not None and done.tree.totals[b""] == 100 and done.percent == 100


def test_counts_know_nothing_outside_the_grant(connection_as, redis):
    redis.mset({"session:1": 1, "secret:1": 1})
    everything, some = connection_as("viewer"), connection_as("viewer", patterns=["session:*"])
    assert len(counts.get_count(everything).tree.folders_in(b"")) == 2
    assert [folder.label for folder in counts.get_count(some).tree.folders_in(b"")] == [b"session:"]
    assert counts.get_count(some).tree.totals[b""] == 1


def test_a_stopped_pass_ends_and_keeps_the_last_count(connection_as, redis, monkeypatch):
    monkeypatch.setattr(counts, "FREE_KEYS", 1_000_000)
    redis.mset({f"k:{n}": 1 for n in range(50_000)})
    connection = connection_as("viewer")
    before = counts.get_count(connection)
    slow = counts.SCAN_COUNT
    monkeypatch.setattr(counts, "SCAN_COUNT", 1)
    begun = counts.start_count(connection)
    counts.stop_count(connection)
    assert begun.thread is not None
    begun.thread.join(60)
    assert not begun.thread.is_alive() and slow > 1
    assert counts.get_count(connection) is before


def test_a_pass_that_meets_a_dead_server_says_so(new_server, connection_as, make_server):
    server = new_server("valkey9")
    server.client().set("a", 1)
    connection = connection_as("viewer", server=make_server(server, name="dying"))
    connection.redis.ping()
    server.client().debug_sleep = None
    count = counts.Count(time.time(), 1)
    server.kill()
    counts._run(connection, ("dying", 0, b":", ()), count)
    assert count.problem is not None and count.problem.sentence and not count.running


def test_more_folders_than_fit_are_folded_and_the_sums_stay_true(connection_as, redis, monkeypatch):
    monkeypatch.setattr(counts, "MAX_FOLDERS", 50)
    redis.mset({f"a:{n % 7}:{n}:x": 1 for n in range(300)})
    tree = counts.get_count(connection_as("viewer")).tree
    assert tree.depth and tree.totals[b""] == 300 and tree.totals[b"a:"] == 300
    assert len(tree.totals) < 200


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\x00", b":").replace(b"\x01", b":"))))
def test_sums_agree_with_counting_each_prefix(names):
    tree = tree_of(names)
    assert tree.totals[b""] == len(names)
    for prefix, total in tree.totals.items():
        if prefix:
            assert total == sum(name.startswith(prefix) for name in names)
        for child in tree.children.get(prefix, ()):
            assert child.startswith(prefix) and child.count(b":") == prefix.count(b":") + 1


def test_a_separator_of_several_bytes(connection_as, redis):
    redis.mset({"a::b::1": 1, "a::2": 1, "x": 1})
    tree = counts.get_count(connection_as("viewer"), separator=b"::").tree
    assert [(folder.prefix, folder.keys) for folder in tree.folders_in(b"")] == [(b"a::", 2)]
    assert [(folder.prefix, folder.keys) for folder in tree.folders_in(b"a::")] == [(b"a::b::", 1)]
