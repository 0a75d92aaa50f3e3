"""One sample of each type in TYPES, with names and values that are not UTF-8. A type without one fails the contract test."""

from collections.abc import Callable
from typing import Any

Redis = Any
NAME = b"sample:\xff\x00 \xc3\xa9"


def write_string(redis: Redis) -> int:
    redis.set(NAME, b"\x00\xffbytes\xfe")
    return 8


def write_hash(redis: Redis) -> int:
    redis.hset(NAME, mapping={b"\xff": b"\x00\xfe", b"": b"", "plain": "text"})
    return 3


def write_list(redis: Redis) -> int:
    redis.rpush(NAME, b"\xff\x00", b"", "text")
    return 3


def write_set(redis: Redis) -> int:
    redis.sadd(NAME, b"\xff\x00", b"", "text")
    return 3


def write_zset(redis: Redis) -> int:
    redis.zadd(NAME, {b"\xff\x00": float("-inf"), b"": 0.1, "text": 3})
    return 3


def write_stream(redis: Redis) -> int:
    redis.execute_command("XADD", NAME, "1700000000000-0", b"\xff", b"\x00", b"\xff", b"again", "", "")
    redis.execute_command("XADD", NAME, "1700000000000-1", "plain", "text")
    redis.xgroup_create(NAME, b"group \xff", "0")
    redis.xreadgroup(b"group \xff", b"me \xfe", {NAME: ">"}, count=1)
    return 2


def write_json(redis: Redis) -> int:
    redis.execute_command(
        "JSON.SET", NAME, "$", '{"\\u00e9 \\" \\\\ \\n": "\\u00fc", "list": [1, null, {"x": 0.1}], "": true}'
    )
    return 3


SAMPLES: dict[str, Callable[[Redis], int]] = {
    "string": write_string,
    "hash": write_hash,
    "list": write_list,
    "set": write_set,
    "zset": write_zset,
    "stream": write_stream,
    "ReJSON-RL": write_json,
}
"""By TYPE; each writes NAME and returns its length."""
