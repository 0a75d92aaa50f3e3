"""Text as it is: UTF-8, or with escapes for what is not, or cannot be seen."""

import re

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading, size
from keyspace.decoders.utf8 import utf8
from keyspace.encoding import from_text

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_ESCAPED = re.compile(_UNSEEN.pattern[:-1] + r"\\]")
_NAMED = {"\r": "\\r", "\\": "\\\\"}
_MOSTLY = 10
"""One sign in so many may be unseen in what is still taken for text."""
_SAMPLE = 4096


def is_plain(text: str) -> bool:
    """Whether a page shows this text as it is: nothing unseen, no carriage return that HTML would swallow."""
    return _UNSEEN.search(text) is None


class Text(Reading):
    name, label = "text", "Text"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """20 for text, 12 for what is mostly text, so that hex wins for the rest."""
        text = utf8(data, partial=partial)
        if text is not None and is_plain(text):
            return 20
        sample = data[:_SAMPLE].decode("utf-8", "surrogateescape")
        return 12 if len(_UNSEEN.findall(sample.replace("\r\n", "\n"))) * _MOSTLY <= len(sample) else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return True

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        part = data[: limits.output]
        text = utf8(part, partial=partial or len(part) < len(data))
        note = ""
        if text is None or not is_plain(text):
            what = "This is not UTF-8" if text is None else "Some characters cannot be seen"
            note = f"{what}: such bytes are written \\x00, and a backslash is written twice."
            text = escaped(part)
        cut = len(part) < len(data) or len(text) > limits.output
        note += f" Cut: shown is the first {size(limits.output)}." if cut else ""
        return Layer(text=text[: limits.output], note=note.strip(), cut=cut or partial)

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """With escapes where `like` was shown with them."""
        old = utf8(like)
        try:
            return text.encode() if old is not None and is_plain(old) else from_text(text)
        except UnicodeEncodeError as error:
            raise DecodeError("The text has a half of a surrogate pair, which UTF-8 cannot hold.") from error


def escaped(data: bytes) -> str:
    """As `to_text` prints it, but lines and tabs are kept, and so is all that can be seen; `from_text` reads it."""
    return _ESCAPED.sub(_escape, data.decode("utf-8", "surrogateescape"))


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    if char in _NAMED:
        return _NAMED[char]
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
