"""The keys around a web service: sessions in the formats of several frameworks, tokens, rate limits, caches, people."""

import base64
import gzip
import json
import pickle
import zlib
from collections.abc import Iterator

import brotli
import cramjam
import lz4.frame
import msgpack
import zstandard

from keyspace.sample.world import AGENTS, CITIES, DAY, HOUR, MINUTE, Command, Kind, World, iso

_PLACES = tuple(CITIES)


def _session(world: World, number: int) -> Iterator[Command]:
    name = f"session:{world.hex_token(32)}"
    yield (
        "HSET", name, "user_id", number % 20_000, "user", world.person(number % 20_000), "ip", _address(world),
        "agent", AGENTS[number % 4], "created_at", int(world.ago(7 * DAY)), "csrf", world.hex_token(32),
    )  # fmt: skip


def _session_json(world: World, number: int) -> Iterator[Command]:
    value = {
        "cookie": {"originalMaxAge": 86_400_000, "httpOnly": True},
        "passport": {"user": number % 20_000},
    }
    yield "SET", f"sess:{world.hex_token(24)}", json.dumps(value)


def _session_php(world: World, number: int) -> Iterator[Command]:
    user, cart = world.person(number % 20_000), number % 9
    value = f'uid|i:{number};user|s:{len(user)}:"{user}";cart|a:1:{{s:5:"items";i:{cart};}}'
    yield "SET", f"PHPREDIS_SESSION:{world.hex_token(26)}", value


def _session_pickle(world: World, number: int) -> Iterator[Command]:
    value = {
        "_auth_user_id": str(number % 20_000),
        "_auth_user_hash": world.hex_token(64),
        "language": "pt-br",
    }
    name = f":1:django.contrib.sessions.cache{world.hex_token(32)}"
    yield "SET", name, pickle.dumps(value)


