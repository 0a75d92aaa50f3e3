"""Writing MessagePack: the smallest form, or the form that the model has."""

import struct
from collections.abc import Sequence

from keyspace.decoders.base import DecodeError
from keyspace.decoders.models import Model, form_of, item_models, pair_models
from keyspace.decoders.notation import read_number
from keyspace.decoders.times import read_instant
from keyspace.decoders.tree import Kind, Node

# (head, the largest count it holds, bytes of the count); a count within the head itself has none.
_Family = Sequence[tuple[int, int, int]]
_STR: _Family = ((0xA0, 31, 0), (0xD9, 0xFF, 1), (0xDA, 0xFFFF, 2), (0xDB, 0xFFFFFFFF, 4))
_BIN: _Family = ((0xC4, 0xFF, 1), (0xC5, 0xFFFF, 2), (0xC6, 0xFFFFFFFF, 4))
_LIST: _Family = ((0x90, 15, 0), (0xDC, 0xFFFF, 2), (0xDD, 0xFFFFFFFF, 4))
_MAP: _Family = ((0x80, 15, 0), (0xDE, 0xFFFF, 2), (0xDF, 0xFFFFFFFF, 4))
_EXT: _Family = ((0xC7, 0xFF, 1), (0xC8, 0xFFFF, 2), (0xC9, 0xFFFFFFFF, 4))
_FIXED_EXT = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
_UINTS = ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8))
_INTS = ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8))
_WORDS = {"null": 0xC0, "false": 0xC2, "true": 0xC3}


def write(node: Node, model: Model, out: bytearray) -> None:
    """Append `node`. Raises DecodeError for what MessagePack has no form for."""
    if node.kind is Kind.MAP:
        _head(_MAP, len(node.value), form_of(node, model), out)
        for key, key_model, value, value_model in pair_models(node, model):
            write(key, key_model, out)
            write(value, value_model, out)
    elif node.kind is Kind.LIST:
        _head(_LIST, len(node.value), form_of(node, model), out)
        for item, item_model in item_models(node, model):
            write(item, item_model, out)
    elif node.kind is Kind.TEXT:
        _text(node, model, out)
    elif node.kind is Kind.WORD:
        out.append(_WORDS[node.value])
    elif node.kind is Kind.NUMBER:
        _number(node.value, form_of(node, model), out)
    else:
        _tag(node, form_of(node, model), out)


def _text(node: Node, model: Model, out: bytearray) -> None:
    try:
        data = node.value.encode()
    except UnicodeEncodeError as error:
        raise DecodeError("A string has half of a surrogate pair, which MessagePack cannot hold.") from error
    _head(_STR, len(data), form_of(node, model), out)
    out += data


def _fits(family: _Family, head: object, count: int) -> tuple[int, int, int] | None:
    for row in family:
        within = row[2] == 0 and isinstance(head, int) and row[0] <= head <= row[0] + row[1]
        if (within or row[0] == head) and count <= row[1]:
            return row
    return None


def _head(family: _Family, count: int, form: object, out: bytearray) -> None:
    row = _fits(family, form, count) or next((row for row in family if count <= row[1]), None)
    if row is None:
        raise DecodeError("A value is too long for MessagePack.")
    head, _, width = row
    out += bytes([head]) + count.to_bytes(width, "big") if width else bytes([head | count])


def _number(shown: str, form: object, out: bytearray) -> None:
    value = read_number(shown)
    if isinstance(value, float):
        return _float(value, form, out)
    rows = [(head, width) for head, width in _UINTS if 0 <= value < 1 << 8 * width]
    rows += [(head, width) for head, width in _INTS if -(1 << 8 * width - 1) <= value < 1 << 8 * width - 1]
    for head, width in rows:
        if head == form:
            return _integer(value, head, width, out)
    if -32 <= value < 128:
        out.append(value & 255)
    elif rows:
        signed = [row for row in rows if isinstance(form, int) and 0xD0 <= form <= 0xD3 and row in _INTS]
        _integer(value, *(signed or rows)[0], out)
    else:
        raise DecodeError(
            f"The integer {shown[:40]} does not fit in 64 bits, which is all that MessagePack has."
        )


def _integer(value: int, head: int, width: int, out: bytearray) -> None:
    out.append(head)
    out += (value % (1 << 8 * width)).to_bytes(width, "big")


def _float(value: float, form: object, out: bytearray) -> None:
    if form == 0xCA:
        try:
            single = struct.pack(">f", value)
        except OverflowError:
            single = b""
        if single and (struct.unpack(">f", single)[0] == value or value != value):
            out += b"\xca" + single
            return
    out += b"\xcb" + struct.pack(">d", value)


def _tag(node: Node, form: object, out: bytearray) -> None:
    name, inside = node.value
    if name == "bytes":
        data = hex_of(inside)
        family = _STR if isinstance(form, int) and (0xA0 <= form < 0xC0 or 0xD9 <= form <= 0xDB) else _BIN
        _head(family, len(data), form, out)
        out += data
    elif name == "ext" and inside.kind is Kind.LIST and len(inside.value) == 2:
        _extension(_code_of(inside.value[0]), hex_of(inside.value[1]), form, out)
    elif name == "timestamp" and inside.kind is Kind.TEXT:
        _extension(255, _timestamp(inside.value, form), form, out)
    else:
        raise DecodeError(f'MessagePack has nothing for {{"${name[:40]}": …}}.')


def _extension(code: int, data: bytes, form: object, out: bytearray) -> None:
    fixed = _FIXED_EXT.get(len(data))
    if fixed is not None and not _fits(_EXT, form, len(data)):
        out.append(fixed)
    else:
        _head(_EXT, len(data), form, out)
    out.append(code)
    out += data


def _timestamp(shown: str, form: object) -> bytes:
    """In the form of the model where it holds the time (0xD6: seconds in 32 bits, 0xD7: 34 bits and nanoseconds), or the smallest."""
    seconds, nanoseconds = read_instant(shown)
    if 0 <= seconds < 1 << 32 and not nanoseconds and form not in (0xD7, 0xC7):
        return seconds.to_bytes(4, "big")
    if 0 <= seconds < 1 << 34 and form != 0xC7:
        return (nanoseconds << 34 | seconds).to_bytes(8, "big")
    return struct.pack(">Iq", nanoseconds, seconds)


def _code_of(node: Node) -> int:
    if (
        node.kind is not Kind.NUMBER
        or not node.value.lstrip("-").isdigit()
        or not -128 <= int(node.value) < 128
    ):
        raise DecodeError("The type of an extension is an integer from -128 to 127.")
    return int(node.value) & 255


def hex_of(node: Node) -> bytes:
    """The bytes of a text of hex digits. Raises DecodeError."""
    try:
        return bytes.fromhex(node.value if node.kind is Kind.TEXT else "?")
    except ValueError as error:
        raise DecodeError('Bytes are written as hex digits: {"$bytes": "00ff"}.') from error
