"""JSON documents of the module: path by path, never the whole of a large one.

The module has no cursor for the keys of an object, and MEMORY USAGE, JSON.DEBUG MEMORY and JSON.GET walk the whole value. So
lengths are asked before anything that grows with them, and a document is measured or fetched only when counting its nodes
level by level stayed small.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms

from keyspace.errors import BadInput, NotFound, TooLarge
from keyspace.globs import compile_glob, is_glob
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bounds import LOADED, WHOLE
from keyspace.types.elements import Element, element, figures
from keyspace.types.json_answers import LENGTHS, describe, flat, get, is_small, length_in
from keyspace.types.json_edits import JSON_EDITS
from keyspace.types.json_paths import PathField, Steps, parse_path, path_text
from keyspace.types.reading import BytesField, PageForm, Reading, StartForm, gone
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection

MOST_KEYS = 20_000
"""Keys of an object that are fetched to page through them: JSON.OBJKEYS answers with all at once (3 ms)."""
UNREACHABLE = "unreachable"
"""A child that the module lists and does not find by its path: a key that begins with a space, for one."""
CONTAINERS = {"object", "array"}


class TextForm(PageForm):
    """`path` leads to one place of the document."""

    path = PathField()


class TreeForm(StartForm):
    """The children of what `path` leads to; `find` narrows an object to keys that match a glob, or to the one key it names."""

    path = PathField()
    find = BytesField(max_length=1024)


@dataclass(frozen=True)
class JsonRow:
    """A child: its key or index, the `path` to it, its JSON type, how many children (a string: bytes) it has.

    `value` is JSON text; None for a container and for what is UNREACHABLE. A long string stays on the server: only its
    length is told.
    """

    key: str | int
    path: str
    type: str
    length: int | None
    value: Element | None

    @property
    def opens(self) -> bool:
        return self.type in CONTAINERS


@dataclass(frozen=True)
class Crumb:
    label: str
    path: str


@dataclass(frozen=True, kw_only=True)
class JsonPage(Page):
    """Of the value at `path`: its JSON `type`, its own `length`, and `crumbs` that lead there. `value` is the value itself
    where it is a scalar, or was asked for as text and is small enough."""

    path: str
    type: str
    length: int | None
    crumbs: tuple[Crumb, ...]
    value: Element | None = None


def read_tree(reading: Reading) -> JsonPage:
    steps, page = _open(reading)
    if page["type"] in CONTAINERS and page["length"] is None:
        return JsonPage(
            **page, note="The module does not find its way past these quotes: read the part above it as text."
        )
    if page["type"] == "array":
        return JsonPage(**page, **_children(reading, steps, *_window(reading, page["length"])))
    if page["type"] == "object":
        return JsonPage(**page, **_object(reading, steps, page["length"]))
    return JsonPage(**page, value=_scalar(reading, steps, page))


def read_text(reading: Reading) -> JsonPage:
    steps, page = _open(reading)
    if page["type"] in CONTAINERS and (page["length"] is None or not is_small(reading, path_text(steps))):
        return JsonPage(
            **page, note=f"This {page['type']} is too large to show as text: open it part by part."
        )
    return JsonPage(**page, value=_scalar(reading, steps, page))


def _open(reading: Reading) -> tuple[Steps, dict[str, Any]]:
    """The steps asked for and what a page says of the value there. Raises NotFound for a key or a place that is not there."""
    steps: Steps = reading.asked["path"]
    path = path_text(steps)
    kind, *lengths = describe(reading, path)
    if isinstance(kind, Exception):
        raise kind
    types = flat(kind or [None])
    if types == [None]:
        raise gone(reading.name)
    if not types:
        raise NotFound(f"There is nothing at {path[:200]} in this document.", "Go back to its root.")
    length = length_in(lengths)
    crumbs = tuple(Crumb(str(step), path_text(steps[: at + 1])) for at, step in enumerate(steps))
    top = length if not steps else length_in(describe(reading, "$")[1:])
    return steps, {
        "path": path,
        "type": types[0].decode(),
        "length": length,
        "total": top or 0,
        "crumbs": (Crumb("$", "$"), *crumbs),
    }


def _object(reading: Reading, steps: Steps, length: int | None) -> dict[str, Any]:
    find = reading.asked["find"]
    if find is not None and not is_glob(find):
        return _children(reading, steps, [find.decode("utf-8", "replace")], 1, listed=False)
    if (length or 0) > MOST_KEYS:
        return {
            "note": f"This object has {figures(length or 0)} keys, more than the module can list in pieces: name one to open it."
        }
    answer = reading.ask(("JSON.OBJKEYS", reading.name, path_text(steps)))[0]
    keys = flat(answer) or []
    kept = [key for key in keys if find is None or compile_glob(find).fullmatch(key)]
    start = reading.asked["start"]
    shown = [key.decode("utf-8", "replace") for key in kept[start : start + reading.asked["count"]]]
    return _children(reading, steps, shown, len(kept))


def _window(reading: Reading, length: int | None) -> tuple[Sequence[int], int]:
    start = reading.asked["start"]
    return range(start, min(start + reading.asked["count"], length or 0)), length or 0


def _children(
    reading: Reading, steps: Steps, keys: Sequence[str | int], among: int, *, listed: bool = True
) -> dict[str, Any]:
    """The rows of these children, and the pages beside them `among` so many. Not `listed` by the module: only if there."""
    paths = [path_text((*steps, key)) for key in keys]
    asked = reading.try_asking(
        *((command, reading.name, path) for path in paths for command in ("JSON.TYPE", *LENGTHS))
    )
    told = [asked[at : at + 4] for at in range(0, len(asked), 4)]
    rows = [_child(key, path, *answers) for key, path, answers in zip(keys, paths, told, strict=True)]
    start = reading.asked["start"]
    end = start + len(keys)
    return {
        "rows": tuple(_with_values(reading, [row for row in rows if listed or row.type != UNREACHABLE])),
        "next": reading.with_(start=end) if end < among else None,
        "previous": reading.with_(start=max(0, start - reading.asked["count"]) or None) if start else None,
    }


def _child(key: str | int, path: str, kind: Any, *lengths: Any) -> JsonRow:
    types = flat(kind) if isinstance(kind, list) else []
    return JsonRow(
        key, path, types[0].decode() if types and types[0] else UNREACHABLE, length_in(list(lengths)), None
    )


def _with_values(reading: Reading, rows: list[JsonRow]) -> list[JsonRow]:
    """The rows with the values of scalars, but of long strings."""
    wanted = [
        row for row in rows if not row.opens and row.type != UNREACHABLE and (row.length or 0) <= LOADED
    ]
    values = dict(zip([row.path for row in wanted], get(reading, [row.path for row in wanted]), strict=True))
    return [
        JsonRow(row.key, row.path, row.type, row.length, _cell(row, values.get(row.path))) for row in rows
    ]


def _cell(row: JsonRow, value: bytes | None) -> Element | None:
    if row.opens or row.type == UNREACHABLE:
        return None
    return Element(b"", row.length or 0, row.path) if value is None else element(value, address=row.path)


def _scalar(reading: Reading, steps: Steps, page: dict[str, Any]) -> Element:
    """The value at the path as an Element, up to WHOLE bytes of it; a string that is longer stays on the server."""
    path = path_text(steps)
    if page["type"] == "string" and page["length"] > WHOLE:
        return Element(b"", page["length"], path)
    value = get(reading, [path])[0]
    if value is None:
        raise NotFound("There is nothing at this path any more.", "Go back to the root of the document.")
    return Element(value[:WHOLE], len(value), path)


class JsonType(KeyType):
    """The length of a document is how many keys its root object has; the module tells no length of others in one command."""

    name, slug, label, noun = "ReJSON-RL", "json", "JSON", "keys"
    memory_walks = True
    faces = (
        Face("tree", "Tree", TreeForm, read_tree),
        Face("text", "Text", TextForm, read_text),
    )
    edits = JSON_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("JSON.OBJLEN", name, "$")

    def length_of(self, answer: Any) -> int | None:
        return length_in([answer])

    def may_measure(self, connection: "Connection", name: bytes) -> bool:
        return is_small(Reading(connection, name, {}), "$")

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        """The value at a path: the bytes of a string, the JSON text of anything else."""
        try:
            steps = parse_path(address[:8192])
        except forms.ValidationError as error:
            raise BadInput(error.messages[0], "Open the key anew.") from error
        reading = Reading(connection, name, {"path": steps})
        _, page = _open(reading)
        fits = (
            is_small(reading, page["path"]) if page["type"] in CONTAINERS else (page["length"] or 0) <= WHOLE
        )
        if not fits:
            raise TooLarge(
                "This part of the document is larger than the console reads at once.", "Open it part by part."
            )
        value = _scalar(reading, steps, page)
        if page["type"] != "string":
            return value
        text = json.loads(value.data).encode()
        return Element(text, len(text), address)
