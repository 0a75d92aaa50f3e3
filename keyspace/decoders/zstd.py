"""Zstandard (RFC 8878): frames one after another, read through a stream so that the output stays bounded."""

import zstandard

from keyspace.decoders.base import Full, Limits, size
from keyspace.decoders.unpacking import Compressed, Unpacked

WINDOW = 1 << 27
"""The largest window that is accepted: 128 MiB, what level 22 asks for. Only what is used of it takes memory."""
_READ = 64 * 1024


class Zstd(Compressed):
    name, label = "zstd", "Zstandard"
    magic = b"\x28\xb5\x2f\xfd"
    errors = (zstandard.ZstdError,)

    def unpack(self, data: bytes, limits: Limits, state: Unpacked) -> None:
        """The stream reader does not tell a frame that ended from one that was cut: the block headers do."""
        at = frame_end(data, 0)
        while at is not None and data.startswith(self.magic, at):
            limits.check_time()
            at = frame_end(data, at)
        state.ended, state.trailing = at is not None, len(data) - at if at is not None else 0
        whole = data[: len(data) - state.trailing] if state.trailing else data
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(
            whole, read_across_frames=True
        )
        while piece := reader.read(_READ):
            state.out += piece
            limits.check_time()
            if len(state.out) > limits.output:
                raise Full(f"unpacked as far as {size(limits.output)}.")

    def encode(self, content: bytes, like: bytes = b"") -> bytes:
        """With a checksum where `like` has one."""
        checked = self.begins(like) and len(like) > 4 and bool(like[4] & 4)
        return zstandard.ZstdCompressor(write_checksum=checked).compress(content)


def frame_end(data: bytes, at: int) -> int | None:
    """Where the frame that begins at `at` ends, by its headers (RFC 8878, 3.1.1); None when the data ends before it does."""
    if len(data) < at + 5:
        return None
    descriptor = data[at + 4]
    single = descriptor >> 5 & 1
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    content = (single, 2, 4, 8)[descriptor >> 6]
    position = at + 5 + (not single) + dictionary + content
    while position + 3 <= len(data):
        header = int.from_bytes(data[position : position + 3], "little")
        last, kind, length = header & 1, header >> 1 & 3, header >> 3
        position += 3 + (1 if kind == 1 else length)
        if last:
            position += 4 * (descriptor >> 2 & 1)
            return position if position <= len(data) else None
    return None