def _jwt(world: World, number: int, life: float) -> str:
    """A token with claims that read well and a signature that nothing accepts."""
    issued = int(world.now - world.below(3600))
    claims = {
        "iss": "https://id.example.com", "sub": world.person(number % 20_000), "aud": "ledger-api",
        "scope": "openid accounts:read", "iat": issued, "exp": issued + int(life), "jti": world.hex_token(16),
    }  # fmt: skip
    parts = (b'{"alg":"HS256","typ":"JWT"}', json.dumps(claims).encode(), world.random.randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _refresh_token(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"token:refresh:{world.hex_uuid()}", _jwt(world, number, 30 * DAY)


def _access_token(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"token:access:{world.hex_token(20)}", _jwt(world, number, HOUR)


def _api_token(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"token:api:{number}", base64.b64encode(world.random.randbytes(48))


def _address(world: World) -> str:
    return f"{11 + world.below(180)}.{world.below(256)}.{world.below(256)}.{world.below(256)}"


def rate_limit(world: World, address: str) -> Iterator[Command]:
    """One more request of this address in this minute."""
    name = f"ratelimit:{address}:{int(world.now // 60)}"
    yield "INCR", name
    yield "EXPIRE", name, MINUTE


def _rate_minute(world: World, number: int) -> Iterator[Command]:
    name = f"ratelimit:{_address(world)}:{int(world.now // 60)}"
    yield "SET", name, 1 + world.below(90)


def _rate_day(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"ratelimit:user:{number}:day", 1 + world.below(2000)


def _one_time_code(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"otp:+55119{world.below(10**8):08d}", f"{world.below(10**6):06d}"


def _answer(world: World, number: int) -> bytes:
    """The body of an API's answer: a page of a list, as JSON."""
    rows = [
        {
            "id": number * 10 + n,
            "name": world.person(number + n),
            "total": world.money(9_000),
            "open": n % 2 == 0,
        }
        for n in range(6)
    ]
    body = {"items": rows, "page": number % 40, "total": 240, "generatedAt": iso(world.ago(DAY))}
    return json.dumps(body).encode()


def _cache_api(world: World, number: int) -> Iterator[Command]:
    path = ("accounts", "transactions", "orders", "portfolios", "balances")[number % 5]
    name = f"cache:api:v2:/{path}?page={number % 40}&user={number // 40}"
    yield "SET", name, gzip.compress(_answer(world, number), 1)


def _cache_page(world: World, number: int) -> Iterator[Command]:
    text = f"<article><h1>{world.sentence(4)}</h1><p>{world.sentence(60)}</p></article>"
    name = f"cache:fragment:{_PLACES[number % 10]}:article-{number}"
    yield "SET", name, zlib.compress(text.encode(), 1)


def _cache_report(world: World, number: int) -> Iterator[Command]:
    """Reports, each packed in one of the formats that are about."""
    way = ("zstd", "lz4", "br", "snappy", "gz.b64")[number % 5]
    body = _answer(world, number)
    if way == "zstd":
        packed = _ZSTANDARD.compress(body)
    elif way == "lz4":
        packed = lz4.frame.compress(body)
    elif way == "br":
        packed = brotli.compress(body, quality=3)
    elif way == "snappy":
        packed = bytes(cramjam.snappy.compress(body))
    else:
        packed = base64.b64encode(gzip.compress(body, 1))
    yield "SET", f"cache:report:{number}.json.{way}", packed


_ZSTANDARD = zstandard.ZstdCompressor(level=1)


def _user(world: World, number: int) -> Iterator[Command]:
    person = world.person(number)
    yield (
        "HSET", f"user:{number}", "name", person, "email", f"{person}@example.com", "city", _PLACES[number % 10],
        "plan", ("free", "free", "pro", "team")[number % 4], "logins", world.below(900),
        "last_login", iso(world.ago(90 * DAY)),
    )  # fmt: skip


def _profile(world: World, number: int) -> Iterator[Command]:
    value = {
        "id": number, "name": world.person(number).title(), "bio": world.sentence(9), "links": [], "verified": number % 3 == 0,
        "address": {"city": _PLACES[number % 10], "zip": f"{world.below(99999):05d}"}, "emoji": "🪙🇧🇷",
    }  # fmt: skip
    yield "SET", f"user:{number}:profile", json.dumps(value, ensure_ascii=False)


def _preferences(world: World, number: int) -> Iterator[Command]:
    value = {
        "theme": ("dark", "light", "system")[number % 3],
        "dense": number % 2 == 0,
        "pinned": [number, number + 1],
    }
    yield "SET", f"user:{number}:preferences", msgpack.packb(value)


def _last_seen(world: World, number: int) -> Iterator[Command]:
    yield "SET", f"lastseen:{number}", int(world.ago(30 * DAY) * 1000)


KINDS = {
    "session": Kind(0.10, _session, life=7 * DAY),
    "session json": Kind(0.03, _session_json, life=DAY),
    "session php": Kind(0.01, _session_php, life=4 * HOUR),
    "session pickle": Kind(0.02, _session_pickle, life=14 * DAY),
    "refresh token": Kind(0.05, _refresh_token, life=30 * DAY),
    "access token": Kind(0.01, _access_token, life=HOUR, at_most=500),
    "api token": Kind(0.01, _api_token),
    "rate minute": Kind(0.006, _rate_minute, life=MINUTE, at_most=240),
    "rate day": Kind(0.02, _rate_day, life=DAY),
    "one-time code": Kind(0.002, _one_time_code, life=300, at_most=80),
    "cache api": Kind(0.08, _cache_api, life=DAY),
    "cache page": Kind(0.02, _cache_page, life=6 * HOUR),
    "cache report": Kind(0.01, _cache_report, life=3 * DAY),
    "user": Kind(0.08, _user),
    "profile": Kind(0.03, _profile),
    "preferences": Kind(0.01, _preferences),
    "last seen": Kind(0.02, _last_seen, life=30 * DAY),
}
