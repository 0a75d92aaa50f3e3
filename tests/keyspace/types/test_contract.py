"""What every type keeps to."""

from pathlib import Path
from typing import Any

import pytest
from django import forms

from keyspace.errors import BadInput, NotFound, Problem
from keyspace.servers import Connection
from keyspace.types import TYPES, UNSUPPORTED, KeyType, type_of
from keyspace.types.base import Face
from keyspace.types.bounds import MAX_PAGE
from tests.keyspace.types.conftest import commands_used
from tests.keyspace.types.samples import NAME, SAMPLES

FACES = [(kind, face) for kind, each in TYPES.items() for face in each.faces]
ALL = [*TYPES.values(), UNSUPPORTED]
READING = {
    "TYPE", "EXISTS", "OBJECT|ENCODING", "MEMORY|USAGE", "STRLEN", "GETRANGE", "BITCOUNT", "BITPOS", "LLEN",
    "LRANGE", "HLEN", "HSCAN", "HSTRLEN", "HMGET", "HPTTL", "SCARD", "SSCAN", "ZCARD", "ZRANGE", "ZCOUNT",
    "ZLEXCOUNT", "ZSCAN", "ZRANK", "GEOPOS", "XINFO|STREAM", "XREVRANGE", "XINFO|GROUPS", "XINFO|CONSUMERS",
    "XPENDING", "JSON.TYPE", "JSON.OBJLEN", "JSON.ARRLEN", "JSON.STRLEN", "JSON.OBJKEYS", "JSON.GET",
}  # fmt: skip


@pytest.fixture
def on(request: pytest.FixtureRequest, kind: str) -> Connection:
    fixture = "json_connection" if kind == "ReJSON-RL" else "connection"
    return request.getfixturevalue(fixture)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_has_a_sample_of_its_own_type(kind: str, on: Connection) -> None:
    SAMPLES[kind](on.redis)
    assert on.redis.type(NAME).decode() == kind


@pytest.mark.parametrize("kind", TYPES)
def test_length_command_tells_the_length(kind: str, on: Connection) -> None:
    length = SAMPLES[kind](on.redis)
    command = TYPES[kind].length_command(NAME)
    assert command
    assert TYPES[kind].length_of(on.redis.execute_command(*command)) == length


@pytest.mark.parametrize("kind", TYPES)
def test_a_page_has_the_total_and_the_faces(kind: str, on: Connection) -> None:
    length = SAMPLES[kind](on.redis)
    page = TYPES[kind].read_page(on, NAME)
    assert page.total == length
    assert page.face is TYPES[kind].faces[0]
    assert page.faces[0] is page.face
    assert page.next is None


@pytest.mark.parametrize(("kind", "face"), FACES, ids=[f"{kind}-{face.slug}" for kind, face in FACES])
def test_reading_a_face_writes_nothing(kind: str, face: Face, on: Connection) -> None:
    SAMPLES[kind](on.redis)
    if face.slug == "hyperloglog":
        on.redis.delete(NAME)
        on.redis.pfadd(NAME, "a", "b")
    before, dirty = on.redis.dump(NAME), on.redis.info("persistence")["rdb_changes_since_last_save"]
    with commands_used(on) as used:
        TYPES[kind].read_page(on, NAME, query={"face": face.slug})
    assert on.redis.info("persistence")["rdb_changes_since_last_save"] == dirty
    assert on.redis.dump(NAME) == before
    assert set(used) - {"DUMP"} <= READING


@pytest.mark.parametrize(("kind", "face"), FACES, ids=[f"{kind}-{face.slug}" for kind, face in FACES])
def test_a_key_that_is_gone_is_not_found(kind: str, face: Face, on: Connection) -> None:
    with pytest.raises(NotFound):
        TYPES[kind].read_page(on, b"nothing here", query={"face": face.slug})


@pytest.mark.parametrize(("kind", "face"), FACES, ids=[f"{kind}-{face.slug}" for kind, face in FACES])
def test_garbage_parameters_are_bad_input_with_a_sentence(kind: str, face: Face, on: Connection) -> None:
    SAMPLES[kind](on.redis)
    for name, field in face.form.base_fields.items():
        if isinstance(field, forms.BooleanField):
            continue
        for garbage in ("\x00", "x" * 1_000_000):
            with pytest.raises(BadInput) as problem:
                TYPES[kind].read_page(on, NAME, query={"face": face.slug, name: garbage})
            assert name in problem.value.sentence
            assert problem.value.status == 400


