"""The first questions about any bytes: are they UTF-8, and can all of it be seen?"""

import codecs
import re

UNSEEN = "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
"""What a page would not show, or would let reorder what it shows: the inside of a character class. Line feed and tab are seen."""
_UNSEEN = re.compile(f"[{UNSEEN}]")


def utf8(data: bytes, *, partial: bool = False) -> str | None:
    """`data` as text, or None when it is not UTF-8. When `partial`, a character cut at the end is left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not partial)
    except UnicodeDecodeError:
        return None


def is_seen(text: str) -> bool:
    """Whether a page shows this text as it is: nothing unseen, no carriage return that HTML would swallow."""
    return _UNSEEN.search(text) is None


def count_unseen(text: str) -> int:
    return len(_UNSEEN.findall(text))


def _escape(char: str) -> str:
    if char in "\r\\":
        return "\\r" if char == "\r" else "\\\\"
    return "".join(
        f"\\x{byte:02x}"
        for byte in char.encode("utf-8", "surrogatepass" if char < "\udc80" else "surrogateescape")
    )


_ESCAPES = {
    ord(char): _escape(char)
    for char in ["\\", *_UNSEEN.findall("".join(map(chr, range(0x10000))))]
    if not "\udd00" <= char <= "\udfff"
}


def escaped(data: bytes) -> str:
    """As `to_text` prints it, but lines and tabs are kept, and so is all that can be seen; `from_text` reads it."""
    return data.decode("utf-8", "surrogateescape").translate(_ESCAPES)
