"""Bulk work on a million keys: its engine over the same commands from a bare loop, and what a neighbour feels of it."""

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import hiredis

from keyspace import exports, job_worker
from keyspace.backups import store
from keyspace.bulk.choice import Choice
from keyspace.bulk.pace import MOST_BATCH
from keyspace.bulk.services import Order, start_bulk, start_look
from keyspace.keys import Filter
from keyspace.models import Job, Server
from keyspace.servers import Connection, open_connection
from tests.bench.backups import dump_all
from tests.bench.bare import Bare
from tests.bench.measure import Figures, compare, figure, neighbour, percentile, seconds
from tests.servers import RunningServer, start_server

KEYS, VALUE_BYTES, RUNS = 1_000_000, 64, 3
PACED_KEYS = 100_000
CHOICE = Choice(Filter(b"key:*"))


def run() -> Figures:
    with start_server("valkey9") as server:
        connection = connect(server)
        return (
            deletes(server, connection)
            | ttls(server, connection)
            | exported(server, connection)
            | neighbours(server, connection)
        )


def connect(server: RunningServer) -> Connection:
    from tests.bench.__main__ import admin_connection

    Server.objects.get_or_create(name="bulk", defaults={"socket": server.socket})
    actor = admin_connection("large").actor
    return open_connection(actor, "bulk", 0)


def fill(server: RunningServer, keys: int = KEYS) -> None:
    client = server.client(socket_timeout=120)
    client.flushall()
    client.execute_command("DEBUG", "POPULATE", keys, "key", VALUE_BYTES)


def looked_at(connection: Connection) -> Job:
    """A dry run that is done: not part of what is measured."""
    job = start_look(connection, choice=CHOICE)
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    return job


def ordered(connection: Connection, look: Job, order: Order) -> Job:
    """A job that waits. Each goes by a dry run of its own, which is a copy of `look`."""
    look.pk = uuid.uuid4()
    look.save(force_insert=True)
    return start_bulk(connection, look_id=look.pk, order=order, name=connection.server.name)


def do(job: Job, keys: int = KEYS) -> None:
    job_worker.run_job(job.pk)
    job.refresh_from_db()
    assert (job.state, job.result["done"]) == ("done", keys), (job.problem, job.result)


def turns(
    name: str, prepare: Callable[[], Any], ours: Callable[[], Any], reference: Callable[[], Any]
) -> Figures:
    """As `compare`, with the server filled anew before each run, which is not counted."""
    pairs = []
    for _ in range(RUNS):
        prepare()
        theirs = seconds(reference)
        prepare()
        pairs.append((seconds(ours), theirs))
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {name: figure(mine, theirs, "s", ratio=ratio)}


def pages(bare: Bare) -> Iterator[list[bytes]]:
    """SCAN with the same pattern and the same steps."""
    at = b"0"
    while True:
        at, names = bare.ask(hiredis.pack_command(("SCAN", at, "MATCH", "key:*", "COUNT", MOST_BATCH)))[0]
        if names:
            yield names
        if at == b"0":
            return


def bare_delete(bare: Bare) -> None:
    for names in pages(bare):
        bare.ask(hiredis.pack_command(("UNLINK", *names)))


def bare_expire(bare: Bare) -> None:
    for names in pages(bare):
        bare.ask(b"".join([hiredis.pack_command(("EXPIRE", name, 3600)) for name in names]), len(names))


def deletes(server: RunningServer, connection: Connection) -> Figures:
    fill(server)
    look, bare, order = looked_at(connection), Bare(server), Order("delete", trash=False, rate=0)
    return turns(
        "bulk_delete",
        lambda: fill(server),
        lambda: do(ordered(connection, look, order)),
        lambda: bare_delete(bare),
    )


def ttls(server: RunningServer, connection: Connection) -> Figures:
    fill(server)
    look, bare, order = looked_at(connection), Bare(server), Order("set", ttl=3_600_000, rate=0)
    return turns(
        "bulk_ttl", lambda: None, lambda: do(ordered(connection, look, order)), lambda: bare_expire(bare)
    )


def exported(server: RunningServer, connection: Connection) -> Figures:
    """The job: its file is written, hashed and kept."""
    fill(server)
    bare = Bare(server)

    def ours() -> None:
        job = exports.start_export(connection, choice=CHOICE, form="archive")
        job_worker.run_job(job.pk)
        job.refresh_from_db()
        assert (job.state, job.result["keys"]) == ("done", KEYS), job.problem
        store.remove(job.result["file"])

    return compare("export_keys", ours, lambda: dump_all(bare), runs=RUNS)


def neighbours(server: RunningServer, connection: Connection) -> Figures:
    """p99 of another client's PING during a delete at the usual pace, into the trash and without; at most 2 ms, or twice idle."""
    with neighbour(server) as idle:
        time.sleep(2)
    figures: Figures = {}
    for name, trash in (("bulk_neighbour", False), ("bulk_trash_neighbour", True)):
        fill(server, PACED_KEYS)
        job = ordered(connection, looked_at(connection), Order("delete", trash=trash))
        with neighbour(server) as pings:
            do(job, PACED_KEYS)
        ours, quiet = percentile(pings, 0.99), percentile(idle, 0.99)
        figures[name] = figure(ours, max(2 * quiet, 2.0), "ms")
    return figures
