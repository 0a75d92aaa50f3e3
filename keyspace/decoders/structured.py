"""Formats of nested values: a bounded reader of bytes, and the Reading that prints what it gives."""

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

from keyspace.decoders.base import DecodeError, Full, Layer, Limits, Reading
from keyspace.decoders.printing import Printer
from keyspace.decoders.tree import CUT, Node, Put, doubled_key, is_plain, tag, text
from keyspace.decoders.utf8 import utf8


class Ended(DecodeError):
    """The data ends before the value does."""


class Source:
    """Bytes being read from the front. Every value counts against `limits`; lengths are believed only as far as there are bytes."""

    def __init__(self, data: bytes, limits: Limits, *, partial: bool = False) -> None:
        self.data, self.limits, self.partial = data, limits, partial
        self.at = self.items = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises Ended when there are fewer."""
        if count > len(self.data) - self.at:
            raise Ended("The data ends in the middle of a value.")
        if count < 0:
            raise DecodeError("The data has a negative length.")
        self.at += count
        return self.data[self.at - count : self.at]

    def string(self, count: int, form: Any = None) -> Node:
        """A text node of the next `count` bytes (a binary one when they are not UTF-8); what is cut ends with CUT."""
        data = self.run(count)
        short = len(data) < count
        shown = utf8(data, partial=short)
        if shown is None:
            return self.shown_binary(data, short, form)
        return text(shown + CUT * short, form)

    def binary(self, count: int, form: Any = None) -> Node:
        """A binary node of the next `count` bytes; what is cut ends with CUT."""
        data = self.run(count)
        return self.shown_binary(data, len(data) < count, form)

    @staticmethod
    def shown_binary(data: bytes, short: bool, form: Any) -> Node:
        return tag("bytes", text(data.hex() + CUT * short), form)

    def run(self, count: int) -> bytes:
        """As `take`; of a string that is cut, in a value that is cut, what there is."""
        if self.partial and count > len(self.data) - self.at > 0:
            count = len(self.data) - self.at
        return self.take(count)

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise Ended("The data ends in the middle of a value.")
        self.at += 1
        return self.data[self.at - 1]

    def unpack(self, layout: str) -> int | float:
        """One number, by its `struct` layout."""
        value: int | float = struct.unpack(layout, self.take(struct.calcsize(layout)))[0]
        return value

    def uint(self, width: int) -> int:
        """A big-endian unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "big")

    def until(self, end: bytes) -> bytes:
        """The bytes before `end`, which is passed over. Raises Ended when it does not come."""
        found = self.data.find(end, self.at)
        if found < 0:
            raise Ended("The data ends in the middle of a value.")
        taken = self.data[self.at : found]
        self.at = found + len(end)
        return taken

    def enter(self, depth: int) -> None:
        """Count a value that is `depth` levels deep. Raises Full, or DecodeError when that is too deep."""
        self.items += 1
        if self.items > self.limits.items:
            raise Full(f"shown are the first {self.limits.items} values.")
        if depth > self.limits.depth:
            raise DecodeError(f"The data is nested deeper than {self.limits.depth} levels.")
        if self.items % 1024 == 0:
            self.limits.check_time()


@dataclass(frozen=True)
class Grown:
    """A tree as far as it was read: `why` says which limit stopped it, `short` that the data ended first."""

    root: Node
    why: str
    short: bool
    left: int


class Structured(Reading):
    """A format of nested values: derive and `read` one value from a Source."""

    shield: ClassVar[bool] = False

    def read(self, source: Source, put: Put, depth: int = 1) -> None:
        """Give one value to `put`: a container before what is inside of it. Raises DecodeError, Ended, Full."""
        raise NotImplementedError

    def grow(self, data: bytes, limits: Limits, *, partial: bool = False) -> Grown:
        """The tree of `data`. Raises DecodeError, also when there is nothing to show of it."""
        source, roots, why, short = Source(data, limits, partial=partial), list[Node](), "", False
        try:
            self.read(source, roots.append)
        except Full as full:
            why = str(full)
        except Ended:
            if not partial:
                raise
            short = True
        if not roots:
            raise DecodeError(f"Nothing of this can be read as {self.label}.")
        return Grown(roots[0], why, short, source.left)

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        grown = self.grow(data, limits, partial=partial)
        if grown.left and not (grown.why or partial):
            raise DecodeError(f"After the {self.label} value {grown.left} bytes are left over.")
        return print_tree(
            grown.root, limits, why=grown.why, cut=partial, shield=self.shield, note=self.note(grown.root)
        )

    def note(self, root: Node) -> str:
        """What a person should know about this value."""
        return ""


def print_tree(
    root: Node, limits: Limits, *, why: str = "", cut: bool = False, shield: bool = False, note: str = ""
) -> Layer:
    """The Layer of a tree: pretty JSON, and a note on doubled keys and on what was cut."""
    shown, clipped = Printer(limits.output, shield=shield).print(root)
    notes = [note] if note else []
    if (key := doubled_key(root)) is not None:
        notes.append(f"The key {key[:40]!r} appears more than once in one object.")
    if why:
        notes.append(f"Cut: {why}")
    elif clipped:
        notes.append("Cut: it is longer than what is shown.")
    cut = cut or bool(why) or clipped
    kind = "json" if is_plain(root) and not cut else "tree"
    return Layer(text=shown, kind=kind, note=" ".join(notes), cut=cut)
