"""Text as it is: UTF-8, or with escapes for what is not, or cannot be seen."""

import codecs
import re

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading, size
from keyspace.encoding import from_text, to_text

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_MOSTLY = 10
"""One sign in so many may be unseen in what is still taken for text."""
_SAMPLE = 4096


def utf8(data: bytes, *, partial: bool = False) -> str | None:
    """`data` as text, or None when it is not UTF-8. When `partial`, a character cut at the end is left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not partial)
    except UnicodeDecodeError:
        return None


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
    """As `to_text` prints it, with the lines kept."""
    return "\n".join(to_text(line) for line in data.split(b"\n"))
