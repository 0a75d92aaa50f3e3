"""The one crossing between bytes (below) and text (above).

`to_text` prints any bytes so that a person can read and retype them: UTF-8 stays as it is, what does not print becomes an
escape as redis-cli writes it (``\\n \\r \\t \\xff``), and a backslash is doubled, so that `from_text` gives the same bytes.
"""

import base64
import binascii
import re

from keyspace.errors import BadInput

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_NAMED_BACK = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\", '"': b'"', "a": b"\a", "b": b"\b"}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[nrtab\\\"])")
_PLAIN = re.compile(r"[ -\[\]-~]*\Z")
MAX_NAME_TEXT = 200_000


def to_text(data: bytes) -> str:
    """`data` as printable text; the inverse of `from_text`."""
    text = data.decode("utf-8", "surrogateescape")
    if _PLAIN.match(text):
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def from_text(text: str) -> bytes:
    """The bytes that `to_text` printed; an unknown escape stands for itself."""
    out, at = bytearray(), 0
    for found in _ESCAPE.finditer(text):
        out += text[at : found.start()].encode("utf-8", "surrogateescape")
        escape = found.group(1)
        out += bytes([int(escape[1:], 16)]) if escape[0] == "x" else _NAMED_BACK[escape]
        at = found.end()
    return bytes(out + text[at:].encode("utf-8", "surrogateescape"))


def key_id(name: bytes) -> str:
    """The address of a key: URL-safe base64 of its bytes without padding; ``~`` for the empty name."""
    return base64.urlsafe_b64encode(name).rstrip(b"=").decode() or "~"


def from_key_id(address: str) -> bytes:
    """The name behind an address made by `key_id`. Raises BadInput for anything `key_id` does not make."""
    if address == "~":
        return b""
    try:
        name = base64.b64decode(address + "=" * (-len(address) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        name = b""
    if not name or key_id(name) != address:
        raise BadInput(
            "This is not the address of a key.",
            "Open the key from the list, or type its name into the filter.",
        )
    return name
