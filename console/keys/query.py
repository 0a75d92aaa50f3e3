"""What the address of the keys page asks for: the filter, list or tree, and how to write the address again."""

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import QueryDict

from keyspace.encoding import from_key_id, from_text, key_id
from keyspace.errors import BadInput
from keyspace.keys import MAX_PATTERN, Filter, exact_name

VIEWS = ("", "tree", "list")
SORTS = ("size", "name")


@dataclass(frozen=True)
class Query:
    """`text` is what was typed into the filter; `view` "" leaves the choice to the page."""

    text: str = ""
    type: str = ""
    ttl: str = ""
    view: str = ""
    sort: str = "size"
    separator: str = ":"
    folder: bytes | None = None

    @property
    def filtered(self) -> bool:
        return self.text not in ("", "*") or bool(self.type or self.ttl)

    @property
    def exact(self) -> bytes | None:
        """The name that was typed, where it holds no glob."""
        return exact_name(from_text(self.text))

    @property
    def filter(self) -> Filter:
        """A text without a glob stands for every name that contains it."""
        match = from_text(self.text) or b"*"
        if self.exact is not None:
            match = b"*" + match + b"*"
        return Filter(match, self.type, self.ttl, self.folder, from_text(self.separator))

    def string(self, **changes: str) -> str:
        """The query string that leads here again, without what is as always."""
        query: Query = replace(self, **changes) if changes else self  # type: ignore[arg-type]
        parts = {"match": query.text, "type": query.type, "ttl": query.ttl, "view": query.view}
        parts |= {
            "sort": "" if query.sort == "size" else query.sort,
            "sep": "" if query.separator == ":" else query.separator,
        }
        parts["folder"] = "" if query.folder is None else key_id(query.folder)
        given = {name: value for name, value in parts.items() if value}
        return f"?{urlencode(given, errors='surrogateescape')}" if given else ""


def read_query(given: QueryDict) -> Query:
    """The Query in an address. Raises BadInput, with a sentence, for what no page of ours would write."""
    text = given.get("match", "").strip()
    if len(text) > MAX_PATTERN:
        raise BadInput(f"The pattern is longer than {MAX_PATTERN} characters.", "Shorten it.")
    view, sort, separator = given.get("view", ""), given.get("sort") or "size", given.get("sep") or ":"
    if view not in VIEWS or sort not in SORTS or not 1 <= len(from_text(separator)) <= 8:
        raise BadInput("This view of the keys does not exist.", "Choose tree or list, by size or name.")
    folder = from_key_id(given.get("folder", "")) if given.get("folder") else None
    query = Query(text, given.get("type", ""), given.get("ttl", ""), view, sort, separator, folder)
    query.filter.check()
    return query
