"""Reading a value through one decoder after another: base64, of gzip, of JSON; and writing it back the same way."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from keyspace.decoders.base import EDITED, LIMITS, DecodeError, Decoder, Layer, Limits, Packing, Reading
from keyspace.decoders.recognition import BY_NAME, DECODERS, SURE, candidates
from keyspace.errors import BadInput

LONGEST = 8
"""Decoders in one chain."""
_PARTIAL = "Only the beginning of the value was read."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One decoder of a chain: what it read, whether that was only the beginning of something, and what it gave."""

    decoder: Decoder
    data: bytes
    partial: bool
    layer: Layer


@dataclass(frozen=True)
class Decoded:
    """A value as a page shows it. `kind` is of its `text`:

    text     as it is                          json     standard JSON, pretty
    tree     JSON with more than JSON has      hex      a dump
    listing  lines to read, nothing to fold    (fold and colour trees by their tokens: JSON.parse would change numbers)
    """

    chain: tuple[str, ...]
    kind: str
    text: str
    note: str | None
    failed: str | None
    """What could not be read, as a sentence; then `text` is a dump of the bytes."""
    truncated: bool
    """Whether there is more of the value than `text`."""
    steps: tuple[Step, ...] = field(repr=False, default=())

    @property
    def using(self) -> str:
        """The chain as `decode_value` takes it."""
        return "+".join(self.chain)

    @property
    def label(self) -> str:
        return " › ".join(BY_NAME[name].label for name in self.chain)

    @cached_property
    def choices(self) -> list[tuple[str, str]]:
        """(using, label) of the ways to read this value that work at least for a start: through this chain's packings, then directly."""
        inner = self.steps[-1]
        packings = self.chain[:-1]
        offered = [packings] * bool(packings) + [()]
        found: dict[str, str] = {self.using: self.label}
        for prefix in offered:
            step = inner if prefix else self.steps[0]
            for decoder in DECODERS:
                if decoder.accepts(step.data, partial=step.partial):
                    names = (*prefix, decoder.name)
                    found["+".join(names)] = " › ".join(BY_NAME[name].label for name in names)
        return list(found.items())

    @cached_property
    def roundtrips(self) -> bool:
        """Whether `encode_value` of this text gives the same value: the same bytes, or for compressed ones the same content."""
        if self.failed or self.truncated:
            return False
        return all(step.decoder.roundtrips(step.data, step.layer) for step in reversed(self.steps))


def decode_value(
    data: bytes, using: str | None = None, *, limits: Limits = LIMITS, partial: bool = False
) -> Decoded:
    """Read `data` through the decoders that `using` names ("base64+gzip+json"), or those that know it (None).

    `partial` says that `data` is only the beginning of the value. After a named packing the rest is found by itself. Whatever
    the bytes are, this answers, within `limits`; what cannot be read is told in `failed` and shown as hex. Raises BadInput only
    for decoders that do not exist.
    """
    waiting = _named(using)
    limits = limits.begin()
    steps: list[Step] = []
    failed: list[str] = []
    while not steps or steps[-1].layer.data is not None:
        last = steps[-1] if steps else None
        inner = last.layer.data if last and last.layer.data is not None else data
        cut = last.layer.cut if last else partial
        step = _step(inner, cut, waiting, limits, failed, len(steps))
        steps.append(step)
        if failed:
            waiting = []
    return _decoded(steps, failed, partial)


def _named(using: str | None) -> list[Decoder]:
    names = [name for name in re.split(r"[+, ]+", using or "") if name]
    unknown = next((name for name in names if name not in BY_NAME), None)
    if unknown is not None or len(names) > LONGEST:
        raise BadInput("There is no such way to read a value.", "Choose one of those that are offered.")
    found = [BY_NAME[name] for name in names]
    if any(not isinstance(decoder, Packing) for decoder in found[:-1]):
        raise BadInput(
            "Only the last decoder of a chain can be one that shows text.",
            "Choose one of those that are offered.",
        )
    return found


def _step(
    data: bytes, cut: bool, waiting: list[Decoder], limits: Limits, failed: list[str], depth: int
) -> Step:
    """The next step: by name while names are left, by detection afterwards, hex when all fails."""
    if waiting:
        decoder = waiting.pop(0)
        return _try(decoder, data, cut, limits, failed) or _hex(data, cut, limits)
    if not failed:
        for decoder, sure in candidates(data, partial=cut):
            if depth >= LONGEST - 1 and isinstance(decoder, Packing):
                continue
            told = failed if sure >= SURE else []
            if step := _try(decoder, data, cut, limits, told):
                return step
            if failed:
                break
    return _hex(data, cut, limits)


def _hex(data: bytes, cut: bool, limits: Limits) -> Step:
    decoder = BY_NAME["hex"]
    return Step(decoder, data, cut, decoder.decode(data, limits, partial=cut))


def _try(decoder: Decoder, data: bytes, cut: bool, limits: Limits, failed: list[str]) -> Step | None:
    """The Step of this decoder; None and a sentence in `failed` when it cannot read the bytes."""
    try:
        return Step(decoder, data, cut, decoder.decode(data, limits, partial=cut))
    except DecodeError as error:
        failed.append(f"{decoder.label}: {error}")
    except Exception:
        # A fault of ours: the page must still show the value, and we must hear of it.
        log.exception("decoder %s failed", decoder.name)
        failed.append(f"{decoder.label}: this decoder failed on these bytes.")
    return None


def _decoded(steps: Sequence[Step], failed: list[str], partial: bool) -> Decoded:
    notes = [step.layer.note for step in steps if step.layer.note]
    if partial:
        notes.append(_PARTIAL)
    last = steps[-1].layer
    return Decoded(
        chain=tuple(step.decoder.name for step in steps),
        kind=last.kind,
        text=last.text,
        note=" ".join(dict.fromkeys(notes)) or None,
        failed=failed[0] if failed else None,
        truncated=partial or any(step.layer.cut for step in steps),
        steps=tuple(steps),
    )


def encode_value(text: str, using: str, *, like: bytes = b"", limits: Limits = EDITED) -> bytes:
    """The bytes of an edited `text`, written through the chain `using`, in the manner of `like`: the value as it was.

    Raises BadInput with a sentence for text that is not valid, or a chain that cannot be written.
    """
    decoders = _named(using)
    if not decoders or not isinstance(decoders[-1], Reading):
        raise BadInput("This chain does not end in a form that can be edited.", "Choose one that shows text.")
    try:
        before = _contents(decoders[:-1], like, limits.begin())
        data = decoders[-1].encode(text, before[-1])
        for decoder, old in zip(reversed(decoders[:-1]), reversed(before[:-1]), strict=True):
            assert isinstance(decoder, Packing)
            data = decoder.encode(data, old)
    except DecodeError as error:
        raise BadInput(str(error), "Nothing was written.") from error
    return data


def _contents(packings: Sequence[Decoder], like: bytes, limits: Limits) -> list[bytes]:
    """`like` as each decoder of the chain meets it, the outermost first. Nothing when there was nothing."""
    contents = [like]
    for decoder in packings:
        inside = decoder.decode(contents[-1], limits).data if contents[-1] else b""
        contents.append(inside or b"")
    return contents
