"""What PHP's serialize() and its sessions write. Objects are shown, never made: ``{"$object": ["App\\\\User", {...}]}``.

Property names are shown with their visibility: ``name``, ``name (protected)``, ``name (private to App\\User)``.
"""

import re
from collections.abc import Callable

from keyspace.decoders.base import GLANCE, DecodeError
from keyspace.decoders.structured import Source, Structured
from keyspace.decoders.tree import Kind, Node, Put, number, tag, text, word

_BEGINS = re.compile(
    rb'(?:N;|b:[01];|i:[-+]?[0-9]+;|d:[-+0-9.EINFA]+;|[sSE]:[0-9]+:"|a:[0-9]+:\{|[OC]:[0-9]+:")',
    re.IGNORECASE,
)
_SESSION = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]{0,200}\|")
"""What stands before each value of a session, as PHP's own session handler writes it: ``name|value name|value``."""
_INTEGER = re.compile(rb"[-+]?[0-9]{1,20}\Z")
_FLOAT = re.compile(rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_ODD_FLOATS = {b"INF": "Infinity", b"-INF": "-Infinity", b"NAN": "NaN"}


class Php(Structured):
    name, label = "php", "PHP serialize"

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Its first letters, and the rest of the input as they promise."""
        return 80 if self.accepts(data, partial=partial) else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        session = _SESSION.match(data)
        if not _BEGINS.match(data, session.end() if session else 0):
            return False
        try:
            self.decode(data, GLANCE.begin(), partial=partial)
        except DecodeError:
            return False
        return True

    def read(self, source: Source, put: Put, depth: int = 1) -> None:
        source.enter(depth)
        if depth == 1 and _SESSION.match(source.data):
            return self._session(source, put)
        letter = source.take(1)
        if letter == b"N":
            _expect(source, b";")
            return put(word(None))
        _expect(source, b":")
        if letter == b"a":
            put(node := Node(Kind.MAP, []))
            return self._pairs(source, node, _count(source), depth)
        if letter in b"OC":
            return self._object(source, put, letter, depth)
        if letter == b"s":
            _quoted(source, put)
            return _expect(source, b";")
        if letter not in _SCALARS:
            raise DecodeError(f"PHP's serialize has no type {letter.decode('latin-1')!r}.")
        put(_SCALARS[letter](source))

    def _session(self, source: Source, put: Put) -> None:
        put(node := Node(Kind.MAP, []))
        while source.left:
            if not _SESSION.match(source.data, source.at):
                raise DecodeError("The PHP session has something that is no name and value.")
            pair = [text(source.until(b"|").decode("utf-8", "backslashreplace"))]
            node.value.append(pair)
            self.read(source, pair.append, 2)

    def _pairs(self, source: Source, node: Node, count: int, depth: int) -> None:
        """``{key value …}``; an array whose keys count from 0 becomes a list."""
        _expect(source, b"{")
        for _ in range(count):
            pair: list[Node] = []
            self.read(source, pair.append, depth + 1)
            if pair[0].kind not in (Kind.TEXT, Kind.NUMBER, Kind.TAG):
                raise DecodeError("A key of the PHP data is neither text nor an integer.")
            node.value.append(pair)
            self.read(source, pair.append, depth + 1)
        _expect(source, b"}")
        if count and all(
            key.kind is Kind.NUMBER and key.value == str(at) for at, (key, _) in enumerate(node.value)
        ):
            node.kind, node.value = Kind.LIST, [value for _, value in node.value]

    def _object(self, source: Source, put: Put, letter: bytes, depth: int) -> None:
        """``O``: properties. ``C``: bytes of the class's own making."""
        both = Node(Kind.LIST, [])
        put(tag("object", both))
        _quoted(source, both.value.append)
        _expect(source, b":")
        if letter == b"C":
            length = _count(source)
            _expect(source, b"{")
            both.value.append(source.string(length))
            return _expect(source, b"}")
        properties = Node(Kind.MAP, [])
        both.value.append(properties)
        self._pairs(source, properties, _count(source), depth + 1)
        if properties.kind is Kind.MAP:
            for key, _ in properties.value:
                _show_visibility(key)


def _expect(source: Source, mark: bytes) -> None:
    if source.take(len(mark)) != mark:
        raise DecodeError(f"The PHP data lacks {mark.decode()!r} at byte {source.at - len(mark)}.")


def _number(data: bytes) -> int:
    if not _INTEGER.match(data):
        raise DecodeError("The PHP data has an integer that is none.")
    return int(data)


def _count(source: Source) -> int:
    return _number(source.until(b":"))


def _quoted(source: Source, put: Put) -> None:
    """``length:"bytes"``; given away before its end is looked for, since it may be cut."""
    length = _count(source)
    _expect(source, b'"')
    put(source.string(length))
    _expect(source, b'"')


def _float(source: Source) -> Node:
    data = source.until(b";")
    if data in _ODD_FLOATS:
        return number(_ODD_FLOATS[data])
    if not _FLOAT.match(data):
        raise DecodeError("The PHP data has a float that is none.")
    return number(data.decode())


def _bool(source: Source) -> Node:
    data = source.until(b";")
    if data not in (b"0", b"1"):
        raise DecodeError("The PHP data has a boolean that is none.")
    return word(data == b"1")


def _case(source: Source) -> Node:
    found: list[Node] = []
    _quoted(source, found.append)
    _expect(source, b";")
    return tag("enum", found[0])


_SCALARS: dict[bytes, Callable[[Source], Node]] = {
    b"E": _case,
    b"b": _bool,
    b"i": lambda source: number(_number(source.until(b";"))),
    b"d": _float,
    b"r": lambda source: tag("reference", number(_number(source.until(b";")))),
    b"R": lambda source: tag("reference", number(_number(source.until(b";")))),
}


def _show_visibility(key: Node) -> None:
    """PHP writes a protected name as NUL * NUL name, a private one as NUL class NUL name."""
    parts = key.value.split("\0") if key.kind is Kind.TEXT else []
    if len(parts) == 3 and not parts[0]:
        key.value = f"{parts[2]} (protected)" if parts[1] == "*" else f"{parts[2]} (private to {parts[1]})"
