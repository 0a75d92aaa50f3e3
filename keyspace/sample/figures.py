"""The keys of statistics and a shop: unique visitors, bitmaps, places, rankings, counters, devices, in several formats."""

import io
import struct
from collections.abc import Iterator

import bson
import cbor2
import fastavro

from keyspace.sample.world import CITIES, DAY, Command, Kind, World, day

_PLACES = tuple(CITIES)
_PAGES = ("home", "pricing", "docs", "checkout", "login", "blog", "status", "support")


def visitors_name(world: World, page: int, days_ago: int) -> str:
    return f"visitors:{_PAGES[page % 8]}:{day(world.now - days_ago * DAY)}"


def _visitors(world: World, number: int) -> Iterator[Command]:
    page, days_ago = number % 8, number // 8 % 60
    area = f":{number // 480}" if number >= 480 else ""
    name = visitors_name(world, page, days_ago) + area
    yield "PFADD", name, *(world.below(10**9) for _ in range(1 + world.below(60)))


def _feature(world: World, number: int) -> Iterator[Command]:
    """One bit a person: who has the feature."""
    name = f"features:{('new-checkout', 'dark-mode', 'pix-v2', 'passkeys')[number % 4]}:{number // 4}"
    yield "SET", name, world.random.randbytes(64 + number % 400)


def _couriers(world: World, number: int) -> Iterator[Command]:
    city = _PLACES[number % 10]
    east, north = CITIES[city]
    spread = ((east + world.random.gauss(0, 0.05), north + world.random.gauss(0, 0.05)) for _ in range(60))
    spots = (
        word for n, (x, y) in enumerate(spread) for word in (f"{x:.6f}", f"{y:.6f}", f"courier-{number}-{n}")
    )
    yield "GEOADD", f"geo:couriers:{city}" if number < 10 else f"geo:stores:{city}:{number}", *spots


def _ranking(world: World, number: int) -> Iterator[Command]:
    rows = (
        word for n in range(60) for word in (world.below(99_000) + n / 8, world.person(world.below(20_000)))
    )
    yield "ZADD", f"leaderboard:{('chess', 'trivia', 'sales')[number % 3]}:week-{number // 3}", *rows


def _recently_viewed(world: World, number: int) -> Iterator[Command]:
    name = f"recent:{number}"
    yield (
        "ZADD",
        name,
        *(word for n in range(8) for word in (f"{world.ago(DAY):.3f}", f"product:{n * 31 + number % 99}")),
    )


def _feed(world: World, number: int) -> Iterator[Command]:
    yield (
        "RPUSH",
        f"user:{number}:feed",
        *(f"post:{world.below(900_000)}" for _ in range(4 + world.below(20))),
    )


def _followers(world: World, number: int) -> Iterator[Command]:
    integers = number % 2 == 0
    members = (world.below(20_000) for _ in range(3 + world.below(24)))
    yield "SADD", f"user:{number}:followers", *(n if integers else world.person(n) for n in members)


def _views(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"views:article:{number}", world.below(400_000)


def _product(world: World, number: int) -> Iterator[Command]:
    yield (
        "HSET", f"product:{number}", "name", world.sentence(2), "price", world.money(900), "currency", "BRL",
        "stock", world.below(500), "sku", f"SKU-{number:07d}",
    )  # fmt: skip


def _tags(world: World, number: int) -> Iterator[Command]:
    yield "SADD", f"product:{number}:tags", *world.sentence(5).split()


def _prices(world: World, number: int) -> Iterator[Command]:
    moments = (int(world.now - n * DAY) for n in range(20))
    yield (
        "ZADD",
        f"product:{number}:prices",
        *(word for at in moments for word in (at, f"{at}:{world.money(900)}")),
    )


def _external(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"map:external:{number:08d}", world.hex_uuid()


def _telemetry(world: World, number: int) -> Iterator[Command]:
    value = {
        "t": int(world.ago(DAY)),
        "temp": round(world.random.gauss(21, 4), 2),
        "ok": True,
        "v": [number, 3.5],
    }
    yield "SET", f"telemetry:device-{number:06d}:last", cbor2.dumps(value)


def _protobuf(world: World, number: int) -> Iterator[Command]:
    """A message of four fields: a varint, a string, a double, a nested message."""
    name = world.person(number).encode()
    nested = b"\x08\x01\x12" + bytes([len(name)]) + name
    body = (
        b"\x08\x96\x01\x12" + bytes([len(name)]) + name + b"\x19" + struct.pack("<d", world.random.random())
    )
    yield "SET", f"proto:quote:{number}", body + b"\x22" + bytes([len(nested)]) + nested


def _document(world: World, number: int) -> Iterator[Command]:
    value = {
        "_id": bson.ObjectId(world.random.randbytes(12)),
        "name": world.person(number),
        "n": number,
        "tags": ["a"],
    }
    yield "SET", f"mongo:customers:{number}", bson.encode(value)


_SCHEMA = fastavro.parse_schema({
    "type": "record", "name": "Reading",
    "fields": [{"name": "device", "type": "string"}, {"name": "value", "type": "double"}],
})  # fmt: skip


def _avro(world: World, number: int) -> Iterator[Command]:
    file = io.BytesIO()
    rows = [{"device": f"device-{n:06d}", "value": world.random.random()} for n in range(12)]
    fastavro.writer(file, _SCHEMA, rows, codec="deflate")
    yield "SET", f"avro:readings:{number}", file.getvalue()


KINDS = {
    "visitors": Kind(0.01, _visitors, life=61 * DAY),
    "feature": Kind(0.004, _feature),
    "couriers": Kind(0.001, _couriers, at_most=60),
    "ranking": Kind(0.003, _ranking),
    "recently viewed": Kind(0.01, _recently_viewed, life=10 * DAY),
    "feed": Kind(0.02, _feed),
    "followers": Kind(0.02, _followers),
    "views": Kind(0.03, _views),
    "product": Kind(0.03, _product),
    "tags": Kind(0.01, _tags),
    "prices": Kind(0.01, _prices),
    "external": Kind(0.02, _external),
    "telemetry": Kind(0.02, _telemetry, life=2 * DAY),
    "protobuf": Kind(0.01, _protobuf),
    "document": Kind(0.003, _document),
    "avro": Kind(0.001, _avro, at_most=200),
}
