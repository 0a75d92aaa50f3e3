"""TTLs: set, extended, taken away, on every generation, and never over what changed meanwhile."""

import contextlib
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyspace import ttl as ttls
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.models import AuditEntry
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db
NAME = b"k\xff"


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("15m", 900_000),
        ("2h30m", 9_000_000),
        ("7d", 604_800_000),
        ("250ms", 250),
        ("1.5h", 5_400_000),
        ("60", 60_000),
    ],
)
def test_durations_are_read_as_people_write_them(text, ms):
    assert ttls.parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "5x", "-5s", "5s and more", "1e9d", "9" * 80, "200y", "99999d"])
def test_a_bad_duration_is_a_sentence(text):
    with pytest.raises(BadInput) as refused:
        ttls.parse_duration(text)
    assert refused.value.sentence


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(BadInput):
        assert ttls.parse_duration(text) >= 0


def test_set_extend_shorten_and_persist_on_every_generation(
    any_server, any_redis, connection_as, make_server
):
    connection = connection_as("operator", server=make_server(any_server, name="any"))
    any_redis.hset(NAME, "f", "v")
    change = ttls.set_ttl(connection, NAME, seen=ttls.get_ttl(connection, NAME), ttl=3_600_000)
    assert change.before.ttl is None and 3_599_000 < any_redis.pttl(NAME) <= 3_600_000
    ttls.set_ttl(connection, NAME, seen=change.after, extend=60_000)
    assert any_redis.pttl(NAME) > 3_650_000
    ttls.set_ttl(connection, NAME, seen=ttls.get_ttl(connection, NAME), extend=-3_600_000)
    assert any_redis.pttl(NAME) < 61_000
    gone = ttls.persist(connection, NAME, seen=ttls.get_ttl(connection, NAME))
    assert any_redis.pttl(NAME) == -1 and gone.after is not None and gone.after.ttl is None


@pytest.mark.parametrize(
    ("condition", "ttl", "kept"),
    [
        ("NX", 5000, True),
        ("XX", 5000, False),
        ("GT", 5000, True),
        ("GT", 9_000_000, False),
        ("LT", 5000, False),
    ],
)
def test_conditions_hold(connection_as, redis, condition, ttl, kept):
    redis.set(NAME, 1, px=1_000_000)
    change = ttls.set_ttl(connection_as("operator"), NAME, seen=None, ttl=ttl, condition=condition)
    assert change.kept is kept
    assert (redis.pttl(NAME) > 900_000) is (kept or ttl > 5000)


def test_a_ttl_that_changed_meanwhile_is_told_and_not_overwritten(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, 1, px=50_000)
    seen = ttls.get_ttl(connection, NAME)
    redis.pexpire(NAME, 80_000)
    with pytest.raises(Conflict, match="changed since you looked"):
        ttls.set_ttl(connection, NAME, seen=seen, ttl=1000)
    assert redis.pttl(NAME) > 70_000
    ttls.set_ttl(connection, NAME, seen=None, ttl=5_000)
    assert redis.pttl(NAME) <= 5_000


def test_another_type_and_a_vanished_key_are_told(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, 1)
    seen = ttls.get_ttl(connection, NAME)
    redis.delete(NAME)
    with pytest.raises(NotFound):
        ttls.set_ttl(connection, NAME, seen=seen, ttl=1000)
    redis.rpush(NAME, 1)
    with pytest.raises(Conflict, match="is a list now"):
        ttls.persist(connection, NAME, seen=seen)
    assert redis.ttl(NAME) == -1


def test_a_change_between_the_look_and_the_write_stops_the_write(connection_as, redis, monkeypatch):
    connection = connection_as("operator")
    redis.set(NAME, 1)
    real = ttls._compare

    def racing(seen, now):
        real(seen, now)
        redis.append(NAME, "2")

    monkeypatch.setattr(ttls, "_compare", racing)
    with pytest.raises(Conflict):
        ttls.set_ttl(connection, NAME, seen=None, ttl=1000)
    assert redis.pttl(NAME) == -1


def test_a_time_that_has_passed_asks_first(connection_as, redis):
    connection = connection_as("operator")
    redis.set(NAME, 1)
    with pytest.raises(ttls.WouldDelete):
        ttls.set_ttl(connection, NAME, seen=None, expires_at=now_ms() - 1000)
    assert redis.exists(NAME)
    assert ttls.set_ttl(connection, NAME, seen=None, expires_at=now_ms() - 1000, may_delete=True).gone
    assert not redis.exists(NAME)


