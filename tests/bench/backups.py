"""Backups of a million keys, about 300 MB of RDB."""

import itertools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis

from keyspace.backups import store, verify
from keyspace.backups.archive import ArchiveReader, ArchiveWriter
from keyspace.backups.comparing import compare_sides
from keyspace.backups.dumps import Dump, read_dumps
from keyspace.backups.pull import Pulled, pull_rdb
from keyspace.backups.restore import Policy, restore_pages
from keyspace.backups.statistics import analyse
from keyspace.servers import Client, Endpoint, open_client
from keyspace.wire import open_wire
from tests.bench.bare import Bare
from tests.bench.measure import Figures, compare, figure, neighbour, percentile
from tests.servers import RunningServer, start_server

KEYS, VALUE_BYTES, RUNS = 1_000_000, 280, 3
PULL_RUNS = 7  # the disk and the fork make single ones differ by half
PULL_MB, COMPARE_MB = 32.0, 128.0
Pages = list[list[Dump]]


def run() -> Figures:
    with (
        start_server("valkey9", config={"rdbcompression": "no"}) as source,
        start_server("valkey9") as target,
    ):
        source.client(socket_timeout=120).execute_command("DEBUG", "POPULATE", KEYS, "key", VALUE_BYTES)
        return (
            pulls(source)
            | exports(source)
            | restores(source, target)
            | verifies(source)
            | compares(source)
            | statistics(source)
            | neighbours(source, target)
        )


def endpoint(server: RunningServer) -> Endpoint:
    return Endpoint(socket=server.socket, timeout=60)


def pull(server: RunningServer, name: str = "bench/0.rdb") -> tuple[Pulled, store.StoredFile]:
    (store.directory() / name).unlink(missing_ok=True)
    with store.Part(name) as part:
        pulled = pull_rdb(endpoint(server), version="9.1.0", write=part.write_now)
        return pulled, part.commit()


