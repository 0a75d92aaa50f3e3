"""What stands in a backup's way, before it starts: each a sentence, some a refusal."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from keyspace.backups import store
from keyspace.backups.slots import layout_of, moving_now
from keyspace.backups.sources import Shard, find_shards, info_of
from keyspace.errors import Unavailable, explain
from keyspace.servers import Client, Connection, endpoint_of, open_client

_ROOM_BYTES = 64 * 1024 * 1024
_SLOW_FORK_SECONDS = 0.5
_AT_ONCE = 16
STORED = ("pull", "export", "readable")


@dataclass(frozen=True)
class Check:
    """A sentence about what was found; `refuses` means it does not start."""

    sentence: str
    refuses: bool = False


def checks_of(connection: Connection, kind: str, *, replicas: bool = False) -> list[Check]:
    """What stands in the way of a backup of this kind, on each node that it would use; they are named where they are not the server itself.

    Raises Unavailable where a shard of a cluster has nobody who answers.
    """
    entry, of_replicas = endpoint_of(connection.server), kind == "pull" or replicas
    shards = find_shards(connection.redis, entry, replicas=of_replicas)
    if len(shards) == 1 and not shards[0].replicas:
        told = [("The server", info_of(connection.redis))]
    else:
        with ThreadPoolExecutor(_AT_ONCE) as asking:
            told = list(asking.map(_ask, shards))
    found = [check for who, info in told for check in refusals(info, kind, who=who)]
    if kind in STORED:
        found += _room(sum(int(info.get("used_memory", 0)) for _, info in told))
    layout = layout_of(connection)
    return found + ([Check(moving_now(layout), True)] if layout and layout.moving else [])


def _ask(shard: Shard) -> tuple[str, dict[str, Any]]:
    node = next(shard.sources())
    try:
        with open_client(node.endpoint) as client:
            return f"The {node.label}", info_of(client)
    except redis.RedisError as error:
        problem = explain(error)
        raise Unavailable(f"The {node.label} cannot be asked. {problem.sentence}", problem.advice) from error


def refusals(info: dict[str, Any], kind: str, *, who: str = "The server") -> list[Check]:
    """What INFO of a node says against a backup of this kind now."""
    found: list[Check] = []
    if info.get("loading"):
        found.append(Check(f"{who} is loading its data; wait until it is done.", True))
    if kind in ("pull", "snapshot"):
        found += _saving(info, kind, who)
    if kind == "aof":
        found += _rewriting(info, who)
    if kind in ("pull", "snapshot", "aof"):
        found += _fork(info, who)
    if info.get("role") == "slave" and info.get("master_link_status") != "up":
        sentence = f"{who} is a replica that has lost its primary: the backup would be of old data."
        found.append(Check(sentence, kind == "pull"))
    return found


def _room(used: int) -> list[Check]:
    """Whether what takes `used` bytes of memory fits on the store's disk."""
    free = store.free_bytes()
    has = f"The store's disk has {free / 1e6:.0f} MB free"
    if free < used // 4 + _ROOM_BYTES:
        return [Check(f"{has}; about {(used // 4 + _ROOM_BYTES - free) / 1e6:.0f} MB more are needed.", True)]
    if free < used + _ROOM_BYTES:
        return [Check(f"{has} and the data take {used / 1e6:.0f} MB of memory: it may become tight.")]
    return []


def _saving(info: dict[str, Any], kind: str, who: str) -> list[Check]:
    if info.get("rdb_bgsave_in_progress") and kind == "snapshot":
        return [Check(f"{who} is saving a snapshot already.", True)]
    if info.get("rdb_bgsave_in_progress"):
        return [Check(f"{who} is saving a snapshot: the pull begins after it.")]
    if info.get("aof_rewrite_in_progress"):
        return [Check(f"{who} is rewriting its AOF, and saves after that.")]
    return []


def _rewriting(info: dict[str, Any], who: str) -> list[Check]:
    if not info.get("aof_enabled"):
        return [Check(f"{who} has its AOF off: a rewrite leaves a file that it does not read.")]
    if info.get("aof_rewrite_in_progress"):
        return [Check(f"{who} is rewriting its AOF already.", True)]
    if info.get("rdb_bgsave_in_progress"):
        return [Check(f"{who} is saving a snapshot, and rewrites after that.")]
    return []


def _fork(info: dict[str, Any], who: str) -> list[Check]:
    """A fork shares memory until it is written to; in the worst case the server needs twice as much."""
    used, total, limit = (
        int(info.get(name, 0) or 0) for name in ("used_memory_rss", "total_system_memory", "maxmemory")
    )
    found = []
    if total and used * 2 > total:
        share = f"{used / 1e6:.0f} of its machine's {total / 1e6:.0f} MB"
        found.append(Check(f"{who} uses {share}: while it saves, writes may need as much again."))
    if total and limit * 2 > total and limit:
        found.append(
            Check(
                f"{who} may grow beyond half of its machine (maxmemory): a save under many writes may run out of memory."
            )
        )
    seconds = int(info.get("latest_fork_usec", 0) or 0) / 1e6
    if seconds > _SLOW_FORK_SECONDS:
        found.append(Check(f"{who} stood still for {seconds:.1f} s at its last fork, and will again."))
    return found


def choose_kind(client: Client) -> tuple[str, str]:
    """ "pull", "export" or "readable" with the reason: a pull where the server's user may SYNC, else what works nearly everywhere."""
    refused = _sync_refused(client)
    if refused is None:
        return "pull", "The server lets its replication link be read: an exact copy at one moment."
    denied = _refused(client, ("DUMP", ""))
    if denied is None:
        return "export", f"The server does not let SYNC through ({refused}); keys are read one by one."
    return (
        "readable",
        f"Neither SYNC ({refused}) nor DUMP ({denied}) is allowed here; values are read by their types.",
    )


def _sync_refused(client: Client) -> str | None:
    """Asked without starting one: ACL DRYRUN where we may, else REPLCONF, which has the same categories; and whether SYNC is there."""
    try:
        user = client.execute_command("ACL", "WHOAMI").decode()
        answer = client.execute_command("ACL", "DRYRUN", user, "SYNC")
        if answer not in (b"OK", "OK"):
            return "the ACL denies it"
    except redis.ResponseError:
        if refused := _refused(client, ("REPLCONF",)):
            return refused
    try:
        known = client.execute_command("COMMAND", "INFO", "SYNC", "REPLCONF")
        flat = [entry for entry in (known.values() if isinstance(known, dict) else known) if entry]
        return None if len(flat) == 2 else "the command is not there"
    except redis.ResponseError:
        return None  # COMMAND itself is kept from us


def _refused(client: Client, command: tuple[str, ...]) -> str | None:
    """Why the command does not work for us, in words; None when it does."""
    try:
        client.execute_command(*command)
    except NoPermissionError:
        return "the ACL denies it"
    except redis.ResponseError as error:
        return "the command is not there" if "unknown command" in str(error) else str(error)[:120]
    return None
