"""Exports: every key of every shard, as an archive or in the readable form."""

from dataclasses import replace
from typing import Any

import redis

from keyspace.backups import dumps, store
from keyspace.backups.archive import ArchiveWriter
from keyspace.backups.readable import ReadableWriter
from keyspace.backups.sources import Node, find_nodes, product_of
from keyspace.backups.typed import READABLE, read_typed
from keyspace.jobs import Run
from keyspace.models import Backup
from keyspace.servers import Client, endpoint_of, open_client


def export(run: Run, backup: Backup) -> None:
    """Every key by SCAN: of each shard's primary (a replica may hold what has expired), in each db."""
    readable = backup.kind == Backup.Kind.READABLE
    nodes = find_nodes(run.connection.redis, endpoint_of(run.connection.server), replicas=False)
    ending = ".jsonl.zst" if readable else ".ksarch"
    for number, node in enumerate(nodes):
        with (
            open_client(node.endpoint, socket_timeout=120) as client,
            store.Part(f"{backup.pk}/{number}{ending}") as part,
        ):
            info = client.info()
            backup.product, backup.source = (
                product_of(info),
                node.label if len(nodes) == 1 else f"{len(nodes)} shards",
            )
            used = int(info.get("used_memory", 0))
            header = {
                "server": backup.server,
                "node": node.label,
                "product": backup.product,
                "made_at": dumps.server_time(client),
            }
            keys = (_write_readable if readable else _write_archive)(run, node, info, header, part, client)
            kept = part.commit()
        backup.files.append(
            {
                "name": kept.name,
                "size": kept.size,
                "sha256": kept.sha256,
                "node": node.label,
                "used_memory": used,
            }
        )
        for db, count in keys.items():
            backup.keys[str(db)] = backup.keys.get(str(db), 0) + count
    backup.format = "readable" if readable else "archive"
    backup.size = sum(stored["size"] for stored in backup.files)


def _dbs(info: dict[str, Any]) -> dict[int, int]:
    return {
        int(name[2:]): facts["keys"]
        for name, facts in info.items()
        if name[:2] == "db" and name[2:].isdigit()
    }


def _write_archive(
    run: Run, node: Node, info: dict[str, Any], header: dict[str, Any], part: store.Part, client: Client
) -> dict[int, int]:
    writer = ArchiveWriter(part.write, header)
    _write_surroundings(writer, client)
    total = sum(_dbs(info).values())
    for db in _dbs(info):
        with open_client(replace(node.endpoint, timeout=120), db=db) as in_db:
            for page in dumps.read_dumps(in_db):
                writer.add(db, page)
                run.report(done=writer.counts.total, total=total, phase=f"reading keys from {node.label}")
    writer.finish()
    return writer.counts.keys


def _write_surroundings(writer: ArchiveWriter, client: Client) -> None:
    """Function libraries, and ACL users without their secrets; a server that refuses either keeps it."""
    try:
        functions = client.execute_command("FUNCTION", "DUMP")
        if functions:
            writer.add_functions(functions)
    except redis.ResponseError:
        pass
    try:
        users = [
            line.decode("utf-8", "replace") if isinstance(line, bytes) else str(line)
            for line in client.execute_command("ACL", "LIST")
        ]
    except redis.ResponseError:
        return
    writer.add_users(
        [{"rule": " ".join(word for word in user.split() if word[:1] not in "#>")} for user in users]
    )


def _write_readable(
    run: Run, node: Node, info: dict[str, Any], header: dict[str, Any], part: store.Part, client: Client
) -> dict[int, int]:
    writer = ReadableWriter(part.write, header)
    total = sum(_dbs(info).values())
    for db in _dbs(info):
        with open_client(replace(node.endpoint, timeout=120), db=db) as in_db:
            for page in dumps.read_dumps(in_db, count=100):
                for dump in page:
                    _write_key(writer, in_db, db, dump)
                run.report(
                    done=sum(writer.keys.values()), total=total, phase=f"reading keys from {node.label}"
                )
    writer.finish()
    return writer.keys


def _write_key(writer: ReadableWriter, client: Client, db: int, dump: dumps.Dump) -> None:
    kind = dumps.type_of_payload(dump.payload)
    if kind not in READABLE:
        kind = dumps.type_of(client, dump.name)
    for piece in read_typed(client, db, dump.name, kind, dump.expires):
        writer.add(piece)
