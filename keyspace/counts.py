"""True counts for the tree: one SCAN pass over a whole db, which a person starts, in a thread of its own.

The pass counts each key under the longest prefix that ends with the separator; `build_tree` then adds the folders up. A finished
count is kept in this process with its age until a newer one replaces it, for as many scopes as KEPT.
"""

import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from keyspace.access import Permission, performs
from keyspace.errors import BadInput, Problem, explain
from keyspace.globs import compile_glob
from keyspace.keys import SCAN_COUNT
from keyspace.servers import Connection
from keyspace.wire import open_wire

FREE_KEYS = 200_000
MAX_FOLDERS = 400_000
KEPT = 16


@dataclass(frozen=True)
class Folder:
    """A prefix, separator included: `keys` in it and below, `here` directly in it."""

    prefix: bytes
    label: bytes
    keys: int
    here: int
    folders: int


@dataclass
class Tree:
    """`totals` keys below each prefix, `here` directly in it, `children` its sub-folders. `depth`: deeper folders were folded together
    (0: none), because there were more than MAX_FOLDERS."""

    separator: bytes
    totals: dict[bytes, int]
    here: dict[bytes, int]
    children: dict[bytes, list[bytes]]
    depth: int = 0

    def folder(self, prefix: bytes) -> Folder:
        parent = _parent(prefix, self.separator)
        folders = len(self.children.get(prefix, ()))
        return Folder(
            prefix, prefix[len(parent) :], self.totals.get(prefix, 0), self.here.get(prefix, 0), folders
        )

    def folders_in(
        self, prefix: bytes, *, sort: str = "size", start: int = 0, most: int = 200
    ) -> list[Folder]:
        """The folders directly in `prefix`, by size (largest first) or name, `most` of them from `start` on."""
        order = (lambda child: (-self.totals[child], child)) if sort == "size" else (lambda child: (0, child))
        return [
            self.folder(child)
            for child in sorted(self.children.get(prefix, ()), key=order)[start : start + most]
        ]


