"""Lists: a window by position, from either end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from keyspace.errors import BadInput, NotFound
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bounds import WHOLE
from keyspace.types.elements import Element, element
from keyspace.types.list_edits import LIST_EDITS
from keyspace.types.reading import Reading, StartForm
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection


class WindowForm(StartForm):
    """`start` counts from the `side` that the window is read from."""

    side = forms.ChoiceField(choices=[("head", "From the head"), ("tail", "From the tail")], required=False)

    defaults: ClassVar[dict[str, Any]] = {"start": 0, "side": "head"}


@dataclass(frozen=True)
class ListRow:
    """`index` counts from the head; from the tail it is negative (-1: the last), so that a push at the head does not shift it."""

    index: int
    value: Element


def read_window(reading: Reading) -> Page:
    total, budget, _ = reading.size(("LLEN", reading.name))
    start, tail = reading.asked["start"], reading.asked["side"] == "tail"
    values: list[bytes] = []
    while wanted := budget.step():
        at = start + len(values)
        brought = reading.ask(("LRANGE", reading.name, *_range(at, wanted, tail)))[0]
        values += reversed(brought) if tail else brought
        budget.took([len(value) for value in brought])
        if len(brought) < wanted:
            break
    end = start + len(values)
    return Page(
        rows=tuple(_row(start + at, value, tail) for at, value in enumerate(values)),
        total=total,
        next=reading.with_(start=end) if end < total and values else None,
        previous=reading.with_(start=max(0, start - reading.asked["count"]) or None) if start else None,
    )


def _range(at: int, wanted: int, tail: bool) -> tuple[int, int]:
    """LRANGE's two ends for `wanted` elements, `at` from the head or the tail."""
    return (-(at + wanted), -(at + 1)) if tail else (at, at + wanted - 1)


def _row(at: int, value: bytes, tail: bool) -> ListRow:
    index = -(at + 1) if tail else at
    return ListRow(index, element(value, address=str(index)))


class ListType(KeyType):
    name, slug, label, noun = "list", "list", "list", "elements"
    faces = (Face("window", "Elements", WindowForm, read_window),)
    edits = LIST_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("LLEN", name)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        try:
            index = int(address)
        except ValueError as error:
            raise BadInput("This is not the address of an element.", "Open the key anew.") from error
        if abs(index) >= 2**62:
            raise BadInput("This is not the address of an element.", "Open the key anew.")
        value = Reading(connection, name, {}).ask(("LINDEX", name, index))[0]
        if value is None:
            raise NotFound("There is no element at this index any more.", "Reload the list.")
        return Element(value[:WHOLE], len(value), address)
