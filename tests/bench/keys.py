"""The keys page's services on a million mixed keys."""

import hiredis

from keyspace import keys
from keyspace.counts import Count, count_tree
from keyspace.servers import Connection
from tests.bench.bare import Bare
from tests.bench.measure import Figures, compare, figure, neighbour, percentile
from tests.servers import RunningServer

RARE = b"*needle-in-the-haystack*"
LENGTHS = {
    b"string": "STRLEN",
    b"list": "LLEN",
    b"hash": "HLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"stream": "XLEN",
}


def run(server: RunningServer, connection: Connection) -> Figures:
    bare = Bare(server)
    return {
        **browse_page(bare, connection),
        **search_all(bare, connection),
        **true_counts(bare, connection),
        **neighbours(server, bare, connection),
    }


def browse_page(bare: Bare, connection: Connection) -> Figures:
    names = bare.names(200)
    first = b"".join(
        hiredis.pack_command(command)
        for name in names
        for command in (("TYPE", name), ("PTTL", name), ("MEMORY", "USAGE", name))
    )
    types = bare.ask(first, 600)[::3]
    second = b"".join(
        hiredis.pack_command((LENGTHS[kind], name)) for kind, name in zip(types, names, strict=True)
    )

    def reference() -> None:
        bare.ask(first, 600)
        bare.ask(second, 200)

    return compare(
        "browse_page", lambda: keys.describe_keys(connection, names=names), reference, runs=101, unit="ms"
    )


def search(connection: Connection) -> int:
    """Every key that matches the rare pattern, step after step as the page does it."""
    cursor, found = None, 0
    while True:
        step = keys.scan_keys(connection, filter=keys.Filter(RARE), cursor=cursor)
        found += len(step.names)
        cursor = step.cursor
        if cursor is None:
            return found


def search_all(bare: Bare, connection: Connection) -> Figures:
    return compare(
        "search_all", lambda: search(connection), lambda: bare.scan("MATCH", RARE, "COUNT", 1000), runs=9
    )


def true_counts(bare: Bare, connection: Connection) -> Figures:
    def ours() -> None:
        count_tree(connection, Count(0, 0), separator=b":")

    return compare("true_counts", ours, lambda: bare.scan("COUNT", 1000), runs=7)


def neighbours(server: RunningServer, bare: Bare, connection: Connection) -> Figures:
    """p99 of another client's PING during a search and during the bare loop, by turns."""
    pings: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(5):
        with neighbour(server) as heard:
            search(connection), search(connection)
        pings["ours"] += heard
        with neighbour(server) as heard:
            bare.scan("MATCH", RARE, "COUNT", 1000), bare.scan("MATCH", RARE, "COUNT", 1000)
        pings["bare"] += heard
    return {"neighbour": figure(percentile(pings["ours"], 0.99), percentile(pings["bare"], 0.99), "ms p99")}
