"""Saves that stay on the server: on every primary of it, or on a replica of each, one after the other."""

from collections.abc import Callable
from typing import Any

from keyspace import audit
from keyspace.backups.snapshot import Saved, cancel_save, rewrite_aof, save_snapshot, where_saved
from keyspace.backups.sources import Node, find_nodes, product_of
from keyspace.errors import Conflict
from keyspace.jobs import Cancelled, Run
from keyspace.models import Backup
from keyspace.servers import Client, endpoint_of, open_client

Kind = Backup.Kind


def save_on_server(run: Run, backup: Backup) -> None:
    """BGSAVE or BGREWRITEAOF, and a part for each node in the backup."""
    nodes = _nodes(run)
    for number, node in enumerate(nodes):
        with open_client(node.endpoint) as client:
            try:
                saved = _SAVES[backup.kind](client, _telling(run, node, number, len(nodes)))
            except Cancelled:
                raise Cancelled(_stop(run, backup, client, node, number)) from None
            if not saved.ok:
                raise Conflict(saved.sentence, f"It was on {node.label}.")
            backup.parts.append(_part(backup.kind, client, node, saved))
    _sum_up(backup, nodes)


def _nodes(run: Run) -> list[Node]:
    replicas = bool(run.params.get("replicas"))
    nodes = find_nodes(run.connection.redis, endpoint_of(run.connection.server), replicas=replicas)
    for node in nodes:
        if replicas and node.endpoint == node.primary and not node.label.startswith("replica"):
            raise Conflict(
                f"There is no healthy replica of the {node.label}.", "Save on the primary instead."
            )
    return nodes


_SAVES: dict[str, Callable[..., Saved]] = {"snapshot": save_snapshot, "aof": rewrite_aof}


def _stop(run: Run, backup: Backup, client: Client, node: Node, before: int) -> str:
    """Cancel the save that we began and still watch, where the server can; what came of it, for people and the audit."""
    if backup.kind == Kind.SNAPSHOT:
        stopped, sentence = cancel_save(client)
        detail = {"backup": str(backup.pk), "node": node.label, "answer": sentence}
        outcome = "done" if stopped else "failed"
        audit.record(run.connection, "cancel_save", key=None, outcome=outcome, detail=detail)
    else:
        sentence = "An AOF rewrite cannot be cancelled: it goes on there, and is no longer watched."
    saved = f" {before} of the primaries had saved before." if before else ""
    return sentence + saved


def _part(kind: str, client: Client, node: Node, saved: Saved) -> dict[str, Any]:
    info = client.info()
    size = info.get("rdb_last_save_size") if kind == Kind.SNAPSHOT else info.get("aof_base_size")
    keys = {
        name[2:]: facts["keys"] for name, facts in info.items() if name[:2] == "db" and name[2:].isdigit()
    }
    return {
        "node": node.label, "address": node.endpoint.address, "place": where_saved(client, kind), "product": product_of(info),
        "size": int(size) if size else None, "keys": keys, "seconds": saved.seconds, "fork_ms": saved.fork_ms,
    }  # fmt: skip


def _sum_up(backup: Backup, nodes: list[Node]) -> None:
    parts = backup.parts
    for part in parts:
        for db, count in part["keys"].items():
            backup.keys[db] = backup.keys.get(db, 0) + count
    backup.size = sum(part["size"] or 0 for part in parts) or None
    backup.product = parts[0]["product"]
    if len(parts) == 1:
        backup.source, backup.place = parts[0]["node"], parts[0]["place"][:500]
        backup.state_note = f"fork {parts[0]['fork_ms']:.1f} ms" if parts[0]["fork_ms"] else ""
        return
    kind = "primaries" if all(node.endpoint == node.primary for node in nodes) else "replicas"
    backup.source = f"{len(parts)} {kind}"
    backup.place = ", ".join(f"{part['address']}:{part['place']}" for part in parts)[:500]


def _telling(run: Run, node: Node, number: int, nodes: int) -> Callable[..., None]:
    def progress(share: float | None, done: int | None, total: int | None, phase: str) -> None:
        where = f"{phase} on {node.label}" + (f" ({number + 1} of {nodes})" if nodes > 1 else "")
        if total:
            run.report(done=done, total=total, unit="keys", phase=where)
        elif share is not None:
            run.report(done=int(share * 100), total=100, unit="%", phase=where)
        else:
            run.report(phase=where)

    return progress