@dataclass
class Count:
    """One counting pass. `tree` is there once it is done; `problem` when it failed; times are of the clock `time.time`."""

    began: float
    total: int
    looked: int = 0
    kept: int = 0
    took: float = 0.0
    tree: Tree | None = None
    problem: Problem | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    polled: float = field(default_factory=time.monotonic)
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self.tree is None and self.problem is None and not self.stop.is_set()

    @property
    def percent(self) -> int:
        return min(99, self.looked * 100 // max(1, self.total)) if self.running else 100


Scope = tuple[str, int, bytes, tuple[bytes, ...]]
_running: dict[Scope, Count] = {}
_done: OrderedDict[Scope, Count] = OrderedDict()
_lock = threading.Lock()


def _scope(connection: Connection, separator: bytes) -> Scope:
    if not 1 <= len(separator) <= 8:
        raise BadInput("A separator has one to eight bytes.", "Use : or another short text.")
    return connection.server.name, connection.db, separator, connection.access.patterns


@performs(Permission.READ_KEYS)
def start_count(connection: Connection, *, separator: bytes = b":") -> Count:
    """Begin a pass, or join the one that runs for the same db, separator and key patterns."""
    scope = _scope(connection, separator)
    total = connection.redis.dbsize()
    with _lock:
        count = _running.get(scope)
        if count is not None and count.running:
            return count
        count = _running[scope] = Count(time.time(), total)
        count.thread = threading.Thread(
            target=_run, args=(connection, scope, count), daemon=True, name="count"
        )
        count.thread.start()
    return count


@performs(Permission.READ_KEYS)
def get_count(connection: Connection, *, separator: bytes = b":", free: bool = True) -> Count | None:
    """The running pass, else the last finished one; where there is none and the db is small (`free`), a fresh one, at once."""
    scope = _scope(connection, separator)
    count = _running.get(scope) or _done.get(scope)
    if count is None and free and connection.redis.dbsize() <= FREE_KEYS:
        count = start_count(connection, separator=separator)
        if count.thread is not None:
            count.thread.join(2.0)
    if count is not None:
        count.polled = time.monotonic()
    return count


@performs(Permission.READ_KEYS)
def stop_count(connection: Connection, *, separator: bytes = b":") -> None:
    """End the running pass; what was counted before stays."""
    count = _running.pop(_scope(connection, separator), None)
    if count is not None:
        count.stop.set()


def _run(connection: Connection, scope: Scope, count: Count) -> None:
    try:
        tree = count_tree(connection, count, separator=scope[2])
        count.took = time.time() - count.began
        count.tree = tree
    except Exception as error:
        count.problem = explain(error)
    with _lock:
        if _running.get(scope) is count:
            del _running[scope]
        if not count.stop.is_set():
            _done[scope] = count
            _done.move_to_end(scope)
            while len(_done) > KEPT:
                _done.popitem(last=False)


def count_tree(connection: Connection, count: Count, *, separator: bytes) -> Tree | None:
    """The pass itself; None when it was stopped, or when nobody has asked for its progress for 30 s."""
    parents: Counter[bytes] = Counter()
    seen = _seen_by(connection.access.patterns)
    cut, depth = len(separator), 0
    with open_wire(connection.redis) as wire:
        at = b"0"
        while not count.stop.is_set():
            at, names = wire.call("SCAN", at, "COUNT", SCAN_COUNT)
            if seen is not None:
                names = [name for name in names if seen(name)]
            count.kept += len(names)
            if cut == 1:
                parents.update([name[: name.rfind(separator) + 1] for name in names])
            else:
                parents.update([_parent(name + separator, separator) for name in names])
            count.looked += SCAN_COUNT
            if len(parents) > MAX_FOLDERS:
                depth = _fold(parents, separator, depth)
            if at == b"0":
                return build_tree(parents, separator, depth)
            if time.monotonic() - count.polled > 30:
                count.stop.set()
    return None


def _seen_by(patterns: tuple[bytes, ...]):  # type: ignore[no-untyped-def]
    """A test for names, or None when all are seen; one pattern is one call into `re`."""
    if not patterns:
        return None
    tests = [compile_glob(pattern).fullmatch for pattern in patterns]
    return tests[0] if len(tests) == 1 else lambda name: any(test(name) for test in tests)


def _fold(parents: "Counter[bytes]", separator: bytes, depth: int) -> int:
    """Too many folders to hold: keep prefixes of fewer parts, until half of the room is free."""
    depth = depth or max(prefix.count(separator) for prefix in parents)
    while len(parents) > MAX_FOLDERS // 2 and depth > 1:
        depth -= 1
        folded: Counter[bytes] = Counter()
        for prefix, keys in parents.items():
            parts = prefix.split(separator, depth)
            folded[separator.join(parts[:depth]) + separator if len(parts) > depth else prefix] += keys
        parents.clear()
        parents.update(folded)
    return depth


def _parent(prefix: bytes, separator: bytes) -> bytes:
    """`a:b:` -> `a:` -> `` ; the prefix one folder up."""
    at = prefix.rfind(separator, 0, len(prefix) - len(separator))
    return prefix[: at + len(separator)] if at >= 0 else b""


def build_tree(parents: "Counter[bytes]", separator: bytes, depth: int = 0) -> Tree:
    """Add the folders up, the longest prefixes first, so that each passes its sum to its parent once."""
    totals: dict[bytes, int] = dict(parents)
    children: dict[bytes, list[bytes]] = {}
    by_length: dict[int, list[bytes]] = {}
    for prefix in parents:
        by_length.setdefault(len(prefix), []).append(prefix)
    for length in range(max(by_length, default=0), 0, -1):
        for prefix in by_length.pop(length, ()):
            parent = _parent(prefix, separator)
            children.setdefault(parent, []).append(prefix)
            if parent not in totals:
                totals[parent] = 0
                by_length.setdefault(len(parent), []).append(parent)
            totals[parent] += totals[prefix]
    totals.setdefault(b"", 0)
    return Tree(separator, totals, dict(parents), children, depth)


def forget_counts() -> None:
    """For tests: no count is known."""
    _done.clear()
    _running.clear()
