"""MessagePack, with a reader of our own: bounded, and true to how each value was written (the spec's format bytes).

Binary is shown as ``{"$bytes": "00ff"}``, an extension as ``{"$ext": [type, "00ff"]}``, the timestamp extension as
``{"$timestamp": "…Z"}``.
"""

import struct

from keyspace.decoders.base import EDITED, GLANCE, DecodeError, Limits
from keyspace.decoders.msgpack_writing import write
from keyspace.decoders.notation import parse
from keyspace.decoders.structured import Source, Structured
from keyspace.decoders.times import instant
from keyspace.decoders.tree import Kind, Node, Put, number, tag, text, word

_WORDS = {0xC0: None, 0xC2: False, 0xC3: True}
_UINTS = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
_INTS = {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FLOATS = {0xCA: ">f", 0xCB: ">d"}
_STRINGS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINARIES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_LISTS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_EXTS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
TIMESTAMP = 255


class Msgpack(Structured):
    name, label = "msgpack", "MessagePack"
    writes = True
    shield = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """A map or an array, the whole of the input, and such as programs write: see `looks_meant`."""
        if not data or not (0x81 <= data[0] <= 0x9F or 0xDC <= data[0] <= 0xDF):
            return 0
        try:
            grown = self.grow(data, GLANCE.begin(), partial=partial)
        except DecodeError:
            return 0
        if grown.left and not (grown.why or partial):
            return 0
        return looks_meant(grown.root)

    def read(self, source: Source, put: Put, depth: int = 1) -> None:
        source.enter(depth)
        head = source.byte()
        if head < 0x80 or head >= 0xE0:
            put(number(head if head < 0x80 else head - 256, head))
        elif head < 0x90 or head in _MAPS:
            self._map(source, put, head, source.uint(_MAPS[head]) if head in _MAPS else head & 15, depth)
        elif head < 0xA0 or head in _LISTS:
            self._list(source, put, head, source.uint(_LISTS[head]) if head in _LISTS else head & 15, depth)
        elif head < 0xC0 or head in _STRINGS:
            put(source.string(source.uint(_STRINGS[head]) if head in _STRINGS else head & 31, head))
        elif head in _WORDS:
            put(word(_WORDS[head], head))
        else:
            put(_scalar(source, head))

    def _list(self, source: Source, put: Put, head: int, count: int, depth: int) -> None:
        node = Node(Kind.LIST, [], head)
        put(node)
        for _ in range(count):
            self.read(source, node.value.append, depth + 1)

    def _map(self, source: Source, put: Put, head: int, count: int, depth: int) -> None:
        node = Node(Kind.MAP, [], head)
        put(node)
        for _ in range(count):
            pair: list[Node] = []
            self.read(source, pair.append, depth + 1)
            node.value.append(pair)
            self.read(source, pair.append, depth + 1)

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """Each value in the width and form it had in `like`, so that what was not edited stays byte for byte."""
        node = parse(text, EDITED, tags=True)
        out = bytearray()
        write(node, self._model(like, EDITED), out)
        return bytes(out)

    def _model(self, like: bytes, limits: Limits) -> Node | None:
        try:
            return self.grow(like, limits).root
        except DecodeError:
            return None


def _scalar(source: Source, head: int) -> Node:
    if head in _UINTS:
        return number(source.uint(_UINTS[head]), head)
    if head in _INTS:
        return number(int.from_bytes(source.take(_INTS[head]), "big", signed=True), head)
    if head in _FLOATS:
        return number(float(source.unpack(_FLOATS[head])), head)
    if head in _BINARIES:
        return source.binary(source.uint(_BINARIES[head]), head)
    if head in _EXTS or head in _FIXED_EXTS:
        length = source.uint(_EXTS[head]) if head in _EXTS else _FIXED_EXTS[head]
        return _extension(source.byte(), source.take(length), head)
    raise DecodeError(f"The byte {head:#04x} has no meaning in MessagePack.")


def _extension(code: int, data: bytes, head: int) -> Node:
    if code == TIMESTAMP and (shown := _timestamp(data)):
        return tag("timestamp", text(shown), head)
    kind = number(code - 256 if code > 127 else code)
    return tag("ext", Node(Kind.LIST, [kind, text(data.hex())]), head)


def _timestamp(data: bytes) -> str | None:
    """Its three forms: seconds; 30 bits of nanoseconds and 34 of seconds; nanoseconds and signed seconds."""
    if len(data) == 4:
        return instant(int.from_bytes(data, "big"), 0)
    if len(data) == 8:
        both = int.from_bytes(data, "big")
        return instant(both & (1 << 34) - 1, both >> 34)
    if len(data) == 12:
        nanoseconds, seconds = struct.unpack(">Iq", data)
        return instant(seconds, nanoseconds)
    return None


def looks_meant(root: Node) -> int:
    """65 for a map whose keys are names or numbers, 55 for a list with names or such a map in it, 0 for what chance may give."""
    if root.kind is Kind.MAP:
        keys = [pair[0] for pair in root.value]
        named = keys and all(_is_name(key) for key in keys)
        numbered = len(keys) > 1 and all(key.kind is Kind.NUMBER for key in keys)
        return (
            65
            if named
            else 55
            if numbered and any(_is_name(value) for _, *rest in root.value for value in rest)
            else 0
        )
    items = root.value
    return 55 if any(_is_name(item) or (item.kind is Kind.MAP and looks_meant(item)) for item in items) else 0


def _is_name(node: Node) -> bool:
    return node.kind is Kind.TEXT and len(node.value) > 0 and node.value.isprintable()
