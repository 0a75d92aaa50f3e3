"""Pulls: the RDB of every shard, from a healthy replica that lets itself be read, else from its primary."""

from typing import Any

import redis

from keyspace.backups import store
from keyspace.backups.pull import Pulled, Silent, pull_rdb
from keyspace.backups.rdb import Damaged
from keyspace.backups.sources import Node, Shard, find_shards, info_of, passed_over, product_of
from keyspace.errors import explain
from keyspace.jobs import Run
from keyspace.models import Backup
from keyspace.servers import endpoint_of, open_client

_OF_THE_SOURCE = (redis.RedisError, Damaged, Silent)
"""What a node fails with, so that the next one is asked; a full disk is no reason to."""


def pull(run: Run, backup: Backup) -> None:
    """A file for each shard. What was passed over on the way is the backup's remark, also when it fails."""
    shards = find_shards(run.connection.redis, endpoint_of(run.connection.server))
    labels = [_pull_shard(run, backup, shard, number) for number, shard in enumerate(shards)]
    backup.source = labels[0] if len(labels) == 1 else f"{len(labels)} shards"
    backup.size = sum(stored["size"] for stored in backup.files)


def _pull_shard(run: Run, backup: Backup, shard: Shard, number: int) -> str:
    """The label of the node it came from. Raises what the last one, the primary, failed with."""
    passed: list[str] = []
    try:
        for node in shard.sources(passed):
            try:
                _pull_node(run, backup, node, number)
                return node.label
            except _OF_THE_SOURCE as error:
                if node is shard.primary:
                    raise
                passed.append(passed_over(node.label, _why(error)))
    finally:
        backup.remark = " ".join([*filter(None, [backup.remark]), *passed])[:1000]
    raise AssertionError("the primary is the last source")


def _why(error: BaseException) -> str:
    if isinstance(error, Damaged):
        return f"What it sent was not whole: {error.reason}."
    return explain(error).sentence


def _pull_node(run: Run, backup: Backup, node: Node, number: int) -> None:
    with open_client(node.endpoint) as client:
        info = info_of(client)
    before = sum(stored["size"] for stored in backup.files)
    expected = _expected_size(backup.server, before, info)

    def progress(done: int, total: int | None) -> None:
        phase = f"pulling from {node.label}" if done else f"waiting for {node.label} to save"
        run.report(
            done=before + done,
            total=before + total if total else max(expected, before + done),
            unit="bytes",
            phase=phase,
        )

    product = product_of(info)
    with store.Part(f"{backup.pk}/{number}.rdb") as part:
        pulled = pull_rdb(
            node.endpoint, version=product.partition(" ")[2], write=part.write_now, progress=progress
        )
        kept = part.commit()
    _note(backup, node, info, pulled, kept)
    backup.product = product


def _note(backup: Backup, node: Node, info: dict[str, Any], pulled: Pulled, kept: store.StoredFile) -> None:
    backup.format = pulled.head.magic
    backup.files.append({
        "name": kept.name, "size": kept.size, "sha256": kept.sha256, "node": node.label, "used_memory": pulled.head.used_memory,
        "checksum_off": pulled.checksum_off,
    })  # fmt: skip
    for name, facts in info.items():
        if name[:2] == "db" and name[2:].isdigit():
            backup.server_keys[name[2:]] = backup.server_keys.get(name[2:], 0) + facts["keys"]


def _expected_size(server: str, before: int, info: dict[str, Any]) -> int:
    """About how many bytes will come: as many as last time while the server holds no more than twice as much, else what the data take
    in memory."""
    used = int(info.get("used_memory", 0))
    last = Backup.objects.filter(
        server=server, kind=Backup.Kind.PULL, size__gt=before, state__in=Backup.KEPT
    ).first()
    if last is not None and last.size and used <= 2 * sum(kept.get("used_memory", 0) for kept in last.files):
        return int(last.size)
    return before + int(info.get("used_memory_dataset", used))
