"""What the left pane shows: rows found by a scan, or the tree with its counts."""

from dataclasses import dataclass, field

from console.keys.query import Query
from keyspace.counts import Count, Folder, get_count
from keyspace.errors import BadInput, NotFound, Problem, explain
from keyspace.keys import PAGE, Row, Step, describe_keys, find_key, scan_keys
from keyspace.servers import Connection

FOLDERS = 200


@dataclass(frozen=True)
class Found:
    """Rows of one step of a scan. `have` rows were shown since the person last asked for more.

    `goes_on` when the page should ask for the next step by itself; `refused` where the server does not let our user look for keys.
    """

    rows: list[Row]
    step: Step
    have: int
    problems: list[Problem] = field(default_factory=list)
    refused: bool = False

    @property
    def goes_on(self) -> bool:
        return self.step.cursor is not None and self.have < PAGE

    @property
    def percent(self) -> int | None:
        total = self.step.total
        return None if not total else min(100, self.step.looked * 100 // total)


@dataclass(frozen=True)
class Listing:
    """The pane: `view` is tree or list; `exact` the key with exactly the typed name; `count` the counting pass, if any."""

    query: Query
    view: str
    count: Count | None = None
    folders: list[Folder] = field(default_factory=list)
    more_folders: int = 0
    found: Found | None = None
    exact: Row | None = None
    root: bytes = b""

    @property
    def exact_rows(self) -> list[Row]:
        return [self.exact] if self.exact else []

    @property
    def root_here(self) -> int:
        """Keys that stand in no folder."""
        tree = self.count.tree if self.count else None
        return tree.here.get(b"", 0) if tree else 0


def read_listing(connection: Connection, query: Query) -> Listing:
    """The first step of a search, or the top of the tree where the counts are known or free."""
    wants_tree = query.view == "tree" or (query.view == "" and not query.filtered)
    count = get_count(connection, separator=query.filter.separator) if wants_tree else None
    if query.view == "tree" or (count is not None and count.tree is not None and wants_tree):
        folders, more = read_folders(count, b"", query)
        return Listing(query, "tree", count, folders, more)
    exact = find_exact(connection, query)
    return Listing(query, "list", count, found=read_rows(connection, query), exact=exact)


def find_exact(connection: Connection, query: Query) -> Row | None:
    if query.exact is None:
        return None
    try:
        return find_key(connection, query.exact)
    except NotFound:
        return None


def read_rows(connection: Connection, query: Query, *, cursor: str | None = None, have: int = 0) -> Found:
    try:
        step = scan_keys(connection, filter=query.filter, cursor=cursor, want=max(1, PAGE - have))
    except Exception as error:
        problem = explain(error)
        if isinstance(error, Problem) or problem.status != 403:
            raise
        return Found([], Step([], None, 0, None, 0.0), have, [problem], refused=True)
    rows, problems = describe_keys(connection, names=step.names)
    return Found(rows, step, have + len(rows), problems)


def read_folders(
    count: Count | None, prefix: bytes, query: Query, *, start: int = 0
) -> tuple[list[Folder], int]:
    """(the folders in `prefix` from `start` on, how many more there are)."""
    if start < 0:
        raise BadInput("There is no such page of folders.", "Open the folder again.")
    if count is None or count.tree is None:
        return [], 0
    folders = count.tree.folders_in(prefix, sort=query.sort, start=start, most=FOLDERS)
    return folders, max(0, len(count.tree.children.get(prefix, ())) - start - len(folders))
