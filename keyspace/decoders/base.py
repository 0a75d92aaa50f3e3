"""What a way to read bytes is: the class to derive from, what one reading gives, and how far it may go.

A decoder is one module here with a `Decoder` in `DECODERS`. Two sorts:

    Packing   bytes in other bytes (gzip, base64): `decode` gives a Layer with `data`, and the chain goes on with what was inside
    Reading   bytes as text for people (JSON, hex): `decode` gives a Layer with `text`, and the chain ends

`detect` is what the automatic choice goes by and claims nothing it cannot tell from the bytes; `decode` is what a person asked for by
name and may try harder. Nothing here runs what it reads, and everything stays within `Limits`.
"""

import time
from dataclasses import dataclass, replace
from typing import ClassVar


class DecodeError(Exception):
    """These bytes cannot be read, or this text cannot be written, in this form: one sentence says why."""


class Full(Exception):
    """A limit was reached while reading; what was read so far stands. The message completes "Cut: …"."""


@dataclass(frozen=True)
class Limits:
    """How far one reading may go. `output` counts bytes unpacked, or characters of text; `seconds` the whole chain."""

    output: int = 1024 * 1024
    items: int = 100_000
    depth: int = 100
    seconds: float = 1.0
    deadline: float = float("inf")
    """On the clock of `time.monotonic`."""

    def begin(self) -> "Limits":
        """The same limits with the clock running."""
        return replace(self, deadline=min(self.deadline, time.monotonic() + self.seconds))

    def check_time(self) -> None:
        """Raises Full when the time is over."""
        if time.monotonic() > self.deadline:
            raise Full(f"reading on would take longer than {self.seconds:g} s.")


LIMITS = Limits()
GLANCE = Limits(output=4096, items=2000, seconds=0.05)
"""For telling what something is."""
ROW = Limits(output=1000, items=100, seconds=0.05)
"""For one line in a page of many values."""
EDITED = Limits(output=64 * 1024 * 1024, items=2_000_000, seconds=20.0)
"""For what a person writes back."""


@dataclass(frozen=True)
class Layer:
    """One step of reading: `data` is what was inside a packing, `text` (of a `kind`) what a person sees."""

    data: bytes | None = None
    text: str = ""
    kind: str = "text"
    note: str = ""
    cut: bool = False
    """Whether there is, or may be, more than this."""
    exact: bool = True
    """False where something was left out, so that writing it back would lose it."""


class Decoder:
    """A way to read bytes. Derive from Packing or Reading, and fill in."""

    name: ClassVar[str]
    """As an address carries it."""
    label: ClassVar[str]
    """As a person reads it."""
    writes: ClassVar[bool] = False
    """Whether `encode` exists."""

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """How sure it is that `data` (the beginning of it, when `partial`) is this: 0 not at all, 100 beyond doubt. Never raises."""
        return 0

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        """One Layer, within `limits`. `partial` says that `data` is the beginning of something longer. Raises DecodeError."""
        raise NotImplementedError

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        """Whether it is worth offering for these bytes: they can be read so, at least for a start."""
        try:
            self.decode(data, GLANCE.begin(), partial=partial)
        except DecodeError:
            return False
        return True

    def roundtrips(self, data: bytes, layer: Layer) -> bool:
        """Whether writing back the `layer` that `data` gave would give the same (for compressors: the same when unpacked)."""
        return False


class Reading(Decoder):
    """Bytes as text. `encode`, where there is one, makes the bytes anew from an edited text."""

    def encode(self, text: str, like: bytes = b"") -> bytes:
        """The bytes for `text`, written in the manner of `like` (what was there before). Raises DecodeError for text that is not valid."""
        raise DecodeError(f"{self.label} cannot be written, only read.")

    def roundtrips(self, data: bytes, layer: Layer) -> bool:
        if not self.writes or layer.cut or not layer.exact:
            return False
        try:
            return self.encode(layer.text, data) == data
        except DecodeError:
            return False


class Packing(Decoder):
    """Bytes in other bytes. `encode`, where there is one, packs new content in the manner of `like`."""

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """`content`, packed. Raises DecodeError where it cannot be."""
        raise DecodeError(f"{self.label} cannot be written, only read.")

    def roundtrips(self, data: bytes, layer: Layer) -> bool:
        return self.writes and layer.exact and not layer.cut


def size(count: int) -> str:
    """A number of bytes for people: ``64 KiB``, ``1.5 MiB``."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"
