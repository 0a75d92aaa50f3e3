"""Exports: every key of every shard, as an archive or in the readable form."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import redis

from keyspace.backups import dumps, store
from keyspace.backups.archive import ArchiveWriter
from keyspace.backups.readable import ReadableWriter
from keyspace.backups.sources import Node, dbs_of, find_nodes, info_of, product_of
from keyspace.backups.surroundings import Asking
from keyspace.backups.typed import TypedPiece, read_typed
from keyspace.backups.typed_small import read_small
from keyspace.encoding import to_text
from keyspace.errors import Conflict
from keyspace.jobs import Run
from keyspace.models import Backup
from keyspace.servers import Client, endpoint_of, open_client

_TRIES = 5
_AT_ONCE = 200


def export(run: Run, backup: Backup) -> None:
    """Every key by SCAN: of each shard's primary (a replica may hold what has expired), in each db."""
    readable = backup.kind == Backup.Kind.READABLE
    nodes = find_nodes(run.connection.redis, endpoint_of(run.connection.server), replicas=False)
    backup.source = nodes[0].label if len(nodes) == 1 else f"{len(nodes)} shards"
    backup.format = "readable" if readable else "archive"
    ending, write = (".jsonl.zst", _write_readable) if readable else (".ksarch", _write_archive)
    for number, node in enumerate(nodes):
        with (
            open_client(node.endpoint, socket_timeout=120) as client,
            store.Part(f"{backup.pk}/{number}{ending}") as part,
        ):
            info = info_of(client)
            backup.product = product_of(info)
            told = {"node": node.label, "used_memory": int(info.get("used_memory", 0))}
            reading = _Reading(run, node, client, info)
            keys = write(reading, _header(backup, node, client), part)
            kept = part.commit()
        backup.files.append({"name": kept.name, "size": kept.size, "sha256": kept.sha256, **told})
        for counts, found in ((backup.keys, keys), (backup.server_keys, reading.told)):
            for db, count in found.items():
                counts[str(db)] = counts.get(str(db), 0) + count
    backup.size = sum(stored["size"] for stored in backup.files)


def _header(backup: Backup, node: Node, client: Client) -> dict[str, Any]:
    made_at = dumps.server_time(client)
    return {"server": backup.server, "node": node.label, "product": backup.product, "made_at": made_at}


class _Reading:
    """One node that is being read: its dbs, a client for each, and how far it is. `told` are its keys by db as it said itself."""

    def __init__(self, run: Run, node: Node, client: Client, info: dict[str, Any]) -> None:
        self.client, self._run, self._node = client, run, node
        self.around = Asking(client, info)
        self.told = dbs_of(client, info)

    def dbs(self) -> Iterator[tuple[int, Client]]:
        for db in self.told:
            with open_client(replace(self._node.endpoint, timeout=120), db=db) as client:
                yield db, client

    def tell(self, done: int) -> None:
        total = sum(self.told.values())
        self._run.report(done=done, total=total, phase=f"reading keys from {self._node.label}")


def _write_archive(reading: _Reading, header: dict[str, Any], part: store.Part) -> dict[int, int]:
    functions, users = reading.around.dump(), reading.around.users()
    writer = ArchiveWriter(part.write, header | {"lacks": reading.around.lacks})
    if functions:
        writer.add_functions(functions)
    writer.add_users([{"rule": rule} for rule in users])
    for db, client in reading.dbs():
        for page in dumps.read_dumps(client):
            writer.add(db, page)
            reading.tell(writer.counts.total)
    writer.finish()
    return writer.counts.keys


def _write_readable(reading: _Reading, header: dict[str, Any], part: store.Part) -> dict[int, int]:
    libraries, users = reading.around.libraries(), reading.around.users()
    writer = ReadableWriter(part.write, header | {"lacks": reading.around.lacks})
    for library in libraries:
        writer.add_library(library)
    for rule in users:
        writer.add_user(rule)
    for db, client in reading.dbs():
        for page in dumps.read_heads(client, count=_AT_ONCE):
            _write_page(writer, client, db, page)
            reading.tell(sum(writer.keys.values()))
    writer.finish()
    return writer.keys


def _write_page(writer: ReadableWriter, client: Client, db: int, page: list[dumps.Head]) -> None:
    """Small keys all at once, the others piece by piece."""
    small = read_small(client, page)
    for head in page:
        piece = small.get(head.name)
        if piece is None:
            _write_key(writer, client, db, head)
        else:
            writer.add(TypedPiece(db, head.name, head.type, head.expires, 0, True, piece))


def _write_key(writer: ReadableWriter, client: Client, db: int, head: dumps.Head) -> None:
    """A key that is replaced by one of another type meanwhile is read again, as long as nothing of it is written."""
    kind, written = head.type, 0
    for _ in range(_TRIES):
        try:
            for piece in read_typed(client, db, head.name, kind, head.expires):
                writer.add(piece)
                written += 1
            return
        except redis.ResponseError as error:
            if written or not str(error).startswith("WRONGTYPE"):
                raise
        kind = dumps.type_of(client, head.name)
        if kind == "none":
            return
    raise Conflict(f"The key {to_text(head.name)[:80]} changes its type all the time.", "Try again.")
