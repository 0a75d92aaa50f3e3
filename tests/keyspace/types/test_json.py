"""JSON documents: path by path, never the whole of a large one."""

import json
from typing import Any

import pytest
from django.forms import ValidationError

from keyspace.errors import BadInput, NotFound, TooLarge
from keyspace.servers import Connection
from keyspace.types.facts import read_facts
from keyspace.types.json import JsonType
from keyspace.types.json_paths import parse_path, path_text
from tests.keyspace.types.conftest import commands_used

JSON = JsonType()
ODD = ["", "a b", "a.b", "]", "it's", 'say "x"', "back\\slash", "line\nbreak", "é", "$", "*", "\x01", "0"]


def store(connection: Connection, document: Any, name: bytes = b"doc") -> None:
    connection.redis.execute_command("JSON.SET", name, "$", json.dumps(document))


def read(connection: Connection, **query: str) -> Any:
    return JSON.read_page(connection, b"doc", query=query)


@pytest.mark.parametrize(
    ("typed", "steps"),
    [("", ()), ("$", ()), (".", ()), ("$.a.b", ("a", "b")), ("a[0].b", ("a", 0, "b")), ('$["a b"][\'c\']', ("a b", "c")),
     (r'["q\"\\"]', ('q"\\',)), (".café", ("café",))],
)  # fmt: skip
def test_a_path_is_understood_as_people_type_it(typed: str, steps: tuple[str | int, ...]) -> None:
    assert parse_path(typed) == steps
    assert parse_path(path_text(steps)) == steps


@pytest.mark.parametrize(
    "typed",
    ["$..a", "$.*", "$[*]", "$[?(@.a>1)]", "$[0:5]", '$["a","b"]', "$[-1]", "$.a[", "$" + "[0]" * 200],
)
def test_a_path_that_could_match_many_places_is_refused(typed: str, json_connection: Connection) -> None:
    with pytest.raises(ValidationError):
        parse_path(typed)
    store(json_connection, {"a": 1})
    with pytest.raises(BadInput):
        read(json_connection, path=typed)


def test_children_of_every_type_are_told(json_connection: Connection) -> None:
    store(
        json_connection,
        {"s": "é", "i": 1, "n": 0.5, "t": True, "z": None, "o": {"a": 1, "b": 2}, "l": [1, 2, 3]},
    )
    page = read(json_connection)
    told = {row.key: (row.type, row.length, row.value and row.value.data) for row in page.rows}
    expected: dict[str, Any] = {
        "s": ("string", 2, '"é"'.encode()),
        "i": ("integer", None, b"1"),
        "n": ("number", None, b"0.5"),
    }
    expected |= {"t": ("boolean", None, b"true"), "z": ("null", None, b"null")}
    assert told == expected | {"o": ("object", 2, None), "l": ("array", 3, None)}
    assert (page.type, page.total, page.length) == ("object", 7, 7)


@pytest.mark.parametrize("name", ODD)
def test_odd_keys_are_drilled_into(name: str, json_connection: Connection) -> None:
    store(json_connection, {name: {name: "here"}})
    path = read(json_connection).rows[0].path
    page = read(json_connection, path=path)
    assert [(row.key, row.value.text) for row in page.rows] == [(name, '"here"')]
    assert [crumb.label for crumb in page.crumbs] == ["$", name]
    assert JSON.read_element(json_connection, b"doc", address=page.rows[0].path).data == b"here"


def test_a_key_that_the_module_does_not_find_is_listed_all_the_same(json_connection: Connection) -> None:
    store(json_connection, {" ": 1, "a": 2})
    assert [(row.key, row.type, row.value and row.value.text) for row in read(json_connection).rows] == [
        (" ", "unreachable", None),
        ("a", "integer", "2"),
    ]


