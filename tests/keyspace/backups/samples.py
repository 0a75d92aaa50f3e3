"""Keys of every type, with TTLs and bytes that are not UTF-8, and what a server holds as one comparable value."""

import time
from typing import Any

import redis

NAMES = (b"plain", b"bin\xff\x00\n:name", "schlüssel".encode())


def fill(client: "redis.Redis", *, many: int = 0) -> None:
    """A key of each type; `many` more strings. Expiries lie an hour ahead."""
    soon = (int(time.time()) + 3600) * 1000
    client.set(NAMES[0], "text")
    client.set(NAMES[1], b"\x00\xff" * 40, pxat=soon)
    client.set(NAMES[2], "ü" * 3000)
    client.set("counter", 12)
    client.setbit("bits", 70_000, 1)
    client.pfadd("visitors", *range(500))
    client.rpush("list", *[b"\xfe%d" % number for number in range(2500)])
    client.sadd("ints", 1, 2, 3)
    client.sadd("set", *[b"m%d\xff" % number for number in range(700)])
    client.zadd("zset", {b"a\xff": float("inf"), b"b": 1 / 3, b"c": -7})
    client.zadd("zset-big", {f"m{number}": number / 7 for number in range(600)})
    client.hset("hash", mapping={b"f\xff": b"\x00", "g": "2"})
    client.hset("hash-big", mapping={f"f{number}": "v" * number for number in range(700)})
    client.expireat("hash-big", soon // 1000)
    for number in range(30):
        client.xadd("stream", {"n": number, b"\xff": b"\xfe"}, id=f"{number + 1}-1")
    client.xgroup_create("stream", "group", "0")
    client.xreadgroup("group", b"c\xff", {"stream": ">"}, count=7)
    client.xack("stream", "group", "1-1")
    client.xdel("stream", "30-1")
    if many:
        pipe = client.pipeline(transaction=False)
        for number in range(many):
            pipe.set(f"many:{number}", f"value {number}" * 5)
        pipe.execute()


def fill_hash_field_ttl(client: "redis.Redis") -> bool:
    """A hash with a field that expires, where the server has such; False where it has not."""
    try:
        client.hset("hash-ttl", mapping={"stays": 1, "goes": 2})
        client.execute_command(
            "HPEXPIREAT", "hash-ttl", int(time.time() * 1000) + 3_600_000, "FIELDS", 1, "goes"
        )
    except redis.ResponseError:
        client.delete("hash-ttl")
        return False
    return True


def contents(client: "redis.Redis") -> dict[bytes, Any]:
    """name -> type, value, absolute expiry of every key, whatever encoding or generation holds it."""
    return {name: value_of(client, name) for name in client.scan_iter(count=1000)}


def value_of(client: "redis.Redis", name: bytes) -> Any:
    kind = client.type(name).decode()
    return kind, _READ[kind](client, name), _end_of(client, name)


def as_redis_6_tells(found: dict[bytes, Any]) -> dict[bytes, Any]:
    """The contents of a newer server with the ends of lives as exact as those of a Redis 6."""
    return {
        name: (kind, value, None if end is None else _step(end)) for name, (kind, value, end) in found.items()
    }


def _step(end: float) -> int:
    """Whole seconds, as `fill` has them, lie half a second and more from where this rounds to another number."""
    return round((end - 500) / 4000)


def _end_of(client: "redis.Redis", name: bytes) -> int | None:
    """In Unix milliseconds; where the server knows only what is left, in steps of four seconds: on its way it is kept to the half."""
    try:
        end = client.pexpiretime(name)
    except redis.ResponseError:
        now, left = client.time(), client.pttl(name)
        end = -1 if left < 0 else _step(now[0] * 1000 + now[1] // 1000 + left)
    return None if end < 0 else int(end)


def _stream(client: "redis.Redis", name: bytes) -> Any:
    groups = [
        (group["name"], group["last-delivered-id"], sorted(c["name"] for c in client.xinfo_consumers(name, group["name"])),
         [(p["message_id"], p["consumer"], p["times_delivered"]) for p in client.xpending_range(name, group["name"], "-", "+", 1000)])
        for group in client.xinfo_groups(name)
    ]  # fmt: skip
    return client.xrange(name), client.xinfo_stream(name)["last-generated-id"], groups


_READ = {
    "string": lambda client, name: client.get(name),
    "list": lambda client, name: client.lrange(name, 0, -1),
    "set": lambda client, name: client.smembers(name),
    "zset": lambda client, name: client.zrange(name, 0, -1, withscores=True),
    "hash": lambda client, name: client.hgetall(name),
    "stream": _stream,
}
