"""The first question about any bytes: are they UTF-8?"""

import codecs


def utf8(data: bytes, *, partial: bool = False) -> str | None:
    """`data` as text, or None when it is not UTF-8. When `partial`, a character cut at the end is left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not partial)
    except UnicodeDecodeError:
        return None
