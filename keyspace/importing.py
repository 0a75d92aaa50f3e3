"""Reading what is imported: JSON Lines that somebody may have edited, each line checked; and whether a key holds the same already."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from keyspace.backups.readable import FORM, read_lines
from keyspace.backups.typed import READABLE, Piece, TypedPiece, from_line, plain_score
from keyspace.backups.typed_writing import write_commands

MOST_BAD = 1000
_ORDERED = ("string", "list", "stream", "ReJSON-RL")
_SUM = 1 << 128
_encode = json.JSONEncoder(sort_keys=True).encode


@dataclass
class Checked:
    """What a file of lines holds: keys by db, `bad` lines as (number, why), names of keys that are not whole in it; its `header`;
    whether it holds function libraries, which no import takes."""

    keys: dict[int, int] = field(default_factory=dict)
    bad: list[tuple[int, str]] = field(default_factory=list)
    bad_lines: int = 0
    broken: set[bytes] = field(default_factory=set)
    left_out: int = 0
    libraries: bool = False
    header: dict[str, Any] = field(default_factory=dict)

    def refuse(self, number: int, why: str) -> None:
        self.bad_lines += 1
        if len(self.bad) < MOST_BAD:
            self.bad.append((number, why[:300]))


def check_lines(source: IO[bytes]) -> Checked:
    """Look at every line; nothing is written. Raises Damaged for what is not text at all."""
    checked, ended, line_at = Checked(), False, 0
    at: tuple[bytes, int] | None = None  # the key that goes on, and the part expected
    for number, piece in _pieces(source, checked):
        line_at = number
        if piece is None:
            ended = True
            continue
        at = _follow(checked, number, piece, at)
        checked.keys[piece.db] = checked.keys.get(piece.db, 0) + (piece.part == 0)
    if at is not None:
        checked.broken.add(at[0])
        checked.refuse(line_at, "the key in it does not end")
    if not ended:
        checked.refuse(line_at + 1, "the last line is missing: the file may be cut off")
    return checked


def _follow(
    checked: Checked, number: int, piece: TypedPiece, at: tuple[bytes, int] | None
) -> tuple[bytes, int] | None:
    """Whether a piece stands where it has to: key after key, part after part."""
    expected = at if at is not None and at[0] == piece.name else None
    if at is not None and expected is None:
        checked.broken.add(at[0])
        checked.refuse(number, "the key before it does not end")
    if piece.part != (expected[1] if expected else 0):
        checked.broken.add(piece.name)
        checked.refuse(number, f"a part of its key is missing before part {piece.part}")
    return None if piece.last else (piece.name, piece.part + 1)


def _pieces(source: IO[bytes], checked: Checked) -> Iterator[tuple[int, TypedPiece | None]]:
    """(line, piece) of the good lines; None for the line that ends the file. The bad ones are noted."""
    for number, line in read_lines(source):
        if not line.strip():
            continue
        try:
            frame = _frame(line)
            if frame is None:
                yield number, _checked_piece(line)
            elif frame.get("end"):
                yield number, None
            elif "left_out" in frame:
                checked.left_out += 1
            elif number == 1:
                checked.header = frame
            elif "function" in frame:
                checked.libraries = True
        except json.JSONDecodeError as error:
            checked.refuse(number, f"it is not JSON: {error.msg} at character {error.colno}")
        except (ValueError, TypeError, KeyError, IndexError) as error:
            checked.refuse(number, str(error) or "its value is not understood")


def _frame(line: bytes) -> dict[str, Any] | None:
    if not line.startswith(b'{"form"'):
        return None
    found = json.loads(line)
    if not isinstance(found, dict) or found.get("form") != FORM:
        raise ValueError("it is of another form than this console's")
    return found


def _checked_piece(line: bytes) -> TypedPiece:
    piece = from_line(line)
    if piece.type not in READABLE:
        raise ValueError(f"the type {piece.type[:40]!r} is not known")
    write_commands(piece.name, piece.type, piece.piece)
    return piece


def read_keys(source: IO[bytes], broken: set[bytes]) -> Iterator[tuple[TypedPiece, Iterator[TypedPiece]]]:
    """Key by key, without the bad lines and the keys that are not whole: (its first piece, all of them)."""
    good = (
        piece for _, piece in _pieces(source, Checked()) if piece is not None and piece.name not in broken
    )
    for _, group in itertools.groupby(good, key=lambda piece: (piece.db, piece.name)):
        pieces = iter(group)
        first = next(pieces)
        yield first, itertools.chain([first], pieces)


def digest_of(kind: str, pieces: Iterable[Piece]) -> str:
    """What a key holds, in bounded memory: the same for the same value, however its set or hash happens to be ordered.

    Of a stream its entries alone: how long its pending ones have been idle differs at every look.
    """
    chain, total = hashlib.sha256(kind.encode()), 0
    for piece in pieces:
        value = piece["value"]
        for element in value if isinstance(value, list) else [value]:
            if kind == "zset":
                element = [element[0], plain_score(element[1])]
            packed = _encode(element).encode()
            if kind in _ORDERED:
                chain.update(len(packed).to_bytes(8, "big") + packed)
            else:
                total = (total + int.from_bytes(hashlib.sha256(packed).digest()[:16], "big")) % _SUM
    return chain.hexdigest() + f"{total:032x}"
