"""Python's pickle as a listing of its instructions. It is never run: loading a pickle runs whatever its writer wants."""

import itertools
import pickletools
from collections.abc import Iterator
from typing import Any

from keyspace.decoders.base import DecodeError, Full, Layer, Limits, Reading, size
from keyspace.decoders.printing import quoted
from keyspace.decoders.tree import int_text

_SHOWN = 200
"""Characters, or bytes, of one argument."""
_NAMED = 10
"""How many of the names that it would import are told."""
_STRINGS = (
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
)


class Pickle(Reading):
    name, label = "pickle", "Python pickle"

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Protocol 2 and later say so in their first two bytes, and the last is a full stop."""
        if len(data) < 4 or data[0] != 0x80 or not 2 <= data[1] <= 5 or (not partial and data[-1:] != b"."):
            return 0
        return 90 if self.accepts(data, partial=partial) else 0

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        lines: list[str] = []
        names: list[str] = []
        length, why, ended = 0, "", False
        try:
            for line in _listing(data, names, limits):
                lines.append(line)
                length += len(line) + 1
                if length > limits.output:
                    raise Full("it is longer than what is shown.")
            ended = True
        except Full as full:
            why = str(full)
        except Exception as error:
            # pickletools raises whatever its argument readers do, for any damage.
            if not (partial and lines):
                raise DecodeError(
                    f"This is not a pickle ({str(error)[:120] or type(error).__name__})."
                ) from error
        note = "A listing: it was not run." + _imports(names) + (f" Cut: {why}" if why else "")
        return Layer(
            text="\n".join(lines)[: limits.output],
            kind="listing",
            note=note,
            cut=bool(why) or not ended or partial,
        )


def _listing(data: bytes, names: list[str], limits: Limits) -> Iterator[str]:
    """A line for each instruction; fills `names` with what it would import. Raises Full, DecodeError, and what pickletools raises."""
    recent: list[str] = []
    position: int | None = 0
    for at, (opcode, argument, position) in enumerate(pickletools.genops(data)):
        if at >= limits.items:
            raise Full(f"shown are the first {limits.items} instructions.")
        if at % 256 == 0:
            limits.check_time()
        if opcode.name in _STRINGS:
            recent = [*recent[-1:], str(argument)[:_SHOWN]]
        elif opcode.name in ("GLOBAL", "INST"):
            names.append(str(argument)[:_SHOWN].replace(" ", "."))
        elif opcode.name == "STACK_GLOBAL":
            names.append(".".join(recent))
        yield f"{position or 0:>7}  {opcode.name:<16}  {_shown(argument)}".rstrip()
    left = len(data) - (position or 0) - 1
    if left:
        raise DecodeError(f"{size(left)} follow after its end")


def _shown(argument: Any) -> str:
    if argument is None:
        return ""
    if isinstance(argument, int):
        shown = int_text(argument)
    elif isinstance(argument, bytes | bytearray):
        shown = bytes(argument[:_SHOWN]).hex()
        return shown + (f"… ({size(len(argument))})" if len(argument) > _SHOWN else "")
    elif isinstance(argument, str):
        shown = quoted(argument[: _SHOWN + 1])
    else:
        shown = str(argument)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _imports(names: list[str]) -> str:
    """A sentence on what loading it would import."""
    unique = list(itertools.islice(dict.fromkeys(names), _NAMED + 1))
    if not unique:
        return ""
    more = " and others" if len(unique) > _NAMED else ""
    return f" Loading it would call on {', '.join(unique[:_NAMED])}{more}."
