"""What stands around the keys of a server: its function libraries, and its ACL users without their secrets.

An archive has the libraries as FUNCTION DUMP made them. A readable export has their code, in lines of its form that older consoles
pass over: ``{"form": ..., "function": "lib", "engine": "LUA", "part": 0, "last": true, "code": ...}``, and for a user
``{"form": ..., "user": "user app on ~* ..."}``.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import redis
from redis.exceptions import NoPermissionError

from keyspace.backups.releases import release_in
from keyspace.backups.typed import pack, unpack
from keyspace.servers import Client

T = TypeVar("T")
EMPTY_DUMP = 10
"""Bytes of version and checksum."""
MOST_BYTES = 32 * 1024 * 1024
"""Of all libraries of a readable file; real ones have some KB."""
_EACH_BYTES = 256
_PIECE_BYTES = 128 * 1024
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Library:
    """A function library; the engine and the name stand in the first line of its code as well."""

    name: str
    engine: str
    code: bytes

    @property
    def size(self) -> int:
        """What it counts of MOST_BYTES."""
        return len(self.name) + len(self.code) + _EACH_BYTES


@dataclass(frozen=True)
class Libraries:
    """Those of a backup. `dump` is None where it has none as such (there may be code), `code` where nothing here reads the dump."""

    dump: Callable[[], bytes | None] = lambda: None
    code: Callable[[], Sequence[Library] | None] = tuple


def library_names(client: Client) -> list[str]:
    """Of a server; none where it knows no functions."""
    try:
        return [row[b"library_name"].decode() for row in _rows(client)]
    except redis.ResponseError:
        return []


def read_libraries(client: Client) -> list[Library]:
    """The libraries of a server, asked for one by one: together they may be large."""
    names = [row[b"library_name"] for row in _rows(client)]
    found = [row for name in names for row in _rows(client, "LIBRARYNAME", name, "WITHCODE")]
    return [
        Library(row[b"library_name"].decode(), row[b"engine"].decode(), row[b"library_code"]) for row in found
    ]


def _rows(client: Client, *words: str | bytes) -> list[dict[bytes, Any]]:
    rows: list[Any] = client.execute_command("FUNCTION", "LIST", *words)
    return [row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True)) for row in rows]


def without_secrets(rule: bytes | str) -> str:
    """A line of ACL LIST without the hashes of passwords; the user's name may begin as one does."""
    words = (rule if isinstance(rule, str) else rule.decode("utf-8", "replace")).split(" ")
    return " ".join(words[:2] + [word for word in words[2:] if word[:1] not in ("#", ">")])


class Asking:
    """Asks a server for what stands around its keys; `lacks` has a sentence about each thing that it keeps to itself."""

    def __init__(self, client: Client, info: dict[str, Any]) -> None:
        self._client, self._release = client, release_in(info)
        self.lacks: list[str] = []

    def dump(self) -> bytes:
        """The libraries as one dump, empty where there are none."""

        def ask() -> list[bytes]:
            return [self._client.execute_command("FUNCTION", "DUMP")]

        dump = next(iter(self._ask(ask, "Function libraries", "FUNCTION DUMP")), b"")
        return dump if len(dump) > EMPTY_DUMP else b""

    def libraries(self) -> list[Library]:
        """Those that fit a readable file."""
        room, fitting = MOST_BYTES, []
        found = self._ask(lambda: read_libraries(self._client), "Function libraries", "FUNCTION LIST")
        for library in found:
            if library.size > room:
                self.lacks.append(
                    f"The function library {library.name[:80]} is not in it: too much code for the readable form."
                )
                continue
            room -= library.size
            fitting.append(library)
        return fitting

    def users(self) -> list[str]:
        """The rules of the ACL users, without their secrets."""

        def ask() -> list[str]:
            return [without_secrets(rule) for rule in self._client.execute_command("ACL", "LIST")]

        told = self._ask(ask, "ACL users", "ACL LIST")
        for rule in (rule for rule in told if len(rule) > _PIECE_BYTES):
            self.lacks.append(f"The ACL {rule[:80]} is not in it: its rule is too long.")
        return [rule for rule in told if len(rule) <= _PIECE_BYTES]

    def _ask(self, ask: Callable[[], list[T]], noun: str, command: str) -> list[T]:
        try:
            return ask()
        except NoPermissionError:
            why = f"the ACL denies {command}"
        except redis.ResponseError as error:
            if "unknown command" not in str(error):
                why = f"{command}: {error}"[:120]
            elif self._release.family == "redis" and self._release.version < (7, 0):
                return []  # it has none of these
            else:
                why = f"the server has no {command}"
        self.lacks.append(f"{noun} are not in it: {why}.")
        return []


def lacks_of(header: Any) -> str:
    """What the header of an export says is not in it; of a stranger's file no more than fits a note."""
    told = header.get("lacks") if isinstance(header, dict) else None
    said = " ".join(each for each in told[:5] if isinstance(each, str)) if isinstance(told, list) else ""
    return "".join(char for char in said[:400] if char.isprintable())


def to_frames(library: Library) -> Iterator[dict[str, Any]]:
    """What a readable file says of it, in lines of bounded length."""
    pieces = [library.code[at : at + _PIECE_BYTES] for at in range(0, len(library.code), _PIECE_BYTES)]
    for part, piece in enumerate(pieces):
        last = part == len(pieces) - 1
        yield {
            "function": library.name, "engine": library.engine, "part": part, "last": last, "code": pack(piece)
        }  # fmt: skip


@dataclass
class Around:
    """What a readable file holds beside keys, as it is read: its header, its libraries (each goes to `take` once it is whole), and how
    many users. What is not understood is a ValueError."""

    take: Callable[[Library], None] = lambda library: None
    header: dict[str, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    users: int = 0
    _begun: Library | None = None
    _parts: list[bytes] = field(default_factory=list)
    _room: int = MOST_BYTES

    def see(self, frame: dict[str, Any]) -> None:
        """A line of the form's own that is neither the first nor the last."""
        if "function" in frame:
            self._add(frame)
        elif "user" in frame:
            if not isinstance(frame["user"], str):
                raise ValueError("the rule of a user is no text")
            self.users += 1

    def _add(self, frame: dict[str, Any]) -> None:
        name, engine, code = frame["function"], frame.get("engine"), unpack(frame.get("code"))
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(engine, str):
            raise ValueError("a function library has no such name or engine")
        if self._begun is None:
            self._begin(Library(name, engine[:80], code))
        elif name != self._begun.name:
            raise ValueError(f"the function library {self._begun.name[:80]} does not end")
        if frame.get("part") != len(self._parts):
            raise ValueError(f"a part of the function library {name[:80]} is missing")
        self._parts.append(code)
        self._room -= len(code) + _EACH_BYTES
        if self._room < 0:
            raise ValueError(f"its function libraries have more than {MOST_BYTES >> 20} MB of code")
        if frame.get("last") is True:
            self._end()

    def _begin(self, library: Library) -> None:
        if library.name in self.names:
            raise ValueError(f"it holds the function library {library.name[:80]} twice")
        self.names.add(library.name)
        self._room -= len(library.name)
        self._begun, self._parts = library, []

    def _end(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            self.take(Library(begun.name, begun.engine, b"".join(self._parts)))
        self._parts = []

    def finish(self, end: dict[str, Any]) -> None:
        """`end` is the last line. Files of consoles that wrote no libraries do not count any."""
        if self._begun is not None or end.get("functions", 0) != len(self.names):
            raise ValueError("it holds another number of function libraries than it says")
        if end.get("users", 0) != self.users:
            raise ValueError("it holds another number of ACL users than it says")
