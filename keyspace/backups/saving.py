"""Saves that stay on the server, on every primary one after the other."""

from collections.abc import Callable

from keyspace import audit
from keyspace.backups.snapshot import Saved, cancel_save, rewrite_aof, save_snapshot, where_saved
from keyspace.backups.sources import Node, find_nodes, product_of
from keyspace.errors import Conflict
from keyspace.jobs import Cancelled, Run
from keyspace.models import Backup
from keyspace.servers import Client, endpoint_of, open_client

Kind = Backup.Kind


def save_on_server(run: Run, backup: Backup) -> None:
    """BGSAVE or BGREWRITEAOF on every primary, one after the other."""
    nodes = find_nodes(run.connection.redis, endpoint_of(run.connection.server), replicas=False)
    for number, node in enumerate(nodes):
        with open_client(node.endpoint) as client:
            try:
                saved = _SAVES[backup.kind](client, _telling(run, node, number, len(nodes)))
            except Cancelled:
                raise Cancelled(_stop(run, backup, client, node, number)) from None
            if not saved.ok:
                raise Conflict(saved.sentence, f"It was on {node.label}.")
            _add_place(backup, client, node, saved, len(nodes))


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


def _add_place(backup: Backup, client: Client, node: Node, saved: Saved, nodes: int) -> None:
    info = client.info()
    for name, facts in info.items():
        if name[:2] == "db" and name[2:].isdigit():
            backup.keys[name[2:]] = backup.keys.get(name[2:], 0) + facts["keys"]
    size = info.get("rdb_last_save_size") if backup.kind == Kind.SNAPSHOT else info.get("aof_base_size")
    backup.size = (backup.size or 0) + int(size) if size else backup.size
    place = where_saved(client, backup.kind)
    backup.place = (f"{backup.place}, " if backup.place else "") + (
        f"{node.endpoint.address}:{place}" if nodes > 1 else place
    )
    backup.place = backup.place[:500]
    backup.product = product_of(info)
    backup.source = f"{nodes} primaries" if nodes > 1 else node.label
    backup.state_note = f"fork {saved.fork_ms:.1f} ms" if saved.fork_ms else ""


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
