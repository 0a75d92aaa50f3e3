"""What the JSON module answers, in either protocol, and how to find out that a value is small without walking a large one."""

from typing import Any

from keyspace.types.bounds import WHOLE
from keyspace.types.reading import Reading

SMALL = 5_000
"""Nodes of a value that may be measured and fetched whole."""
DEEPEST = 64
LENGTHS = ("JSON.OBJLEN", "JSON.ARRLEN", "JSON.STRLEN")


def describe(reading: Reading, path: str) -> list[Any]:
    """Answers of JSON.TYPE and of LENGTHS, for every place that `path` matches."""
    return reading.try_asking(*((command, reading.name, path) for command in ("JSON.TYPE", *LENGTHS)))


def lengths_in(answers: list[Any]) -> list[int]:
    """The lengths among answers of LENGTHS, which hold None for what has none."""
    return [
        told
        for answer in answers
        if isinstance(answer, list)
        for told in flat(answer)
        if isinstance(told, int)
    ]


def length_in(answers: list[Any]) -> int | None:
    """The one length that fits the type of the one place asked about."""
    return next(iter(lengths_in(answers)), None)


def flat(answer: list[Any]) -> list[Any]:
    """RESP3 wraps some of the module's answers in one more list."""
    return answer[0] if len(answer) == 1 and isinstance(answer[0], list) else answer


def get(reading: Reading, paths: list[str]) -> list[bytes | None]:
    """The JSON text at each path, None where nothing is. A path that begins with $ is answered as an array of what matches."""
    answers = reading.ask(*(("JSON.GET", reading.name, path) for path in paths))
    return [answer[1:-1] if answer and answer != b"[]" else None for answer in answers]


def is_small(reading: Reading, path: str) -> bool:
    """Whether the value has at most SMALL nodes and WHOLE bytes of strings.

    Found out level by level, a round trip each: what a level costs is known from the one above it.
    """
    nodes = size = 0
    for depth in range(DEEPEST):
        objects, arrays, strings = describe(reading, path + ".*" * depth)[1:]
        children = sum(lengths_in([objects, arrays]))
        nodes, size = nodes + children, size + sum(lengths_in([strings]))
        if nodes > SMALL or size > WHOLE:
            return False
        if not children:
            return True
    return False
