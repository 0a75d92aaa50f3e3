"""Snappy: the framing format, which has a magic number, and raw blocks, which have none and are read only when asked for."""

import cramjam

from keyspace.decoders.base import DecodeError, Full, Limits, size
from keyspace.decoders.unpacking import Compressed, Unpacked

_BLOCK = 65536
"""A chunk of the framing format holds at most so much."""
_COMPRESSED, _PLAIN, _MARK, _PADDING, _SKIPPABLE = 0x00, 0x01, 0xFF, 0xFE, 0x80


class Snappy(Compressed):
    name, label = "snappy", "Snappy"
    magic = b"\xff\x06\x00\x00sNaPpY"
    errors = (cramjam.DecompressionError,)

    def begins(self, data: bytes, at: int = 0) -> bool:
        return len(data) > at

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        return 95 if data.startswith(self.magic) else 0

    def accepts(self, data: bytes, *, partial: bool = False) -> bool:
        return data.startswith(self.magic) or self.opens(data, partial=partial)

    def unpack(self, data: bytes, limits: Limits, state: Unpacked) -> None:
        if data.startswith(self.magic):
            unpack_frames(data, limits, state)
        else:
            unpack_block(data, limits, state)

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """Raw where `like` is raw; framed otherwise."""
        if like and not like.startswith(self.magic):
            return bytes(cramjam.snappy.compress_raw(content))
        return bytes(cramjam.snappy.compress(content)) if content else self.magic


def unpack_frames(data: bytes, limits: Limits, state: Unpacked) -> None:
    """Chunk by chunk, each checked by its CRC."""
    at, room = 0, bytearray(_BLOCK)
    while at + 4 <= len(data):
        limits.check_time()
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 4], "little")
        if at + 4 + length > len(data):
            return
        if kind in (_COMPRESSED, _PLAIN):
            done = cramjam.snappy.decompress_into(Snappy.magic + data[at : at + 4 + length], room)
            state.out += room[:done]
        elif kind < _SKIPPABLE:
            raise cramjam.DecompressionError(f"chunk of unknown kind {kind:#04x}")
        if len(state.out) > limits.output:
            raise Full(f"unpacked as far as {size(limits.output)}.")
        at += 4 + length
    state.ended = at == len(data)


def unpack_block(data: bytes, limits: Limits, state: Unpacked) -> None:
    """A raw block, in steps of our own: the library would allocate whatever length the first bytes claim."""
    claimed, at = _length(data)
    out, steps = state.out, 0
    while at < len(data):
        kind, steps = data[at] & 3, steps + 1
        at = _copy(data, at, kind, out) if kind else _literal(data, at, out)
        if len(out) > min(claimed, limits.output):
            _over(out, claimed, limits)
        if steps % 1024 == 0:
            limits.check_time()
    state.ended = len(out) == claimed


def _over(out: bytearray, claimed: int, limits: Limits) -> None:
    if len(out) > claimed:
        raise cramjam.DecompressionError("more content than the length says")
    raise Full(f"unpacked as far as {size(limits.output)}.")


def _length(data: bytes) -> tuple[int, int]:
    """The claimed length (a varint of at most 32 bits) and where the content begins."""
    value = 0
    for at in range(min(5, len(data))):
        value |= (data[at] & 127) << 7 * at
        if data[at] < 128:
            if value < 1 << 32:
                return value, at + 1
            break
    raise DecodeError("These bytes are not a Snappy block.")


def _literal(data: bytes, at: int, out: bytearray) -> int:
    """Append a literal; one that is cut gives what there is. Returns where the next element begins."""
    length, at = data[at] >> 2, at + 1
    if length >= 60:
        width = length - 59
        length = int.from_bytes(data[at : at + width], "little")
        at += width
    out += data[at : at + length + 1]
    return at + length + 1


def _copy(data: bytes, at: int, kind: int, out: bytearray) -> int:
    """Append a copy of what came before; it may overlap itself. Raises DecompressionError for an offset outside."""
    tag = data[at]
    width = (1, 2, 4)[kind - 1]
    if at + width >= len(data):
        return len(data)
    offset = int.from_bytes(data[at + 1 : at + 1 + width], "little")
    length = (tag >> 2) + 1
    if kind == 1:
        length, offset = (tag >> 2 & 7) + 4, offset | (tag >> 5) << 8
    if not 0 < offset <= len(out):
        raise cramjam.DecompressionError("a copy from before the beginning")
    start = len(out) - offset
    piece = bytes(out[start : start + length])
    out += (piece * (length // len(piece) + 1))[:length]
    return at + 1 + width
