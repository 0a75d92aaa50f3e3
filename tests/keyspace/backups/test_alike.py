"""Values that are the same although the two servers store them otherwise: a restore says so, and leaves them alone."""

from collections.abc import Callable
from typing import Any

import pytest

from keyspace.backups import restore_alike
from tests.keyspace.backups.samples import fill, fill_hash_field_ttl
from tests.keyspace.backups.test_restoring import back_up, restore
from tests.servers import find_binary
from tests.shared_servers import shared_server

pytestmark = pytest.mark.django_db(transaction=True)


def write(client: Any, *, backwards: bool) -> None:
    """The same values, built in another order."""
    step = -1 if backwards else 1
    for number in range(40):
        members = [b"m%d\xff%d" % (number, each) for each in range(30)][::step]
        client.sadd(f"set:{number}", *members)
        for field in range(20)[::step]:
            client.hset(f"hash:{number}", f"f{field}", "v" * 70 + str(field * number))
        client.zadd(f"zset:{number}", {member: index / 7 for index, member in enumerate(sorted(members))})
        client.rpush(f"list:{number}", *sorted(members))
        client.config_set("rdbcompression", "no" if backwards else "yes")
        client.set(f"text:{number}", f"words {number} " * 200)
        client.config_set("rdbcompression", "yes")
    client.sadd("large", *[f"member {each}" for each in range(3000)][::step])


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
@pytest.mark.parametrize(
    ("source", "target"), [("valkey9", "valkey8"), ("redis7", "valkey9"), ("redis8", "redis7")]
)
def test_the_same_value_stored_otherwise(
    kind: str,
    source: str,
    target: str,
    make_server: Any,
    connection_as: Callable[..., Any],
    settings: Any,
    monkeypatch: Any,
) -> None:
    """Small ones are told all at once, only large ones one by one; one member, field, score or byte more makes a difference."""
    settings.SCRATCH_BINARIES = [str(find_binary("redis8"))]
    alone: list[bytes] = []
    compare = restore_alike.Likeness._alike

    def counted(likeness: Any, client: Any, db: int, into: int, dump: Any) -> bool:
        alone.append(dump.name)
        return compare(likeness, client, db, into, dump)

    monkeypatch.setattr(restore_alike.Likeness, "_alike", counted)
    here, there = shared_server(source), shared_server(target)
    with here.client() as client, there.client() as other:
        write(client, backwards=False)
        write(other, backwards=True)
        backup = back_up(connection_as("admin", server=make_server(here, "from")), kind)
        into = connection_as("admin", server=make_server(there, "to"))
        dry = restore(into, backup, dry=True, existing="different").result
        assert (dry["same"], dry["different"], dry["new"]) == (201, 0, 0), dry["examples"]
        assert set(alone) <= {b"large"}
        other.srem("set:1", b"m1\xff1")
        other.sadd("set:1", b"m1\xff!")
        other.hset("hash:2", "f3", "other" * 14 + "x")
        other.zadd("zset:3", {sorted(b"m3\xff%d" % each for each in range(30))[0]: 99})
        other.lset("list:4", 3, "other")
        other.setrange("text:5", 700, "W")
        other.srem("large", "member 7")
        job = restore(into, backup, existing="different")
        assert (job.result["same"], job.result["different"], job.result["restored"]) == (195, 6, 6), (
            job.result
        )
        assert other.hget("hash:2", "f3") == client.hget("hash:2", "f3")
        assert other.smembers("set:1") == client.smembers("set:1")
        assert other.get("text:5") == client.get("text:5")


@pytest.mark.parametrize("kind", ["pull", "export", "readable"])
def test_a_field_that_expires_makes_a_hash_another(
    kind: str, redis: Any, connection_as: Callable[..., Any]
) -> None:
    fill(redis)
    assert fill_hash_field_ttl(redis)
    redis.hset("hash-plain", mapping={"a" * 80: 1, "b" * 80: 2})
    backup = back_up(connection_as("admin"), kind)
    redis.execute_command("HPEXPIRE", "hash-plain", 3_000_000, "FIELDS", 1, "a" * 80)
    redis.execute_command("HPERSIST", "hash-ttl", "FIELDS", 1, "goes")
    dry = restore(connection_as("admin"), backup, dry=True).result
    assert sorted(dry["examples"]["different"]) == ["hash-plain", "hash-ttl"]
