"""CBOR (RFC 8949), with a reader of our own: bounded, tags shown and never acted upon, true to the width of each value.

Byte strings are ``{"$bytes": "00ff"}``, tags ``{"$tag": [number, value]}``, other simple values ``{"$simple": 99}``; bignums are integers.
"""

from keyspace.decoders.base import EDITED, GLANCE, DecodeError, Full
from keyspace.decoders.cbor_writing import MARK, write
from keyspace.decoders.msgpack import looks_meant
from keyspace.decoders.notation import parse
from keyspace.decoders.structured import Source, Structured
from keyspace.decoders.tree import CUT, Kind, Node, Put, number, tag, word

_SIMPLE = {20: False, 21: True, 22: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
OPEN = 31
"""The additional information of what ends with a break."""
_BREAK = 0xFF


class Cbor(Structured):
    name, label = "cbor", "CBOR"
    writes = True
    shield = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Beyond doubt with the self-description tag; else a map with names that is the whole input."""
        if data.startswith(MARK):
            return 92
        if not data or data[0] >> 5 != 5 or data[0] == 0xA0:
            return 0
        try:
            grown = self.grow(data, GLANCE.begin(), partial=partial)
        except DecodeError:
            return 0
        if grown.left and not (grown.why or partial):
            return 0
        return 60 if looks_meant(grown.root) == 65 else 0

    def read(self, source: Source, put: Put, depth: int = 1) -> None:
        if depth == 1 and source.data.startswith(MARK):
            source.at = len(MARK)
        if not self._item(source, put, depth):
            raise DecodeError("A break of CBOR stands where a value should.")

    def _item(self, source: Source, put: Put, depth: int) -> bool:
        """Read one item; False when it was a break."""
        source.enter(depth)
        head = source.byte()
        if head == _BREAK:
            return False
        major, info = head >> 5, head & 31
        if major == 7:
            put(_simple(source, info))
            return True
        if info == OPEN and major in (0, 1, 6):
            raise DecodeError("The CBOR data has a number without an end.")
        value = None if info == OPEN else _argument(source, info)
        self._by_major(source, put, depth, major, value, info)
        return True

    def _by_major(
        self, source: Source, put: Put, depth: int, major: int, value: int | None, info: int
    ) -> None:
        if major == 4:
            self._list(source, put, value, info, depth)
        elif major == 5:
            self._map(source, put, value, info, depth)
        elif major in (2, 3):
            put(_string(source, major, value, info))
        elif major == 6:
            self._tag(source, put, value or 0, info, depth)
        else:
            put(number(value or 0 if major == 0 else -1 - (value or 0), info))

    def _list(self, source: Source, put: Put, count: int | None, info: int, depth: int) -> None:
        node = Node(Kind.LIST, [], info)
        put(node)
        while count is None or len(node.value) < count:
            if not self._item(source, node.value.append, depth + 1):
                return _closes(count)

    def _map(self, source: Source, put: Put, count: int | None, info: int, depth: int) -> None:
        node = Node(Kind.MAP, [], info)
        put(node)
        while count is None or len(node.value) < count:
            pair: list[Node] = []
            if not self._item(source, pair.append, depth + 1):
                return _closes(count)
            node.value.append(pair)
            if not self._item(source, pair.append, depth + 1):
                raise DecodeError("A map of CBOR ends with a key that has no value.")

    def _tag(self, source: Source, put: Put, code: int, info: int, depth: int) -> None:
        inner: list[Node] = []
        both = Node(Kind.LIST, [number(code, info)])
        node = tag("tag", both, info)
        put(node)

        def place(found: Node) -> None:
            inner.append(found)
            both.value.append(found)

        if not self._item(source, place, depth + 1):
            raise DecodeError("A tag of CBOR has no value.")
        if code in (2, 3) and inner[0].kind is Kind.TAG and inner[0].value[0] == "bytes":
            _as_bignum(node, code, info, inner[0])

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """Each value in the width it had in `like`; what began with the self-description tag does so again."""
        node = parse(text, EDITED, tags=True)
        try:
            model = self.grow(like, EDITED).root if like else None
        except DecodeError:
            model = None
        out = bytearray(MARK if like.startswith(MARK) else b"")
        write(node, model, out)
        return bytes(out)


def _closes(count: int | None) -> None:
    if count is not None:
        raise DecodeError("The CBOR data has a break within something of known length.")


def _argument(source: Source, info: int) -> int:
    if info < 24:
        return info
    if info > 27:
        raise DecodeError("The CBOR data has a reserved length.")
    return source.uint(1 << info - 24)


def _simple(source: Source, info: int) -> Node:
    if info in _FLOATS:
        return number(float(source.unpack(_FLOATS[info])), ("float", info))
    if info in _SIMPLE:
        return word(_SIMPLE[info], info)
    if info == 23:
        return tag("undefined", word(True), info)
    if info < 24:
        return tag("simple", number(info), info)
    if info == 24 and (value := source.byte()) >= 32:
        return tag("simple", number(value), info)
    raise DecodeError("The CBOR data has a reserved simple value.")


def _string(source: Source, major: int, length: int | None, info: int) -> Node:
    if length is None:
        data = _chunks(source, major)
        source = Source(data, source.limits)
        length = len(data)
    if major == 2:
        return source.binary(length, info)
    node = source.string(length, info)
    if node.kind is not Kind.TEXT:
        raise DecodeError("A text of the CBOR data is not UTF-8.")
    return node


def _chunks(source: Source, major: int) -> bytes:
    """A string in pieces, each of known length, up to a break."""
    out = bytearray()
    while (head := source.byte()) != _BREAK:
        source.enter(1)
        if head >> 5 != major or head & 31 == OPEN:
            raise DecodeError("A string of the CBOR data has a piece of another type.")
        out += source.take(_argument(source, head & 31))
    return bytes(out)


def _as_bignum(node: Node, code: int, info: int, inside: Node) -> None:
    """Show tags 2 and 3 as the integer they are."""
    digits = inside.value[1].value
    if digits.endswith(CUT):
        return
    value = int(digits or "0", 16)
    if value.bit_length() > 1 << 20:
        raise Full("an integer is longer than a million bits.")
    plain = number(-1 - value if code == 3 else value, ("big", info, inside.form, len(digits) // 2))
    node.kind, node.value, node.form = plain.kind, plain.value, plain.form