def test_a_key_with_both_quotes_says_that_the_module_is_lost(json_connection: Connection) -> None:
    store(json_connection, {'it\'s "x"': {"a": 1}})
    page = read(json_connection, path=read(json_connection).rows[0].path)
    assert "quotes" in page.note
    assert read(json_connection, face="text").value.data == b'{"it\'s \\"x\\"":{"a":1}}'


def test_arrays_are_paged_and_objects_filtered(json_connection: Connection) -> None:
    store(json_connection, {"list": list(range(250)), "map": {f"k{number}": number for number in range(250)}})
    page = read(json_connection, path="list", start="100", count="100")
    assert [row.key for row in page.rows] == list(range(100, 200))
    assert page.next == {"path": "list", "start": "200", "count": "100"}
    assert page.previous == {"path": "list", "count": "100"}
    assert len(read(json_connection, path="map").rows) == 40
    assert [row.key for row in read(json_connection, path="map", find="k24?").rows] == [
        f"k{number}" for number in range(240, 250)
    ]
    assert [row.key for row in read(json_connection, path="map", find="k7").rows] == ["k7"]
    assert read(json_connection, path="map", find="nope").rows == ()


def test_scalars_at_the_root_and_at_a_path(json_connection: Connection) -> None:
    store(json_connection, "just text")
    assert read(json_connection).value.data == b'"just text"'
    store(json_connection, {"a": {"b": 3}})
    assert read(json_connection, path="a.b").value.data == b"3"
    with pytest.raises(NotFound):
        read(json_connection, path="a.nope")


def test_a_small_document_is_shown_as_text_and_a_large_one_refused(json_connection: Connection) -> None:
    store(json_connection, {"a": [1, {"b": "c"}]})
    assert read(json_connection, face="text").value.data == b'{"a":[1,{"b":"c"}]}'
    store(json_connection, {"a": [[number] for number in range(6000)]})
    assert read(json_connection, face="text").value is None
    assert "too large" in read(json_connection, face="text").note
    with pytest.raises(TooLarge):
        JSON.read_element(json_connection, b"doc", address="$")


def test_a_long_string_stays_on_the_server_until_asked_for(json_connection: Connection) -> None:
    store(json_connection, {"s": "x" * 100_000, "huge": "y" * 5_000_000})
    rows = {row.key: row for row in read(json_connection).rows}
    assert (rows["s"].value.data, rows["s"].value.length, rows["s"].value.cut) == (b"", 100_000, True)
    assert JSON.read_element(json_connection, b"doc", address=rows["s"].value.address).data == b"x" * 100_000
    with pytest.raises(TooLarge):
        JSON.read_element(json_connection, b"doc", address=rows["huge"].value.address)


def test_a_document_of_300_000_children_costs_what_a_small_one_does(json_connection: Connection) -> None:
    store(
        json_connection,
        {
            "list": [{"v": number} for number in range(300_000)],
            "map": {f"k{number}": number for number in range(100_000)},
        },
    )
    store(json_connection, {f"k{number}": number for number in range(100_000)}, b"wide")
    with commands_used(json_connection) as used:
        read(json_connection)
        read(json_connection, path="list", start="200000")
        assert "name one" in read(json_connection, path="map").note
        assert read(json_connection, path="map", find="k99999").rows[0].value.data == b"99999"
        assert "too large" in read(json_connection, face="text").note
        facts = read_facts(json_connection, b"doc")
    assert facts.memory.value is None
    assert facts.memory.problem is not None
    assert facts.length.value == 2
    assert not {"MEMORY|USAGE", "JSON.DEBUG"} & used.keys()
    assert used["JSON.OBJKEYS"][0] == 1  # of the root, which has two
    assert sum(usec for _, usec in used.values()) < 20_000
    assert (read_facts(json_connection, b"doc", measure=True).memory.value or 0) > 1_000_000


def test_the_memory_of_a_small_document_is_told(json_connection: Connection) -> None:
    store(json_connection, {"a": [1, {"b": "c"}]})
    assert (read_facts(json_connection, b"doc").memory.value or 0) > 50
