"""Search inside a hash, set or sorted set with HSCAN, SSCAN or ZSCAN: in steps, within a time and a size."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from django import forms

from keyspace.globs import is_glob
from keyspace.types.bounds import SCAN_COUNT, SCAN_SECONDS, Budget
from keyspace.types.reading import BytesField, PageForm, Reading
from keyspace.wire import Command

Found = TypeVar("Found", bound=Hashable)


class ScanForm(PageForm):
    """`find` is a glob pattern, or a whole name that is looked up at once. `cursor` is the server's; `skip` passes over what of
    its step was shown already (a compact key comes in one step whatever COUNT says); `seen` counts the elements looked at."""

    find = BytesField(max_length=1024)
    cursor = forms.RegexField(r"\A\d{1,20}\Z", required=False)
    skip = forms.IntegerField(min_value=0, max_value=2**31, required=False)
    seen = forms.IntegerField(min_value=0, max_value=2**62, required=False)

    defaults: ClassVar[dict[str, Any]] = {"cursor": "0", "skip": 0, "seen": 0}

    def clean_cursor(self) -> str:
        cursor: str = self.cleaned_data["cursor"]
        if cursor and int(cursor) >= 2**64:
            raise forms.ValidationError("This is not a cursor.")
        return cursor


@dataclass(frozen=True)
class Step:
    """Where an element was found: the cursor and COUNT that find it again."""

    cursor: str
    count: int


@dataclass
class Scan:
    """How far a search has come. `found` has each element with the Step that brought it."""

    cursor: str
    skip: int
    looked_at: int
    done: bool = False

    def of(self, total: int) -> int:
        """How many of `total` elements were looked at: COUNT is not exact, the end is."""
        return total if self.done else min(self.looked_at, total)


def exact(reading: Reading) -> bytes | None:
    """The name asked for when `find` has nothing of a pattern: it is looked up, not searched."""
    sought: bytes | None = reading.asked["find"]
    return None if sought is None or is_glob(sought) else sought


def scan(
    reading: Reading,
    command: str,
    budget: Budget,
    *,
    parse: Callable[[list[Any]], list[Found]],
    size: Callable[[Found], int],
    options: tuple[str, ...] = (),
) -> tuple[dict[Found, Step], Scan]:
    """Elements from where the parameters say, until the budget or SCAN_SECONDS is used up.

    `parse` makes hashable elements of a step's reply; a scan may bring one twice, the dict holds it once. Without matches the
    steps grow to SCAN_COUNT, so that something rare in a million costs a thousandth of it in round trips.
    """
    state = Scan(reading.asked["cursor"], reading.asked["skip"], reading.asked["seen"])
    found: dict[Found, Step] = {}
    deadline = time.monotonic() + SCAN_SECONDS
    matched = passed = 0
    while wanted := budget.step():
        share = (matched + 1) / (passed + 1) if reading.asked["find"] else 1
        count = max(1, min(SCAN_COUNT, int(wanted / share)))
        cursor, items = _step(reading, command, state.cursor, count, options)
        fresh = [item for item in parse(items)[state.skip :] if item not in found]
        kept = _whole_key_in_one_step(state, cursor, fresh, budget)
        found |= dict.fromkeys(kept, Step(state.cursor, count))
        budget.took([size(item) for item in kept])
        matched, passed = matched + len(kept), passed + count
        if len(kept) < len(fresh):
            state.skip += len(kept)
            break
        state.cursor, state.skip, state.done = cursor, 0, cursor == "0"
        if state.done or time.monotonic() > deadline:
            break
    state.looked_at += max(passed, len(found))
    return found, state


def _step(
    reading: Reading, command: str, cursor: str, count: int, options: tuple[str, ...]
) -> tuple[str, list[Any]]:
    match: Command = ("MATCH", reading.asked["find"]) if reading.asked["find"] else ()
    answer = reading.ask((command, reading.name, cursor, *match, "COUNT", count, *options))[0]
    return answer[0].decode(), answer[1]


def _whole_key_in_one_step(state: Scan, cursor: str, fresh: list[Found], budget: Budget) -> list[Found]:
    """A compact key answers with everything it has whatever COUNT says: keep a page of it, the rest is skipped to later.

    Any other step is kept whole, a few elements over the page: its cursor has moved on.
    """
    return fresh[: budget.count - budget.taken] if state.cursor == cursor == "0" else fresh


def onward(reading: Reading, state: Scan) -> dict[str, str] | None:
    """The parameters that go on with a search, or None at its end."""
    if state.done:
        return None
    return reading.with_(cursor=state.cursor, skip=state.skip or None, seen=state.looked_at)
