"""A small JSON path with a comparison: ``$.asset = "BRL"``, ``$.items[0].qty >= 3``, ``$["odd name"]``, ``$.tags[*] = "new"``.

Without a comparison the path only has to exist. A value is JSON, or a bare word that stands for itself as text.
"""

import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from keyspace.errors import BadInput

_STEP = re.compile(
    r"""\s*(?:\.(?P<name>[^\s.\[\]=!<>"']+)|\[(?P<index>-?\d{1,9})\]|\[(?P<each>\*)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\])"""
)
_COMPARISON = re.compile(r"\s*(?P<sign>==|=|!=|>=|<=|>|<)\s*(?P<value>.+?)\s*\Z", re.DOTALL)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip
_PLAIN = re.compile(r"[\w @:;,.+*#/-]+\Z", re.ASCII)
MAX_STEPS = 32
EACH, NOTHING = object(), object()


@dataclass(frozen=True)
class JsonPath:
    """`steps` are names, indexes or EACH; `compare` of None asks whether the path exists."""

    steps: tuple[Any, ...]
    compare: Callable[[Any, Any], bool] | None = None
    value: Any = None
    needle: bytes | None = None  # bytes that any match holds, unless it holds a backslash

    def matches(self, payload: bytes) -> bool:
        """Whether `payload` is JSON with such a value; what is not JSON does not match."""
        if self.needle is not None and self.needle not in payload and b"\\" not in payload:
            return False
        try:
            document = json.loads(payload)
        except (ValueError, RecursionError):
            return False
        return any(self._fits(found) for found in _walk(document, self.steps))

    def _fits(self, found: Any) -> bool:
        if self.compare is None:
            return True
        if _kind(found) != _kind(self.value):
            return self.compare is operator.ne
        try:
            return self.compare(found, self.value)
        except TypeError:
            return False


def _kind(value: Any) -> str:
    """Numbers are one kind; true is not 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return type(value).__name__
    return "number"


def _walk(value: Any, steps: tuple[Any, ...]) -> Iterator[Any]:
    for at, step in enumerate(steps):
        if step is EACH:
            parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
            for part in parts:
                yield from _walk(part, steps[at + 1 :])
            return
        value = _step_into(value, step)
        if value is NOTHING:
            return
    yield value


def _step_into(value: Any, step: str | int) -> Any:
    if isinstance(step, str):
        return value.get(step, NOTHING) if isinstance(value, dict) else NOTHING
    return value[step] if isinstance(value, list) and -len(value) <= step < len(value) else NOTHING


def parse_path(text: str) -> JsonPath:
    """Raises BadInput with the place where it stopped making sense."""
    text = text.strip()
    if not text.startswith("$"):
        raise BadInput("A JSON path begins with $.", 'Like this: $.asset = "BRL"')
    steps, at = [], 1
    while found := _STEP.match(text, at):
        steps.append(_step(found))
        at = found.end()
    if len(steps) > MAX_STEPS:
        raise BadInput(f"A JSON path may have {MAX_STEPS} steps.")
    rest = text[at:]
    if not rest.strip():
        return JsonPath(tuple(steps))
    comparison = _COMPARISON.fullmatch(rest)
    if comparison is None:
        raise BadInput(
            f"This JSON path is not understood from {rest.strip()[:40]!r} on.",
            'Like this: $.items[0].asset = "BRL"',
        )
    value = _value(comparison["value"])
    sign = _SIGNS[comparison["sign"]]
    return JsonPath(tuple(steps), sign, value, _needle(sign, value))


def _step(found: re.Match[str]) -> Any:
    if found["each"]:
        return EACH
    if found["index"]:
        return int(found["index"])
    if found["quoted"] is None:
        return found["name"]
    try:
        return json.loads(found["quoted"])
    except ValueError:
        raise BadInput(f"{found['quoted'][:40]} is not a quoted name.") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.strip("'")


def _needle(sign: Callable[[Any, Any], bool], value: Any) -> bytes | None:
    if sign is operator.eq and isinstance(value, str) and _PLAIN.match(value):
        return b'"' + value.encode() + b'"'
    return None
