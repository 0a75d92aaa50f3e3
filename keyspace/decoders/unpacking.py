"""The loop that every compressed stream is unpacked by: bounded output, whatever the input promises."""

from typing import ClassVar, Protocol

from keyspace.decoders.base import GLANCE, DecodeError, Full, Layer, Limits, Packing, size

PIECE = 4096
"""Bytes fed at once: what a damaged piece would have given is lost, so it is small."""


class Stream(Protocol):
    """One stream being unpacked, as zlib and lz4 have it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Unpacked:
    """What came out of a stream so far, and how it ended."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.ended = self.full = False
        self.damage = self.why_full = ""
        self.trailing = 0


class Compressed(Packing):
    """A compressed stream. Derive, say how one begins (`magic`) and which `errors` its library raises, and `open` a Stream."""

    writes = True
    magic: ClassVar[bytes] = b""
    repeats: ClassVar[bool] = False
    """Whether another stream may follow the first and continues it."""
    errors: ClassVar[tuple[type[Exception], ...]]

    def open(self) -> Stream:
        raise NotImplementedError

    def begins(self, data: bytes, at: int = 0) -> bool:
        return data.startswith(self.magic, at)

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """By the magic number. Damaged content is told when it is read, not hidden here."""
        return 95 if self.magic and self.begins(data) else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return self.begins(data) and (bool(self.magic) or self.opens(data, partial=partial))

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        if not self.begins(data):
            raise DecodeError(f"These bytes do not begin as {self.label} does.")
        return self.layer(self._run(data, limits), limits, partial)

    def _run(self, data: bytes, limits: Limits) -> Unpacked:
        state = Unpacked()
        try:
            self.unpack(data, limits, state)
        except Full as full:
            state.full, state.why_full = True, str(full)
        except self.errors as error:
            state.damage = str(error) or type(error).__name__
        return state

    def unpack(self, data: bytes, limits: Limits, state: Unpacked) -> None:
        """Fill `state`. Raises Full, and what the library raises."""
        stream, at = self.open(), 0
        while at < len(data):
            limits.check_time()
            piece = data[at : at + PIECE]
            state.out += stream.decompress(piece, limits.output - len(state.out) + 1)
            if len(state.out) > limits.output:
                raise Full(f"unpacked as far as {size(limits.output)}.")
            at += len(piece)
            state.ended = stream.eof
            if stream.eof:
                at -= len(stream.unused_data or b"")
                if not (self.repeats and self.begins(data, at)):
                    break
                stream = self.open()
        state.trailing = len(data) - at

    def layer(self, state: Unpacked, limits: Limits, partial: bool) -> Layer:
        """The Layer for what came out; DecodeError when nothing did."""
        data = bytes(state.out[: limits.output])
        if state.full:
            return Layer(data, note=f"Cut: {state.why_full}", cut=True, exact=False)
        if state.damage:
            if not data:
                raise DecodeError(f"The {self.label} data is damaged ({state.damage}).")
            note = f"The {self.label} data is damaged after {size(len(data))} ({state.damage}); this is what came before."
            return Layer(data, note=note, cut=True, exact=False)
        if not state.ended:
            return self._early(data, partial)
        if state.trailing:
            note = f"{size(state.trailing)} after the end of the {self.label} data are left out."
            return Layer(data, note=note, exact=False)
        return Layer(data, cut=partial)

    def _early(self, data: bytes, partial: bool) -> Layer:
        if not data:
            what = "the part that was read" if partial else "it: the data ends early"
            raise DecodeError(f"Nothing can be unpacked from {what}.")
        note = "" if partial else f"The {self.label} data ends early; this is what it still holds."
        return Layer(data, note=note, cut=True, exact=False)

    def opens(self, data: bytes, *, partial: bool) -> bool:
        """Whether `data` unpacks without a fault (as far as a glance goes): for formats whose beginning says too little."""
        try:
            state = self._run(data, GLANCE.begin())
        except DecodeError:
            return False
        return (
            bool(state.out)
            and not state.damage
            and (partial or state.full or (state.ended and not state.trailing))
        )