def drain(server: RunningServer) -> None:
    """The same stream, read by a bare socket and thrown away."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(server.socket)
        for words in (b"capa eof", b"rdb-only 1", b"version 9.1.0"):
            link.sendall(b"REPLCONF " + words + b"\r\n")
            link.recv(64)
        link.sendall(b"SYNC\r\n")
        buffer = bytearray(1024 * 1024)
        while link.recv_into(buffer):
            pass


def pulls(server: RunningServer) -> Figures:
    number = itertools.count(1)  # a name of its own each time, as backups have: nothing old is replaced
    figures = compare(
        "pull", lambda: pull(server, f"pull{next(number)}/0.rdb"), lambda: drain(server), runs=PULL_RUNS
    )
    with growth() as grown:
        pull(server)
    return figures | {"pull_memory": figure(grown[0], PULL_MB, "MB of growth, of what may be")}


@contextmanager
def growth() -> Iterator[list[float]]:
    """By how many MB the process grew at most while the block ran."""
    found, stop, before = [0.0], threading.Event(), resident()

    def watch() -> None:
        while not stop.wait(0.01):
            found[0] = max(found[0], (resident() - before) / 1e6)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def export(client: Client, name: str = "bench/0.ksarch") -> store.StoredFile:
    with store.Part(name) as part:
        writer = ArchiveWriter(part.write, {"server": "bench"})
        for page in read_dumps(client):
            writer.add(0, page)
        writer.finish()
        return part.commit()


def dump_all(bare: Bare) -> None:
    """SCAN, DUMP and PTTL of every key, thrown away."""
    at = b"0"
    while True:
        at, names = bare.ask(hiredis.pack_command(("SCAN", at, "COUNT", 500)))[0]
        if names:
            bare.ask(
                b"".join(
                    hiredis.pack_command(("DUMP", n)) + hiredis.pack_command(("PTTL", n)) for n in names
                ),
                2 * len(names),
            )
        if at == b"0":
            return


def exports(server: RunningServer) -> Figures:
    client, bare = open_client(endpoint(server)), Bare(server)
    return compare("export", lambda: export(client), lambda: dump_all(bare), runs=RUNS)


def archived(name: str) -> Iterator[tuple[int, list[Dump]]]:
    with store.open_file(name) as source:
        yield from ArchiveReader(source).pages()


def restore(target: RunningServer) -> None:
    client = open_client(endpoint(target))
    client.flushall()
    report = restore_pages(
        lambda db: client, archived("bench/0.ksarch"), Policy("skip"), progress=lambda report: None
    )
    assert report.restored == KEYS


def bare_restore(bare: Bare, pages: Pages) -> None:
    bare.ask(hiredis.pack_command(("FLUSHALL",)))
    for page in pages:
        bare.ask(
            b"".join(hiredis.pack_command(("RESTORE", dump.name, 0, dump.payload)) for dump in page),
            len(page),
        )


def restores(server: RunningServer, target: RunningServer) -> Figures:
    export(open_client(endpoint(server)))
    pages = [page[at : at + 250] for _, page in archived("bench/0.ksarch") for at in range(0, len(page), 250)]
    bare = Bare(target)
    return compare("restore", lambda: restore(target), lambda: bare_restore(bare, pages), runs=RUNS)


def verifies(server: RunningServer) -> Figures:
    _, kept = pull(server)
    stored = {"name": kept.name, "size": kept.size, "sha256": kept.sha256}
    path = store.directory() / kept.name

    def ours() -> None:
        verdict = verify._verify_rdb(path, stored, lambda done, total: None, distrust=False)
        assert verdict.keys == {0: KEYS}, verdict

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "dump.rdb").symlink_to(path)
        return compare("verify", ours, lambda: load_alone(place), runs=RUNS)


def load_alone(place: str) -> None:
    """valkey-server from its start until it answers."""
    with start_server("valkey9", config={"dir": place}) as server:
        client = server.client()
        while client.info("persistence")["loading"]:
            time.sleep(0.005)


def changed(pages: Iterator[tuple[int, list[Dump]]]) -> Iterator[tuple[int, list[Dump]]]:
    """One key of a hundred with another value."""
    number = 0
    for db, page in pages:
        for at in range(-number % 100, len(page), 100):
            page[at] = Dump(page[at].name, None, b"\x00\x01x" + page[at].payload[-10:])
        number += len(page)
        yield db, page


def compares(server: RunningServer) -> Figures:
    export(open_client(endpoint(server)))
    with store.Part("bench/1.ksarch") as part:
        writer = ArchiveWriter(part.write, {"server": "bench"})
        for db, page in changed(archived("bench/0.ksarch")):
            writer.add(db, page)
        writer.finish()
        part.commit()
    began = time.perf_counter()
    with growth() as grown:
        found = compare_sides(
            archived("bench/0.ksarch"), archived("bench/1.ksarch"), progress=lambda done, phase: None
        )
    took = time.perf_counter() - began
    assert found.counts["changed"] == KEYS // 100, found.counts
    return {
        "compare": figure(2 * KEYS / took / 1000, None, "thousand keys/s"),
        "compare_memory": figure(grown[0], COMPARE_MB, "MB of growth, of what may be"),
    }


def statistics(server: RunningServer) -> Figures:
    """Adding up a loaded backup, over TYPE, PEXPIRETIME and MEMORY USAGE of each key thrown away."""
    endless = open_client(endpoint(server))

    def ours() -> None:
        assert analyse(lambda db: endless, 0, lambda done: None)["total"][0] == KEYS

    def bare() -> None:
        with open_wire(endless) as wire:
            cursor: bytes | int = 0
            while cursor != b"0":
                cursor, names = wire.call("SCAN", cursor, "COUNT", 500)
                asked = [[("TYPE", name), ("PEXPIRETIME", name), ("MEMORY", "USAGE", name)] for name in names]
                wire.call_many([command for commands in asked for command in commands])

    with growth() as grown:
        figures = compare("statistics", ours, bare, runs=RUNS)
    return figures | {"statistics_memory": figure(grown[0], None, "MB, at most 64")}


def neighbours(server: RunningServer, target: RunningServer) -> Figures:
    """p99 of another client's PING on the server that works, beside the same when nothing happens."""
    client = open_client(endpoint(server))
    with neighbour(server) as idle:
        time.sleep(2)
    works: tuple[tuple[str, RunningServer, Callable[[], Any]], ...] = (
        ("pull", server, lambda: pull(server)), ("export", server, lambda: export(client)), ("restore", target, lambda: restore(target)),
    )  # fmt: skip
    figures: Figures = {}
    for name, busy, work in works:
        with neighbour(busy) as pings:
            work()
        row = figure(percentile(pings, 0.99), percentile(idle, 0.99), "ms")
        figures[f"{name}_neighbour"] = row | {"ratio": None}
    return figures
