"""Schemas of Avro: from their JSON to readers of one value each. They come from the data, so nothing in them is trusted."""

from collections.abc import Callable
from typing import Any

from keyspace.decoders.base import DecodeError
from keyspace.decoders.structured import Source
from keyspace.decoders.tree import Kind, Node, Put, number, text, word

Read = Callable[[Source, Put, int], None]
_DEEPEST = 60
_MOST = 5000
"""Types one schema may have."""


class Schema:
    """A type: what it is called, and how to read one value of it (set once the types it refers to are known)."""

    def __init__(self, label: str, read: Read | None = None) -> None:
        self.label, self._read = label, read

    def read(self, source: Source, put: Put, depth: int) -> None:
        source.enter(depth)
        if self._read is None:
            raise DecodeError("The Avro schema refers to a type that it does not describe.")
        self._read(source, put, depth)

    def reads(self, read: Read) -> "Schema":
        self._read = read
        return self


class SchemaReader:
    """Reads one schema; remembers named types, which may be referred to by name, also within themselves."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}
        self.count = 0

    def read(self, described: Any, space: str = "", depth: int = 0) -> Schema:
        """The Schema that the JSON value describes. Raises DecodeError."""
        self.count += 1
        if depth > _DEEPEST or self.count > _MOST:
            raise DecodeError("The Avro schema is too large.")
        if isinstance(described, str):
            return self._by_name(described, space)
        if isinstance(described, list):
            return self._union([self.read(each, space, depth + 1) for each in described])
        if isinstance(described, dict):
            return self._complex(described, space, depth)
        raise DecodeError("The Avro schema has something that is no type.")

    def _by_name(self, name: str, space: str) -> Schema:
        if name in _PRIMITIVES:
            return Schema(name, _PRIMITIVES[name])
        for full in (name, f"{space}.{name}"):
            if full in self.named:
                return self.named[full]
        raise DecodeError(f"The Avro schema refers to a type {name[:60]!r} that it does not describe.")

    def _complex(self, described: dict[str, Any], space: str, depth: int) -> Schema:
        kind = described.get("type")
        if kind == "array":
            return Schema("array", _list(self.read(described.get("items"), space, depth + 1)))
        if kind == "map":
            return Schema("map", _map(self.read(described.get("values"), space, depth + 1)))
        if kind in ("record", "error", "enum", "fixed"):
            return self._named(str(kind), described, space, depth)
        return self.read(kind, space, depth + 1)

    def _named(self, kind: str, described: dict[str, Any], space: str, depth: int) -> Schema:
        name = str(described.get("name", ""))
        space = name.rpartition(".")[0] or str(described.get("namespace", space))
        schema = Schema(f"{kind} {name}")
        self.named[name] = self.named[f"{space}.{name}"] = schema
        if kind == "enum":
            return schema.reads(_enum([str(symbol) for symbol in _list_in(described, "symbols")]))
        if kind == "fixed":
            return schema.reads(_fixed(described.get("size")))
        fields = [each for each in _list_in(described, "fields") if isinstance(each, dict)]
        return schema.reads(
            _record(
                [(str(each.get("name")), self.read(each.get("type"), space, depth + 1)) for each in fields]
            )
        )

    def _union(self, branches: list[Schema]) -> Schema:
        def read(source: Source, put: Put, depth: int) -> None:
            chosen = long(source)
            if not 0 <= chosen < len(branches):
                raise DecodeError("The Avro data chooses a branch that its union does not have.")
            branches[chosen].read(source, put, depth + 1)

        return Schema("union", read)


def _list_in(described: dict[str, Any], key: str) -> list[Any]:
    found = described.get(key)
    if not isinstance(found, list):
        raise DecodeError(f"The Avro schema has a type without {key}.")
    return found


def long(source: Source) -> int:
    """A zigzag varint of at most 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        byte = source.byte()
        value |= (byte & 127) << shift
        if byte < 128:
            return value >> 1 ^ -(value & 1)
    raise DecodeError("The Avro data has an integer of more than 64 bits.")


def _record(fields: list[tuple[str, Schema]]) -> Read:
    def read(source: Source, put: Put, depth: int) -> None:
        node = Node(Kind.MAP, [])
        put(node)
        for name, schema in fields:
            pair = [text(name)]
            node.value.append(pair)
            schema.read(source, pair.append, depth + 1)

    return read


def _blocks(source: Source, one: Callable[[], None]) -> None:
    """Items in counted blocks up to an empty one; a negative count is followed by the block's length in bytes."""
    while count := long(source):
        if count < 0:
            long(source)
        for _ in range(abs(count)):
            one()


def _list(items: Schema) -> Read:
    def read(source: Source, put: Put, depth: int) -> None:
        node = Node(Kind.LIST, [])
        put(node)
        _blocks(source, lambda: items.read(source, node.value.append, depth + 1))

    return read


def _map(values: Schema) -> Read:
    def read(source: Source, put: Put, depth: int) -> None:
        node = Node(Kind.MAP, [])
        put(node)

        def one() -> None:
            pair = [_text(source)]
            node.value.append(pair)
            values.read(source, pair.append, depth + 1)

        _blocks(source, one)

    return read


def _enum(symbols: list[str]) -> Read:
    def read(source: Source, put: Put, depth: int) -> None:
        chosen = long(source)
        if not 0 <= chosen < len(symbols):
            raise DecodeError("The Avro data chooses a symbol that its enum does not have.")
        put(text(symbols[chosen]))

    return read


def _fixed(width: Any) -> Read:
    if not isinstance(width, int) or width < 0:
        raise DecodeError("The Avro schema has a fixed type without a size.")
    return lambda source, put, depth: put(source.binary(width))


def _text(source: Source) -> Node:
    return source.string(long(source))


def _bool(source: Source, put: Put, depth: int) -> None:
    value = source.byte()
    if value > 1:
        raise DecodeError("A boolean of the Avro data is neither true nor false.")
    put(word(bool(value)))


_PRIMITIVES: dict[str, Read] = {
    "null": lambda source, put, depth: put(word(None)),
    "boolean": _bool,
    "int": lambda source, put, depth: put(number(long(source))),
    "long": lambda source, put, depth: put(number(long(source))),
    "float": lambda source, put, depth: put(number(float(source.unpack("<f")))),
    "double": lambda source, put, depth: put(number(float(source.unpack("<d")))),
    "bytes": lambda source, put, depth: put(source.binary(long(source))),
    "string": lambda source, put, depth: put(_text(source)),
}
