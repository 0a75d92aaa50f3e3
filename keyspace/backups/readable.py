"""Readable exports: JSON Lines of the typed form, compressed; the first line says what it is, the last one counts.

Lines that begin with ``{"form"`` are the file's own: the first, the last, keys that were left out, and what stands around the keys.

A bad line of an import is one problem with its number, not the end: see `read_lines`. A backup has none, so there it is damage.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

import zstandard

from keyspace.backups.rdb import MISMATCH, Damaged
from keyspace.backups.surroundings import Around, Library, to_frames
from keyspace.backups.typed import TypedPiece, from_line, pack, to_line
from keyspace.encoding import to_text
from keyspace.errors import TooLarge

FORM = "keyspace-readable"
MAX_LINE = 96 * 1024 * 1024
_FRAME_BYTES = 1024 * 1024
_WINDOW_BYTES = 32 * 1024 * 1024


def _packer() -> Any:
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()


class ReadableWriter:
    """Writes a readable export to `write`; `finish` it."""

    def __init__(
        self, write: Callable[[bytes], Any], header: dict[str, Any], *, compress: bool = True
    ) -> None:
        self._zstd = _packer() if compress else None
        self._sink = write
        self.keys: dict[int, int] = {}
        self._functions = self._users = 0
        self._write_frame({"version": 1, **header})

    def _write(self, data: bytes) -> None:
        out = self._zstd.compress(data) if self._zstd is not None else data
        if out:
            self._sink(out)

    def _write_frame(self, frame: dict[str, Any]) -> None:
        self._write(json.dumps({"form": FORM, **frame}).encode() + b"\n")

    def add_library(self, library: Library) -> None:
        self._functions += 1
        for frame in to_frames(library):
            self._write_frame(frame)

    def add_user(self, rule: str) -> None:
        self._users += 1
        self._write_frame({"user": rule})

    def add(self, piece: TypedPiece) -> None:
        line = to_line(piece)
        if len(line) > MAX_LINE:
            raise TooLarge(
                f"The key {to_text(piece.name)[:80]} has an element of {len(line) / 1e6:.0f} MB: too large for the readable form.",
                "A pull or an archive keeps it as it is.",
            )
        if piece.part == 0:
            self.keys[piece.db] = self.keys.get(piece.db, 0) + 1
        self._write(line)

    def leave_out(self, name: bytes, why: str) -> None:
        """A line that says which key is not in it; readers pass it over."""
        self._write_frame({"left_out": pack(name), "why": why})

    def finish(self) -> None:
        around = {"functions": self._functions, "users": self._users}
        self._write_frame({"end": True, "keys": {str(db): n for db, n in self.keys.items()}, **around})
        if self._zstd is not None:
            self._sink(self._zstd.flush())


def read_lines(source: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(number, line) of a readable file, compressed or not; memory is one line. Raises Damaged."""
    first = source.read(4)
    rest: Any = _Joined(first, source)
    unzip = zstandard.ZstdDecompressor(
        max_window_size=_WINDOW_BYTES
    )  # what a hostile frame may claim of memory
    plain: Any = unzip.stream_reader(rest) if first == b"\x28\xb5\x2f\xfd" else rest
    lines = io.BufferedReader(_Raw(plain), 1024 * 1024)
    for number in itertools.count(1):
        try:
            line = lines.readline(MAX_LINE)
        except zstandard.ZstdError as error:
            if "checksum" in str(error):
                raise Damaged(MISMATCH) from None
            raise Damaged(f"it cannot be decompressed beyond line {number - 1}") from None
        if not line:
            return
        if not line.endswith(b"\n") and len(line) >= MAX_LINE:
            raise Damaged(f"line {number} is longer than {MAX_LINE // 1024 // 1024} MB")
        yield number, line


class _Joined:
    """What was read already, then the rest."""

    def __init__(self, first: bytes, rest: IO[bytes]) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int = -1) -> bytes:
        out, self._first = self._first, b""
        return out or self._rest.read(size)


class _Raw(io.RawIOBase):
    def __init__(self, source: Any) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def read_pieces(source: IO[bytes], around: Around | None = None) -> Iterator[TypedPiece]:
    """The pieces of a backup, which has to be whole; `around` sees the rest of it. Raises Damaged with the line."""
    keys: dict[str, int] = {}
    around = around or Around()
    lines = read_lines(source)
    for number, line in lines:
        frame = _frame(line)
        if number == 1 and frame is None:
            raise Damaged("it is not a readable export of this console")
        try:
            if frame is None:
                piece = from_line(line)
            elif frame.get("end"):
                around.finish(frame)
            elif number == 1:
                around.header = frame
            else:
                around.see(frame)
        except ValueError as error:
            raise Damaged(f"line {number}: {error}") from None
        if frame is None:
            keys[str(piece.db)] = keys.get(str(piece.db), 0) + (piece.part == 0)
            yield piece
        elif frame.get("end"):
            if frame.get("keys") != keys:
                raise Damaged("it holds another number of keys than it says")
            if any(line.strip() for _, line in lines):  # what packed it has its checksum behind the last line
                raise Damaged("something follows its end")
            return
    raise Damaged("it is cut off: its last line is missing")


def _frame(line: bytes) -> dict[str, Any] | None:
    """A line of the form's own."""
    if not line.startswith(b'{"form"') or len(line) > _FRAME_BYTES:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("form") == FORM else None


def read_readable(
    source: IO[bytes], around: Around | None = None
) -> Iterator[tuple[TypedPiece, Iterator[TypedPiece]]]:
    """Key by key: its first piece, and all of them. A key may come twice (see `dumps.read_dumps`), also behind itself."""
    for _, group in itertools.groupby(read_pieces(source, around), key=_Keys()):
        pieces = iter(group)
        first = next(pieces)
        yield first, itertools.chain([first], pieces)


class _Keys:
    """Which key a piece belongs to: another one with every first piece."""

    def __init__(self) -> None:
        self._number = 0

    def __call__(self, piece: TypedPiece) -> tuple[int, bytes, int]:
        self._number += piece.part == 0
        return piece.db, piece.name, self._number
