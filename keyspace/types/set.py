"""Sets: SSCAN with MATCH, or one member looked up."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyspace.errors import BadInput, NotFound
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bounds import SCAN_COUNT, SHOWN, WHOLE
from keyspace.types.elements import Element, element
from keyspace.types.reading import Reading
from keyspace.types.scanning import ScanForm, Step, exact, onward, scan
from keyspace.types.set_edits import SET_EDITS
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection


@dataclass(frozen=True)
class SetRow:
    member: Element


def read_members(reading: Reading) -> Page:
    member = exact(reading)
    if member is not None:
        total, _, (found,) = reading.size(("SCARD", reading.name), ("SISMEMBER", reading.name, member))
        return Page(rows=(SetRow(element(member)),) if found else (), total=total, looked_at=total)
    total, budget, _ = reading.size(("SCARD", reading.name))
    members, state = scan(reading, "SSCAN", budget, parse=list, size=len)
    rows = tuple(SetRow(element(each, address=_address(each, step))) for each, step in members.items())
    return Page(
        rows=rows,
        total=total,
        next=onward(reading, state),
        looked_at=state.of(total),
    )


def _address(member: bytes, step: Step) -> str:
    """Only a member too long to show needs one: where it was found, and its digest."""
    return f"{step.cursor}.{step.count}.{hashlib.sha1(member).hexdigest()}" if len(member) > SHOWN else ""


class SetType(KeyType):
    name, slug, label, noun = "set", "set", "set", "members"
    faces = (Face("members", "Members", ScanForm, read_members, revealing=frozenset({"find"})),)
    edits = SET_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("SCARD", name)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        cursor, count, digest = _parts(address)
        answer = Reading(connection, name, {}).ask(("SSCAN", name, cursor, "COUNT", count))[0]
        for member in answer[1]:
            if hashlib.sha1(member).hexdigest() == digest:
                return Element(member[:WHOLE], len(member), address)
        raise NotFound("This member is not where it was.", "Reload the set.")


def _parts(address: str) -> tuple[str, int, str]:
    cursor, _, rest = address.partition(".")
    count, _, digest = rest.partition(".")
    if not (
        cursor.isdecimal()
        and len(cursor) <= 20
        and count.isdecimal()
        and 0 < int(count[:9]) <= SCAN_COUNT
        and digest
    ):
        raise BadInput("This is not the address of a member.", "Open the key anew.")
    return cursor, int(count), digest
