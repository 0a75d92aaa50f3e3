"""What a Redis type is to the console: the class to derive from, and what reading one gives.

A type is one module here with a KeyType in `TYPES`, and one template `templates/keys/types/<slug>.html`. A KeyType has faces (a
string can be read as bytes, as a bitmap, as a HyperLogLog); a face is a form of query parameters and a function that reads one
bounded Page. Reading is pure: it writes nothing, decodes nothing, and asks for no more than `bounds` allows. Opening a key of
a million elements costs what a small one costs.

**The contract of the templates.** `templates/keys/types/<slug>.html` is the inside of the value partial. Its context:

    type   the KeyType
    page   the Page read; `page.face` the Face, `page.faces` those to offer as tabs, `page.query` the parameters given, as text
    urls   "page": the value partial; "element": one element read whole; "download": a string's raw bytes, or None

`page.next_query` and `page.previous_query` follow a "?" (empty: nothing there). A value cell is
`{% include "keys/_value.html" with value=row.value %}` for an Element; one that is `cut` can be read whole at
`{{ urls.element }}?element={{ value.address|urlencode }}`, one that is `hidden` is masked: only its length shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from keyspace.errors import BadInput, Denied
from keyspace.types.editing import Edit
from keyspace.types.elements import Element, hide_values
from keyspace.types.reading import PageForm, Reading, gone
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection

__all__ = ["Edit", "Element", "Face", "KeyType", "Page", "gone"]


@dataclass(frozen=True)
class Face:
    """One way to read a type: `read` turns a Reading into a Page, `form` has its parameters.

    `revealing` names the parameters that test values (a pattern for members); they, and a face that `reveals` by itself, are
    refused while the values of the key are masked.
    """

    slug: str
    label: str
    form: type[PageForm]
    read: "Callable[[Reading], Page]"
    revealing: frozenset[str] = frozenset()
    reveals: bool = False


@dataclass(frozen=True, kw_only=True)
class Page:
    """A bounded part of a value. `rows` are the face's own dataclasses, `total` the key's length in its type's noun.

    `next` and `previous` are the parameters that read the neighbouring pages, or None. A search that is not `done` stopped for
    its time or size: `next` goes on, and `looked_at` says how many elements it has passed.
    """

    rows: tuple[Any, ...] = ()
    total: int
    next: dict[str, str] | None = None
    previous: dict[str, str] | None = None
    note: str = ""
    looked_at: int | None = None
    offered: tuple[str, ...] | None = None
    face: Face | None = None
    faces: tuple[Face, ...] = ()
    query: dict[str, str] = field(default_factory=dict)
    masked: bool = False

    @property
    def done(self) -> bool:
        return self.next is None

    @property
    def next_query(self) -> str:
        return self._address(self.next)

    @property
    def previous_query(self) -> str:
        return self._address(self.previous)

    def _address(self, parameters: dict[str, str] | None) -> str:
        if parameters is None:
            return ""
        face = {"face": self.face.slug} if self.face and self.face is not self.faces[0] else {}
        return urlencode(face | parameters)


class KeyType:
    """A Redis type. Derive, fill in the names, and list the faces; the first face is what opening a key shows."""

    name: ClassVar[str]
    """As TYPE answers."""
    slug: ClassVar[str]
    """Of the template and of the badge's colour."""
    label: ClassVar[str]
    noun: ClassVar[str]
    """What its length counts, in the plural."""
    faces: ClassVar[tuple[Face, ...]]
    edits: ClassVar[tuple[type[Edit], ...]] = ()
    memory_walks: ClassVar[bool] = False
    """Whether MEMORY USAGE visits the whole value (a module's does), so that nobody asks for it unasked."""

    def length_command(self, name: bytes) -> Command | None:
        """The O(1) command whose answer `length_of` reads, or None where there is none."""
        raise NotImplementedError

    def length_of(self, answer: Any) -> int | None:
        """The length in an answer to `length_command`."""
        return answer if isinstance(answer, int) else None

    def may_measure(self, connection: "Connection", name: bytes) -> bool:
        """Whether MEMORY USAGE of this key is cheap enough to ask unasked."""
        return not self.memory_walks

    def read_page(
        self,
        connection: "Connection",
        name: bytes,
        *,
        query: Mapping[str, str] | None = None,
        masked: bool = False,
    ) -> Page:
        """One bounded page. `query` has text parameters as an address carries them, `face` among them; unknown ones are ignored.

        `masked` reads without the bytes of values, and refuses what would reveal them. Raises BadInput for parameters that
        are not valid, NotFound when the key is gone, Denied, and what redis-py raises.
        """
        query = query or {}
        face = self._face(query.get("face", ""))
        form = face.form({key: query[key] for key in query})
        reading = Reading(connection, name, form.asked(), form.given())
        if masked and (face.reveals or face.revealing & reading.given.keys()):
            raise Denied("The values of this key are masked, so it cannot be read or searched in this way.",
                         "Reveal them first, if your role lets you.")  # fmt: skip
        page = face.read(reading)
        offered = [
            each for each in self.faces if page.offered is None or each.slug in page.offered or each is face
        ]
        shown = tuple(each for each in offered if not (masked and each.reveals))
        page = hide_values(page) if masked else page
        return replace(page, face=face, faces=shown, query=reading.given, masked=masked)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        """One element whole (at most WHOLE bytes of it), by the `address` a page gave it.

        Raises BadInput for an address that no page makes, NotFound when the element is gone, TooLarge.
        """
        raise BadInput(
            "Values of this type have no elements to read one by one.", "Open the key anew from the list."
        )

    def _face(self, slug: str) -> Face:
        for face in self.faces:
            if not slug or face.slug == slug:
                return face
        raise BadInput(f"A {self.label} cannot be read in this way.", "Open the key anew from the list.")