@pytest.mark.parametrize("kind", TYPES)
def test_an_unknown_face_is_bad_input(kind: str, on: Connection) -> None:
    with pytest.raises(BadInput):
        TYPES[kind].read_page(on, NAME, query={"face": "nonsense"})


@pytest.mark.parametrize("kind", TYPES)
def test_parameters_of_other_pages_are_ignored(kind: str, on: Connection) -> None:
    SAMPLES[kind](on.redis)
    page = TYPES[kind].read_page(
        on, NAME, query={"match": "a*", "type": "hash", "ttl": "any", "reveal": "x", "kind": kind}
    )
    assert page.query == {}


@pytest.mark.parametrize("kind", TYPES)
def test_an_element_is_never_addressed_by_garbage(kind: str, on: Connection) -> None:
    SAMPLES[kind](on.redis)
    for garbage in ("", "\x00", "../..", "-" * 5000, "9" * 30, "1.2.3", "$..*"):
        try:
            TYPES[kind].read_element(on, NAME, address=garbage)
        except Problem as problem:
            assert problem.status in (400, 404, 413)


@pytest.mark.parametrize("kind", TYPES)
def test_a_masked_page_has_no_bytes_of_values(kind: str, on: Connection) -> None:
    SAMPLES[kind](on.redis)
    page = TYPES[kind].read_page(on, NAME, masked=True)
    assert page.masked
    for secret in (b"'text'", b"b'text", b"bytes", b"again", b"\xc3\xbc", b"\\xfc"):
        assert secret not in repr((page.rows, getattr(page, "value", None))).encode()


@pytest.mark.parametrize("kind", TYPES)
def test_a_wrong_type_is_refused_and_not_misread(kind: str, on: Connection) -> None:
    other = "list" if kind != "list" else "set"
    SAMPLES[other](on.redis)
    with pytest.raises(Exception, match=r"WRONGTYPE|wrong|Existing key"):
        TYPES[kind].read_page(on, NAME)


@pytest.mark.parametrize("each", ALL, ids=[each.slug for each in ALL])
def test_a_type_has_its_words(each: KeyType) -> None:
    assert each.name
    assert each.slug.isalpha()
    assert each.label
    assert each.noun.endswith("s") or each.noun == "entries"
    assert len({face.slug for face in each.faces}) == len(each.faces)
    assert each.edits is not None


def test_what_is_not_known_is_unsupported() -> None:
    assert type_of("MBbloom--") is UNSUPPORTED
    assert type_of("none") is UNSUPPORTED


@pytest.mark.parametrize("kind", ["hash", "list", "set", "zset", "stream"])
def test_pages_follow_one_another_without_loss(kind: str, any_connection: Any) -> None:
    """On each generation: walking `next` gives every element once, in pages that keep to their size."""
    redis, expected = any_connection.redis, {f"element {number}" for number in range(1234)}
    pipe = redis.pipeline(transaction=False)
    for each in sorted(expected):
        {"hash": lambda e: pipe.hset(NAME, e, e), "list": lambda e: pipe.rpush(NAME, e), "set": lambda e: pipe.sadd(NAME, e),
         "zset": lambda e: pipe.zadd(NAME, {e: 1.5}), "stream": lambda e: pipe.xadd(NAME, {"f": e})}[kind](each)  # fmt: skip
    pipe.execute()
    found, query, pages = [], {"count": "100"}, 0
    while query is not None:
        page = type_of(kind).read_page(any_connection, NAME, query=query)
        assert len(page.rows) <= MAX_PAGE
        found += [_text(row) for row in page.rows]
        query, pages = page.next, pages + 1
    assert set(found) == expected
    assert len(found) == len(expected)
    assert 7 <= pages <= 14


def _text(row: Any) -> str:
    if hasattr(row, "fields"):
        return row.fields[0].value.text  # type: ignore[no-any-return]
    return (row.member if hasattr(row, "member") else row.value).text  # type: ignore[no-any-return]


@pytest.mark.parametrize("each", ALL, ids=[each.slug for each in ALL])
def test_a_type_has_its_template(each: KeyType) -> None:
    assert (Path(__file__).parents[3] / "templates" / "keys" / "types" / f"{each.slug}.html").is_file()
