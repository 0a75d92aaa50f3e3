"""JSON, pretty: formatted token by token, so that no number, key or order changes, and written back as it was laid out."""

import json
import re
from dataclasses import replace

from keyspace.decoders.base import EDITED, DecodeError, Full, Layer, Limits, Reading
from keyspace.decoders.notation import Notation, parse
from keyspace.decoders.printing import Printer, Style
from keyspace.decoders.structured import Ended, print_tree
from keyspace.decoders.tree import Node
from keyspace.decoders.utf8 import utf8

_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*[{\["]')
_ONE_LINE = tuple(
    Style(indent=None, comma=comma, colon=colon) for comma, colon in ((",", ":"), (", ", ": "), (",", ": "))
)
"""As JavaScript and Go write, as Python does, and as some do by hand."""
BOM = "\ufeff"
"""The byte order mark, which some writers put first; it is kept."""
_INDENT = re.compile(r"[\[{]\n([ \t]*)")


class Json(Reading):
    name, label = "json", "JSON"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Objects, arrays and strings; a bare number or word is not worth the name."""
        if not _BEGINS.match(data):
            return 0
        if partial:
            return 75 if self.accepts(data, partial=True) else 0
        try:
            json.loads(data.decode("utf-8-sig"), parse_int=len, parse_float=len)
        except (ValueError, RecursionError):
            return 0
        return 75

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        source = utf8(data, partial=partial)
        if source is None:
            raise DecodeError("This is not JSON: it is not UTF-8 text.")
        notation, why = Notation(source.removeprefix(BOM), limits), ""
        try:
            notation.read()
        except Full as full:
            why = str(full)
        except Ended:
            if not partial:
                raise
        if notation.root is None:
            raise DecodeError("The part that was read has no JSON value yet.")
        layer = print_tree(notation.root, limits, why=why, cut=partial)
        return replace(layer, kind="json", note=_odd(layer))

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """Laid out as `like` was; as it was typed where `like` follows no layout of ours. Raises DecodeError for text that is not JSON."""
        root = parse(text, EDITED)
        style = _style_of(like)
        return (_write(root, style) if style else text).encode()


def _odd(layer: Layer) -> str:
    """The note, with a word on what a tree has that JSON should not."""
    if layer.cut or layer.kind == "json":
        return layer.note
    return f"NaN and Infinity are no JSON of the standard. {layer.note}".strip()


def _write(root: Node, style: Style) -> str:
    return Printer(EDITED.output * 8, style).print(root)[0]


def _style_of(like: bytes) -> Style | None:
    """The Style that gives `like` back exactly, or None."""
    source = utf8(like)
    if not source:
        return None
    try:
        root = parse(source.removeprefix(BOM), EDITED)
    except DecodeError:
        return None
    core = source.strip(BOM + " \t\r\n")
    lead, end = source[: source.index(core)], source[source.index(core) + len(core) :]
    in_ascii = core.isascii() and bool(re.search(r"\\u(?:00[7-9a-f]|0[1-9a-f]|[1-9a-f])[0-9a-f]+", core))
    html = bool(re.search(r"\\u00(?:3c|3e|26)", core))
    indent = _INDENT.search(core)
    for style in [Style(indent=indent.group(1))] if indent else _ONE_LINE:
        fitting = replace(style, lead=lead, end=end, ascii=in_ascii, slash="\\/" in core, html=html)
        if _write(root, fitting) == source:
            return fitting
    return None
