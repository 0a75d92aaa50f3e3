"""What stands in a backup's way, before it starts: each a sentence, some a refusal."""

from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from keyspace.backups import store
from keyspace.servers import Client

_ROOM_BYTES = 64 * 1024 * 1024
_SLOW_FORK_SECONDS = 0.5


@dataclass(frozen=True)
class Check:
    """A sentence about what was found; `refuses` means it does not start."""

    sentence: str
    refuses: bool = False


def refusals(info: dict[str, Any], kind: str) -> list[Check]:
    """What INFO says against a backup of this kind now."""
    found: list[Check] = []
    if info.get("loading"):
        found.append(Check("The server is loading its data; wait until it is done.", True))
    if kind in ("pull", "export", "readable"):
        found += _room(info)
    if kind in ("pull", "snapshot"):
        found += _saving(info, kind)
    if kind == "aof":
        found += _rewriting(info)
    if kind in ("pull", "snapshot", "aof"):
        found += _fork(info)
    if info.get("role") == "slave" and info.get("master_link_status") != "up":
        found.append(
            Check("This replica has lost its primary: the backup would be of old data.", kind == "pull")
        )
    return found


def _room(info: dict[str, Any]) -> list[Check]:
    used, free = int(info.get("used_memory", 0)), store.free_bytes()
    if free < used // 4 + _ROOM_BYTES:
        missing = (used // 4 + _ROOM_BYTES - free) / 1e6
        return [
            Check(
                f"The store's disk has {free / 1e6:.0f} MB free; about {missing:.0f} MB more are needed.",
                True,
            )
        ]
    if free < used + _ROOM_BYTES:
        return [
            Check(
                f"The store's disk has {free / 1e6:.0f} MB free and the server uses {used / 1e6:.0f} MB: it may become tight."
            )
        ]
    return []


def _saving(info: dict[str, Any], kind: str) -> list[Check]:
    if info.get("rdb_bgsave_in_progress") and kind == "snapshot":
        return [Check("The server is saving a snapshot already.", True)]
    if info.get("rdb_bgsave_in_progress"):
        return [Check("The server is saving a snapshot: the pull begins after it.")]
    if info.get("aof_rewrite_in_progress"):
        return [Check("An AOF rewrite is running: the server saves after it.")]
    return []


def _rewriting(info: dict[str, Any]) -> list[Check]:
    if not info.get("aof_enabled"):
        return [Check("The AOF is off on this server: a rewrite leaves a file that it does not read.")]
    if info.get("aof_rewrite_in_progress"):
        return [Check("An AOF rewrite is running already.", True)]
    if info.get("rdb_bgsave_in_progress"):
        return [Check("A snapshot is being saved: the server rewrites after it.")]
    return []


def _fork(info: dict[str, Any]) -> list[Check]:
    """A fork shares memory until it is written to; in the worst case the server needs twice as much."""
    used, total, limit = (
        int(info.get(name, 0) or 0) for name in ("used_memory_rss", "total_system_memory", "maxmemory")
    )
    found = []
    if total and used * 2 > total:
        found.append(
            Check(
                f"The server uses {used / 1e6:.0f} of the machine's {total / 1e6:.0f} MB: while it saves, writes may need as much again."
            )
        )
    if total and limit * 2 > total and limit:
        found.append(
            Check(
                "maxmemory is more than half of the machine: a save under many writes may run out of memory."
            )
        )
    seconds = int(info.get("latest_fork_usec", 0) or 0) / 1e6
    if seconds > _SLOW_FORK_SECONDS:
        found.append(Check(f"The last fork took {seconds:.1f} s: the server stands still that long."))
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
