"""Base64 (RFC 4648): both alphabets, with or without padding, in lines or not. Detected only when it holds something that is known."""

import base64
import binascii
import re

from keyspace.decoders.base import DecodeError, Layer, Limits, Packing, size

_SIGNS = re.compile(rb"[A-Za-z0-9+/\r\n]+={0,2}[\r\n]*\Z|[A-Za-z0-9_\-\r\n]+={0,2}[\r\n]*\Z")
_BREAKS = re.compile(rb"[\r\n]+")
_SHORTEST = 12
"""Bytes of ASCII text inside that are no accident where no padding speaks for base64; twice as many of other text."""
_CERTAIN = 60


class Base64(Packing):
    name, label = "base64", "Base64"
    writes = True

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Many words and ids look like base64, so the decoders are asked what they find inside."""
        if len(data) < 4 or not self.accepts(data, partial=partial):
            return 0
        # The registry needs this module first.
        from keyspace.decoders.recognition import recognise

        inside = self._inside(data, partial=partial)
        decoder, confidence = recognise(inside, partial=partial)
        if decoder.name in ("text", "number", "uuid"):
            enough = 6 if data.rstrip().endswith(b"=") else _SHORTEST if inside.isascii() else _SHORTEST * 2
            return 50 if confidence >= 20 and len(inside) >= enough else 0
        return 50 if confidence >= _CERTAIN and len(inside) >= 3 else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        try:
            return bool(self._inside(data, partial=partial))
        except DecodeError:
            return False

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        room = (limits.output // 3 + 1) * 4
        inside = self._inside(
            data[:room] if len(data) > room * 2 else data, partial=partial or len(data) > room * 2
        )
        cut = len(inside) > limits.output
        note = f"Cut: decoded as far as {size(limits.output)}." if cut else ""
        return Layer(inside[: limits.output], note=note, cut=cut or partial, exact=not cut)

    def _inside(self, data: bytes, *, partial: bool) -> bytes:
        if not _SIGNS.match(data):
            raise DecodeError("This is not base64: it has other signs than its alphabet.")
        signs = _BREAKS.sub(b"", data).translate(bytes.maketrans(b"-_", b"+/"))
        core = signs.rstrip(b"=")
        if partial:
            core = core[: len(core) // 4 * 4]
        if len(core) % 4 == 1 or (signs.endswith(b"=") and len(signs) % 4):
            raise DecodeError("This is not base64: its length does not fit.")
        try:
            return base64.b64decode(core + b"=" * (-len(core) % 4), validate=True)
        except binascii.Error as error:
            raise DecodeError(f"This is not base64 ({error}).") from error

    def roundtrips(self, data: bytes, layer: Layer) -> bool:
        return super().roundtrips(data, layer) and self.encode(layer.data or b"", data) == data

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """In the alphabet, with the padding, the line length and the end that `like` has."""
        url = b"-" in like or b"_" in like
        signs = base64.urlsafe_b64encode(content) if url else base64.b64encode(content)
        if like and b"=" not in like and (url or len(_BREAKS.sub(b"", like)) % 4):
            signs = signs.rstrip(b"=")
        core = like.rstrip(b"\r\n")
        first = _BREAKS.search(core)
        if first and first.start():
            width = first.start()
            signs = first.group().join(signs[at : at + width] for at in range(0, len(signs), width))
        return signs + like[len(core) :]
