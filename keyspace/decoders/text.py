"""Text as it is: UTF-8, or with escapes for what is not, or cannot be seen."""

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading, size
from keyspace.decoders.utf8 import count_unseen, escaped, is_seen, utf8
from keyspace.encoding import from_text

_MOSTLY = 10
"""One sign in so many may be unseen in what is still taken for text."""
_SAMPLE = 4096


class Text(Reading):
    name, label = "text", "Text"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """20 for text, 12 for what is mostly text, so that hex wins for the rest."""
        text = utf8(data, partial=partial)
        if text is not None and is_seen(text):
            return 20
        sample = data[:_SAMPLE].decode("utf-8", "surrogateescape")
        return 12 if count_unseen(sample.replace("\r\n", "\n")) * _MOSTLY <= len(sample) else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return True

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        part = data[: limits.output]
        text = utf8(part, partial=partial or len(part) < len(data))
        note = ""
        if text is None or not is_seen(text):
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
            return text.encode() if old is not None and is_seen(old) else from_text(text)
        except UnicodeEncodeError as error:
            raise DecodeError("The text has a half of a surrogate pair, which UTF-8 cannot hold.") from error
