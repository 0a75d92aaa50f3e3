"""BSON (bsonspec.org), with a reader of our own. Types that JSON lacks are shown as MongoDB's Extended JSON has them, relaxed."""

from collections.abc import Callable

from bson.decimal128 import Decimal128

from keyspace.decoders.base import GLANCE, DecodeError
from keyspace.decoders.structured import Source, Structured
from keyspace.decoders.times import instant
from keyspace.decoders.tree import CUT, Kind, Node, Put, number, tag, text, word

_DOCUMENT, _ARRAY = 0x03, 0x04
_CODE_WITH_SCOPE = 0x0F


class Bson(Structured):
    name, label = "bson", "BSON"

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """By its length, its end and a first element; all of it is read to be sure."""
        if len(data) < 8 or not self.accepts(data, partial=partial):
            return 0
        return 90 if not partial or data[4] in _READERS else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        if len(data) < 5 or (length := int.from_bytes(data[:4], "little")) < 5:
            return False
        if partial:
            return length > len(data) and self._reads(data, partial=True)
        return length == len(data) and data[-1] == 0 and self._reads(data, partial=False)

    def _reads(self, data: bytes, *, partial: bool) -> bool:
        try:
            self.decode(data, GLANCE.begin(), partial=partial)
        except DecodeError:
            return False
        return True

    def read(self, source: Source, put: Put, depth: int = 1) -> None:
        self._document(source, put, _DOCUMENT, depth)

    def _document(self, source: Source, put: Put, kind: int, depth: int) -> None:
        """The length counts the whole document; it must agree with where the elements end."""
        source.enter(depth)
        start = source.at
        length = int.from_bytes(source.take(4), "little", signed=True)
        node = Node(Kind.LIST if kind == _ARRAY else Kind.MAP, [])
        put(node)
        while code := source.byte():
            key = _cstring(source)
            self._element(source, _placer(node, key), code, depth + 1)
        if source.at - start != length:
            raise DecodeError("A document of the BSON data is not as long as it says.")

    def _element(self, source: Source, put: Put, code: int, depth: int) -> None:
        if code in (_DOCUMENT, _ARRAY):
            return self._document(source, put, code, depth)
        source.enter(depth)
        if code == _CODE_WITH_SCOPE:
            return self._code_with_scope(source, put, depth)
        if code not in _READERS:
            raise DecodeError(f"The BSON data has an element of unknown type {code:#04x}.")
        put(_READERS[code](source))

    def _code_with_scope(self, source: Source, put: Put, depth: int) -> None:
        source.take(4)
        both = Node(Kind.MAP, [[text("$code"), text(_string(source))]])
        put(both)
        scope = [text("$scope")]
        both.value.append(scope)
        self._document(source, scope.append, _DOCUMENT, depth + 1)


def _placer(node: Node, key: str) -> Put:
    """Arrays have their indices as keys, which say nothing."""
    if node.kind is Kind.LIST:
        append: Put = node.value.append
        return append
    pair = [text(key)]
    node.value.append(pair)
    return pair.append


def _cstring(source: Source) -> str:
    return source.until(b"\0").decode("utf-8", "backslashreplace")


def _string(source: Source) -> str:
    length = int.from_bytes(source.take(4), "little", signed=True)
    if length < 1:
        raise DecodeError("A string of the BSON data has no length.")
    data = source.run(length)
    if len(data) < length:
        return data.decode("utf-8", "ignore") + CUT
    if data[-1]:
        raise DecodeError("A string of the BSON data does not end where it says.")
    return data[:-1].decode("utf-8", "backslashreplace")


def _signed(source: Source, width: int) -> int:
    return int.from_bytes(source.take(width), "little", signed=True)


def _binary(source: Source) -> Node:
    length = _signed(source, 4)
    subtype = source.byte()
    data = source.run(length)
    shown = [[text("hex"), text(data.hex() + CUT * (len(data) < length))], [text("subType"), number(subtype)]]
    return tag("binary", Node(Kind.MAP, shown))


def _date(source: Source) -> Node:
    milliseconds = _signed(source, 8)
    seconds, rest = divmod(milliseconds, 1000)
    shown = instant(seconds, rest * 10**6)
    return tag("date", text(shown) if shown else number(milliseconds))


def _regex(source: Source) -> Node:
    pattern, options = _cstring(source), _cstring(source)
    return tag("regularExpression", _map(pattern=text(pattern), options=text(options)))


def _timestamp(source: Source) -> Node:
    increment, seconds = (int.from_bytes(source.take(4), "little") for _ in range(2))
    return tag("timestamp", _map(t=number(seconds), i=number(increment)))


def _pointer(source: Source) -> Node:
    name = _string(source)
    return tag("dbPointer", _map(**{"$ref": text(name), "$id": _object_id(source)}))


def _object_id(source: Source) -> Node:
    return tag("oid", text(source.take(12).hex()))


def _map(**pairs: Node) -> Node:
    return Node(Kind.MAP, [[text(key), value] for key, value in pairs.items()])


def _bool(source: Source) -> Node:
    value = source.byte()
    if value > 1:
        raise DecodeError("A boolean of the BSON data is neither true nor false.")
    return word(bool(value))


_READERS: dict[int, Callable[[Source], Node]] = {
    0x01: lambda source: number(float(source.unpack("<d"))),
    0x02: lambda source: text(_string(source)),
    _DOCUMENT: lambda source: word(None),
    _ARRAY: lambda source: word(None),
    0x05: _binary,
    0x06: lambda source: tag("undefined", word(True)),
    0x07: _object_id,
    0x08: _bool,
    0x09: _date,
    0x0A: lambda source: word(None),
    0x0B: _regex,
    0x0C: _pointer,
    0x0D: lambda source: tag("code", text(_string(source))),
    0x0E: lambda source: tag("symbol", text(_string(source))),
    0x10: lambda source: number(_signed(source, 4)),
    0x11: _timestamp,
    0x12: lambda source: number(_signed(source, 8)),
    0x13: lambda source: tag("numberDecimal", text(str(Decimal128.from_bid(source.take(16))))),
    0x7F: lambda source: tag("maxKey", number(1)),
    0xFF: lambda source: tag("minKey", number(1)),
}
