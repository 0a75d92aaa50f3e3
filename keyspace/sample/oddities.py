"""What no tidy example has: names that are not text, giants, deep paths, fields with a TTL, and another db in use."""

import json
from collections.abc import Iterator

from keyspace.sample.world import DAY, Command, World

_LARGEST, _BIGGEST = 200_000, 20 * 1024 * 1024
_NAMES: tuple[bytes | str, ...] = (
    b"\xff\xfe\x00binary", b"raw:\x80\x81\x82", b"caf\xe9:latin-1", b"nul\x00inside", b"image:\x89PNG\r\n\x1a\n",
    "", ":", "::", "a::b", "a:::b", ":leading", "trailing:", "user::profile", " ", "two words", "tab\tand\nnewline",
    "emoji:🪙:🇧🇷", "chinese:账户:余额", "arabic:حساب", "quote:\"'`", "back\\slash", "glob:[a-z]*?", "<b>html</b>&amp;",
    "{tag}:one", "{tag}:two", "{}:empty-tag", "percent:%20%2F", "slash/and/dot.dot..", "-leading-dash", "null", "0",
    ":".join(f"level-{n}" for n in range(60)), "long:" + "x" * 4000, b"long-binary:" + bytes(range(256)) * 4,
)  # fmt: skip


def odd_names(world: World) -> Iterator[Command]:
    for number, name in enumerate(_NAMES):
        yield "SET", name, f"the name of this key is odd ({number})"


def odd_values(world: World) -> Iterator[Command]:
    """Values at the edges of their types and formats."""
    yield "SET", "odd:empty-string", ""
    yield "SET", "odd:binary", bytes(range(256))
    yield "SET", "odd:deep-json", "[" * 200 + "1" + "]" * 200
    yield "SET", "odd:broken-json", '{"id": 1, "name": '
    yield "SET", "odd:large-number", "123456789012345678901234567890"
    yield "SET", "odd:number", 9_223_372_036_854_775_807
    yield "SET", "odd:timestamp", int(world.now * 1000)
    yield "SET", "odd:latin-1", "ação e reação".encode("latin-1")
    yield "SET", "odd:json-in-json", json.dumps({"payload": json.dumps({"inner": [1, 2, {"deep": True}]})})
    yield "SET", "odd:last-millisecond", "gone in a year", "PX", 365 * DAY * 1000 + 1
    yield (
        "ZADD",
        "odd:scores",
        "-inf",
        "least",
        "inf",
        "most",
        "0.1",
        "tenth",
        "12345678901234567",
        "exact",
        "-0",
        "zero",
    )
    yield "HSET", "odd:fields", b"\xff\x00", b"\x00\xff", "", "empty field", "empty value", "", "n", 1
    yield "RPUSH", "odd:elements", b"\xff", "", "text", 42, json.dumps({"a": 1}), "x" * 5000
    yield "SADD", "odd:members", b"\xfe\xff", "", "🪙", "plain"
    yield "SETBIT", "odd:sparse-bitmap", 1_000_000, 1


def field_ttls(world: World) -> Iterator[Command]:
    """Hashes with a TTL on some fields, where the server has them."""
    for number in range(40):
        name = f"device:{number}:signals"
        yield (
            "HSET",
            name,
            "battery",
            world.below(101),
            "signal",
            -world.below(110),
            "code",
            world.hex_token(8),
            "model",
            "KS-7",
        )
        yield "HEXPIRE", name, 900 + world.below(DAY), "FIELDS", 2, "battery", "signal"
        yield "HEXPIRE", name, 120 + world.below(7 * DAY), "FIELDS", 1, "code"


def giants(world: World, keys: int) -> Iterator[Command]:
    """One key of each type that no page may ever read whole; smaller when few keys were asked for."""
    size = min(_LARGEST, keys * 4)
    for start in range(0, size, 500):
        numbers = range(start, min(start + 500, size))
        yield "HSET", "index:accounts-by-document", *_pairs((f"{n:011d}", f"account-{n}") for n in numbers)
        # Half as many: a sorted set is by far the dearest to build.
        ranked = numbers[::2]
        yield "ZADD", "leaderboard:all-time", *_pairs((world.below(10**7), f"player-{n}") for n in ranked)
        yield (
            "RPUSH",
            "log:requests",
            *(f"GET /api/v2/accounts/{n} 200 {world.below(900)} ms" for n in numbers),
        )
        yield "SADD", "cards:blocked", *(f"{4000000000000000 + n * 7919}" for n in numbers)
    for number in range(size // 10):
        yield (
            "XADD",
            "events:clicks",
            f"{int((world.now - size // 10 + number) * 1000)}-0",
            "page",
            number % 97,
            "ms",
            number % 500,
        )
    yield from _long_string(world, min(_BIGGEST, keys * 420))


def _pairs(pairs: Iterator[tuple[str | int, str]]) -> Iterator[str | int]:
    return (word for pair in pairs for word in pair)


def _long_string(world: World, size: int) -> Iterator[Command]:
    rows = "".join(
        f"{n},{world.money(9_000)},BRL,{world.person(n)},{world.sentence(2)}\n" for n in range(20_000)
    )
    block = ("id,amount,asset,person,note\n" + rows).encode()[: 1024 * 1024]
    for start in range(0, size, len(block)):
        yield "APPEND", "export:transactions.csv", block[: size - start]


def other_db(world: World) -> Iterator[Command]:
    """What a task queue keeps in a db of its own."""
    for _ in range(300):
        identity = world.hex_uuid()
        value = {
            "status": "SUCCESS",
            "result": world.below(900),
            "task_id": identity,
            "date_done": int(world.ago(DAY)),
        }
        yield "SET", f"celery-task-meta-{identity}", json.dumps(value)
    yield (
        "RPUSH",
        "celery",
        *(json.dumps({"body": world.hex_token(40), "headers": {"retries": n}}) for n in range(20)),
    )