def test_extending_what_does_not_expire_is_a_sentence(connection_as, redis):
    redis.set(NAME, 1)
    with pytest.raises(BadInput, match="nothing to extend"):
        ttls.set_ttl(connection_as("operator"), NAME, seen=None, extend=1000)


def test_viewer_may_not_set_ttl_and_the_denial_is_audited(connection_as, redis):
    redis.set(NAME, 1)
    connection = connection_as("viewer")
    for act in (
        lambda: ttls.set_ttl(connection, NAME, seen=None, ttl=1000),
        lambda: ttls.persist(connection, NAME, seen=None),
    ):
        with pytest.raises(Denied):
            act()
    assert redis.pttl(NAME) == -1
    assert set(AuditEntry.objects.values_list("operation", "outcome")) == {
        ("set_ttl", "denied"),
        ("persist", "denied"),
    }


def test_the_audit_tells_old_and_new_ttl(connection_as, redis):
    redis.set(NAME, 1, px=50_000)
    ttls.set_ttl(connection_as("operator"), NAME, seen=None, ttl=90_000)
    entry = AuditEntry.objects.get()
    assert (entry.operation, entry.outcome, bytes(entry.key)) == ("set_ttl", "done", NAME)
    assert entry.detail["ttl_before"] <= 50_000 < entry.detail["ttl_after"] <= 90_000


def test_a_read_only_server_takes_no_ttl(connection_as, make_server, server, redis):
    redis.set(NAME, 1)
    connection = connection_as("admin", server=make_server(server, name="frozen", read_only=True))
    with pytest.raises(Denied, match="read-only"):
        ttls.set_ttl(connection, NAME, seen=None, ttl=1000)


def test_two_people_at_once_one_wins_and_the_other_is_told(connection_as, redis):
    redis.set(NAME, 1)
    first, second = connection_as("operator"), connection_as("operator")
    seen = ttls.get_ttl(first, NAME)
    ttls.set_ttl(first, NAME, seen=seen, ttl=1_000_000)
    with pytest.raises(Conflict):
        ttls.set_ttl(second, NAME, seen=seen, ttl=2_000_000)
    assert redis.pttl(NAME) <= 1_000_000
    assert threading.active_count() < 50


@pytest.mark.parametrize("generation", ["valkey9", "redis8"])
def test_a_field_has_a_ttl_of_its_own_where_the_server_can(generation, connection_as, make_server):
    running = shared_server(generation)
    redis = running.client()
    connection = connection_as("operator", server=make_server(running, name="fields"))
    redis.hset(NAME, mapping={b"f\xff": "v", "other": "v"})
    assert connection.supports("HPEXPIREAT")
    seen = ttls.get_ttl(connection, NAME, field=b"f\xff")
    change = ttls.set_ttl(connection, NAME, seen=seen, ttl=60_000, field=b"f\xff")
    assert change.after is not None and 59_000 < (change.after.ttl or 0) <= 60_000
    assert redis.execute_command("HPTTL", NAME, "FIELDS", 1, "other") == [-1] and redis.ttl(NAME) == -1
    with pytest.raises(Conflict):
        ttls.set_ttl(connection, NAME, seen=seen, ttl=1000, field=b"f\xff")
    assert ttls.set_ttl(connection, NAME, seen=None, ttl=1000, condition="GT", field=b"f\xff").kept
    ttls.persist(connection, NAME, seen=change.after, field=b"f\xff")
    assert ttls.get_ttl(connection, NAME, field=b"f\xff").ttl is None
    with pytest.raises(ttls.WouldDelete):
        ttls.set_ttl(connection, NAME, seen=None, expires_at=1, field=b"f\xff")
    assert ttls.set_ttl(connection, NAME, seen=None, expires_at=1, field=b"f\xff", may_delete=True).gone
    assert redis.hkeys(NAME) == [b"other"]
    with pytest.raises(NotFound):
        ttls.get_ttl(connection, NAME, field=b"f\xff")
    entries = AuditEntry.objects.filter(operation="set_ttl", outcome="done")
    assert {entry.detail["field"] for entry in entries} == {"f\\xff"}
