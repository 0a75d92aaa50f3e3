"""Writing CBOR: the smallest form, or the width that the model has."""

import struct

from keyspace.decoders.base import DecodeError
from keyspace.decoders.models import Model, form_of, item_models, pair_models
from keyspace.decoders.msgpack_writing import hex_of
from keyspace.decoders.notation import read_number
from keyspace.decoders.tree import Kind, Node

MARK = b"\xd9\xd9\xf7"
"""The self-description tag, 55799."""
_WORDS = {"false": 0xF4, "true": 0xF5, "null": 0xF6}
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG = range(7)
_FLOATS = ((25, ">e"), (26, ">f"), (27, ">d"))


def write(node: Node, model: Model, out: bytearray) -> None:
    """Append `node`. Raises DecodeError for what CBOR has no form for."""
    form = form_of(node, model)
    if node.kind is Kind.MAP:
        _open(_MAP, len(node.value), form, out)
        for key, key_model, value, value_model in pair_models(node, model):
            write(key, key_model, out)
            write(value, value_model, out)
        _close(form, out)
    elif node.kind is Kind.LIST:
        _open(_LIST, len(node.value), form, out)
        for item, item_model in item_models(node, model):
            write(item, item_model, out)
        _close(form, out)
    elif node.kind is Kind.TEXT:
        _string(_TEXT, _utf8(node.value), form, out)
    elif node.kind is Kind.WORD:
        out.append(_WORDS[node.value])
    elif node.kind is Kind.NUMBER:
        _number(node.value, form, out)
    else:
        _tag(node, model, form, out)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise DecodeError("A string has half of a surrogate pair, which CBOR cannot hold.") from error


def _head(major: int, value: int, form: object, out: bytearray) -> None:
    """The initial byte and its argument, in the width of `form` (its additional information) where that holds it."""
    smallest = value if value < 24 else 24 + next(at for at in range(4) if value < 1 << (8 << at))
    info = form if isinstance(form, int) and max(smallest, 24) <= form <= 27 else smallest
    out.append(major << 5 | info)
    if info >= 24:
        out += value.to_bytes(1 << info - 24, "big")


def _open(major: int, count: int, form: object, out: bytearray) -> None:
    if form == 31:
        out.append(major << 5 | 31)
    else:
        _head(major, count, form, out)


def _close(form: object, out: bytearray) -> None:
    if form == 31:
        out.append(0xFF)


def _string(major: int, data: bytes, form: object, out: bytearray) -> None:
    _head(major, len(data), form, out)
    out += data


def _number(shown: str, form: object, out: bytearray) -> None:
    value = read_number(shown)
    if isinstance(value, float):
        return _float(value, form, out)
    major, argument = (_NEGATIVE, -1 - value) if value < 0 else (_UNSIGNED, value)
    if argument < 1 << 64 and not isinstance(form, tuple):
        _head(major, argument, form, out)
    elif isinstance(form, tuple) and form[0] == "big" or argument >= 1 << 64:
        _bignum(major, argument, form, out)
    else:
        _head(major, argument, None, out)


def _bignum(major: int, argument: int, form: object, out: bytearray) -> None:
    tag_form, string_form, length = (
        form[1:] if isinstance(form, tuple) and form[0] == "big" else (None, None, 0)
    )
    data = argument.to_bytes(max((argument.bit_length() + 7) // 8, length), "big")
    _head(_TAG, 2 + major, tag_form, out)
    _string(_BYTES, data, string_form, out)


def _float(value: float, form: object, out: bytearray) -> None:
    """In the width of the model where it holds the number, else in 64 bits."""
    wanted = form[1] if isinstance(form, tuple) and form[0] == "float" else 27
    for info, layout in _FLOATS:
        if info < wanted:
            continue
        try:
            data = struct.pack(layout, value)
        except OverflowError:
            continue
        if struct.unpack(layout, data)[0] == value or value != value:
            out.append(0xE0 | info)
            out += data
            return


def _tag(node: Node, model: Model, form: object, out: bytearray) -> None:
    name, inside = node.value
    if name == "bytes":
        _string(_BYTES, hex_of(inside), form, out)
    elif name == "undefined":
        out.append(0xF7)
    elif name == "simple":
        _simple(_integer(inside, 255), form, out)
    elif name == "tag" and inside.kind is Kind.LIST and len(inside.value) == 2:
        old = (
            model.value[1].value
            if model is not None and model.kind is Kind.TAG and model.value[0] == "tag"
            else []
        )
        _head(_TAG, _integer(inside.value[0], (1 << 64) - 1), form, out)
        write(inside.value[1], old[1] if len(old) == 2 else None, out)
    else:
        raise DecodeError(f'CBOR has nothing for {{"${name[:40]}": …}}.')


def _simple(value: int, form: object, out: bytearray) -> None:
    if 20 <= value < 32:
        raise DecodeError("The simple values 20 to 31 of CBOR have other meanings.")
    out += bytes([0xE0 | value]) if value < 24 else bytes([0xF8, value])


def _integer(node: Node, largest: int) -> int:
    if (
        node.kind is not Kind.NUMBER
        or not node.value.isdigit()
        or len(node.value) > 20
        or int(node.value) > largest
    ):
        raise DecodeError(f"An integer from 0 to {largest} is expected here.")
    return int(node.value)
