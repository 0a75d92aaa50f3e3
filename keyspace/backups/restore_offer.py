"""Whether a server can be restored by copying from a temporary primary of ours: asked before anything is changed, the reason in words."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from keyspace.backups.releases import Release, Version, release_in, release_of
from keyspace.backups.scratch import binaries
from keyspace.errors import BadInput
from keyspace.models import Backup
from keyspace.servers import Client, Connection, endpoint_of

_FIRST_TO_LISTEN_LATER: Version = (7, 0)
_PLACE = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+|[0-9A-Fa-f:]+:[0-9A-Fa-f:]+)(?::(\d{1,5}))?")


@dataclass(frozen=True)
class Offer:
    """`reason` says why not, "" when it can be; `host` is our address as the target sees it, `binaries` can be the primary."""

    reason: str
    host: str = ""
    binaries: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return not self.reason


def make_offer(connection: Connection, backup: Backup) -> Offer:
    """Asks the target; changes nothing."""
    client = connection.redis
    info = client.info()
    release = release_in(info)
    reason = _against_the_backup(backup, info, client) or _against_the_target(connection, info, client)
    if reason:
        return Offer(reason)
    rdb = int(re.sub(r"\D", "", backup.format) or 0)
    if not release.reads(rdb):
        return Offer(f"{release} does not read {backup.format}: it would end up empty.")
    able = tuple(each for each in binaries() if _can_serve(each, rdb, release))
    if not able:
        return Offer(
            f"No server binary here both reads {backup.format} and may be the primary of {release}; "
            "CONSOLE_SCRATCH_BINARIES can name one."
        )
    return Offer("", _our_address(client), able)


def _can_serve(binary: Path, rdb: int, target: Release) -> bool:
    own = release_of(binary)
    return own.reads(rdb) and target.follows(own) and own.version >= _FIRST_TO_LISTEN_LATER


def _against_the_backup(backup: Backup, info: dict[str, Any], client: Client) -> str:
    if len(backup.files) != 1 or not backup.files[0]["name"].endswith(".rdb"):
        return "Only a backup of one RDB can be copied as a whole."
    if backup.state != Backup.State.LOADED:
        return "The backup was not loaded to prove it: verify it first."
    limit, used = int(info.get("maxmemory") or 0), int(backup.files[0].get("used_memory") or 0)
    if limit and used > limit:
        return f"The backup needs {used / 1e6:.0f} MB and the target's maxmemory is {limit / 1e6:.0f} MB."
    dbs, last = int(read_setting(client, "databases") or 16), max(map(int, backup.keys or {"0": 0}))
    if last >= dbs:
        return f"The backup has keys in db {last}; the target has {dbs} dbs and would end by it."
    return ""


def _against_the_target(connection: Connection, info: dict[str, Any], client: Client) -> str:
    if info.get("cluster_enabled"):
        return "The target is in a cluster: its nodes cannot follow a primary outside."
    if info.get("role") != "master":
        return "The target is a replica itself."
    if int(info.get("connected_slaves") or 0):
        return "The target has replicas, which would be emptied and filled with it."
    if endpoint_of(connection.server).tls or read_setting(client, "tls-replication") == "yes":
        return "The target is reached by TLS, and the copy would go over the network in plain."
    if read_setting(client, "masterauth") is None or read_setting(client, "masteruser") is None:
        return "The target does not let its replication be set up (CONFIG is refused, or it is older than Redis 6)."
    return _watched(client) or _not_allowed(client)


def _watched(client: Client) -> str:
    try:
        subscribers = client.execute_command("PUBSUB", "NUMSUB", "__sentinel__:hello")
    except redis.ResponseError:
        return ""
    counts = [int(each[1]) if isinstance(each, list | tuple) else 0 for each in subscribers]
    counts += [each for each in subscribers if isinstance(each, int)]
    return "Sentinel watches the target and would interfere." if any(counts) else ""


def _not_allowed(client: Client) -> str:
    """Whether the ACL denies what it takes; a server that does not tell is believed to allow it."""
    try:
        user = client.execute_command("ACL", "WHOAMI")
        for command in (("REPLICAOF", "NO", "ONE"), ("CONFIG", "SET", "masterauth", "")):
            answer = client.execute_command("ACL", "DRYRUN", user, *command)
            if answer not in (b"OK", "OK", True):
                return f"The target's user may not {command[0]}."
    except redis.exceptions.NoPermissionError as error:
        return f"The target does not tell whether its user may do this ({error})."
    except redis.ResponseError:
        pass
    return ""


def read_setting(client: Client, name: str) -> str | None:
    """A setting of the target; None where it is refused, or there is none of this name."""
    try:
        found = client.config_get(name).get(name)
    except redis.ResponseError:
        return None
    return found.decode() if isinstance(found, bytes) else found


def _our_address(client: Client) -> str:
    """The end of our own connection to the target; on its unix socket both are on one machine."""
    pool = client.connection_pool
    held: Any = pool.get_connection()
    try:
        name = held._sock.getsockname()
    finally:
        pool.release(held)
    return str(name[0]) if isinstance(name, tuple) else "127.0.0.1"


def parse_place(text: str) -> tuple[str, int]:
    """`host` or `host:port`; port 0 for any. Raises BadInput."""
    found = _PLACE.fullmatch(text.strip())
    port = int(found[2] or 0) if found else 0
    if found is None or port > 65535:
        raise BadInput("This is not an address.", "Write it like 10.0.4.7 or console.internal:7400.")
    return found[1].strip("[]"), port
