"""What of the stream a viewer wants to see, decided on the server, before anything is dropped or sent."""

import time
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import regex

from keyspace.errors import BadInput
from keyspace.globs import compile_glob
from keyspace.pubsub.jsonpath import JsonPath, parse_path
from keyspace.pubsub.subscriptions import bytes_of

Message = list[Any]  # [kind, channel, payload] or [b"pmessage", pattern, channel, payload], all bytes
MAX_TEXT = 1000  # characters of a filter
REGEX_SECONDS = 0.02  # for one message
SLOW_SECONDS = 0.05  # spent on timeouts in one flush, after which the rest of the flush is not looked at


class Mode(StrEnum):
    CONTAINS = "contains"
    REGEX = "regex"
    JSON = "json"


@dataclass(frozen=True)
class Filter:
    """`channel` is a glob (empty: all); `text` is looked for in the payload as `mode` says (empty: all)."""

    mode: Mode = Mode.CONTAINS
    text: str = ""
    channel: bytes = b""
    ignore_case: bool = False

    def __bool__(self) -> bool:
        return bool(self.text or self.channel)

    def select(self, messages: list[Message]) -> tuple[list[Message], int]:
        """The messages that match, and how many could not be decided in time."""
        if self.channel:
            fits = compile_glob(self.channel).fullmatch
            messages = [message for message in messages if fits(message[-2])]
        if not self.text or not messages:
            return messages, 0
        if self.mode is Mode.JSON:
            matches = path_of(self.text).matches
            return [message for message in messages if matches(message[-1])], 0
        if self.mode is Mode.CONTAINS and not self.ignore_case:
            needle = bytes_of(self.text)
            return [message for message in messages if needle in message[-1]], 0
        return _search(pattern_of(self), messages)

    def check(self) -> "Filter":
        """Raises BadInput when it cannot be understood."""
        if len(self.text) > MAX_TEXT or len(self.channel) > MAX_TEXT:
            raise BadInput(f"A filter may be {MAX_TEXT} characters long.")
        if self.text and self.mode is Mode.JSON:
            path_of(self.text)
        elif self.text:
            pattern_of(self)
        return self


def _search(pattern: "regex.Pattern[bytes]", messages: list[Message]) -> tuple[list[Message], int]:
    """A search that gives up on a message after REGEX_SECONDS, and on the rest of them after SLOW_SECONDS lost so."""
    matched: list[Message] = []
    slow, lost = 0, 0.0
    search, add = pattern.search, matched.append
    for at, message in enumerate(messages):
        began = time.perf_counter()
        try:
            if search(message[-1], timeout=REGEX_SECONDS):
                add(message)
        except TimeoutError:
            slow += 1
            lost += time.perf_counter() - began
            if lost > SLOW_SECONDS:
                return matched, slow + len(messages) - at - 1
    return matched, slow


@lru_cache(maxsize=256)
def path_of(text: str) -> JsonPath:
    return parse_path(text)


@lru_cache(maxsize=256)
def pattern_of(wanted: Filter) -> "regex.Pattern[bytes]":
    text = bytes_of(wanted.text)
    if wanted.mode is Mode.CONTAINS:
        text = regex.escape(text, special_only=True)
    flags = regex.DOTALL | (regex.IGNORECASE if wanted.ignore_case else 0)
    try:
        return regex.compile(text, flags, cache_pattern=False)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise BadInput(f"This regular expression is not understood: {str(error)[:120]}.") from None


def read_filter(given: Any) -> Filter:
    """The filter behind {"mode", "text", "channel", "ignore_case"} as a browser sends it. Raises BadInput."""
    if given is None:
        return Filter()
    if not isinstance(given, dict) or not all(
        isinstance(given.get(name, ""), str) for name in ("mode", "text", "channel")
    ):
        raise BadInput("This filter is not understood.")
    mode = given.get("mode") or Mode.CONTAINS
    if mode not in set(Mode):
        raise BadInput(f"There is no filter of the kind {mode[:40]!r}.")
    channel = bytes_of(given.get("channel", ""))
    return Filter(Mode(mode), given.get("text", ""), channel, bool(given.get("ignore_case"))).check()
