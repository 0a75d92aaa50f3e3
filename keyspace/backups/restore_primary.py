"""A whole server back by replication: the backup, loaded in a scratch server, is the target's primary until it has everything.

Exact and fast: nothing is decoded, also what has no command of its own comes along. From the first byte on the target has none of its
own data; so all that can be asked is asked before (`restore_offer`), and a safety backup is there.
"""

import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis

from keyspace.backups import store
from keyspace.backups.rdb import Damaged
from keyspace.backups.restore_offer import Offer, make_offer, parse_place, read_setting
from keyspace.backups.scratch import NotReadable, Scratch, start_scratch
from keyspace.errors import Conflict
from keyspace.jobs import Run
from keyspace.models import Backup
from keyspace.secrets import decrypt, encrypt
from keyspace.servers import Client, Connection, Endpoint, endpoint_of, open_client

SILENT_SECONDS = 30.0
"""How long the target may show no sign of copying."""
_LOOK_SECONDS = 0.1
_USER = "restore"
AS_IT_WAS = "The target had not begun to copy: it is as it was."
BEGUN = "The target had begun to copy and may be empty or in part filled."


@dataclass
class Primary:
    """A loaded scratch server that listens for the target alone: `host` and `port` as the target reaches it."""

    scratch: Scratch
    client: Client
    host: str
    port: int
    password: str

    def counts(self) -> dict[int, int]:
        return _counts(self.client)


def restore_as_primary(
    run: Run, backup: Backup, connection: Connection, told: dict[str, Any], take_safety: Any
) -> None:
    """`told` is the report as far as it has come. Raises Conflict, in words how far."""
    with _target(connection) as target:
        _put_back(run, target)  # what a console that was killed in the middle has left
        offer = make_offer(connection, backup)
        if not offer:
            raise Conflict(offer.reason, "Nothing was changed on the target.")
        told["far"] = AS_IT_WAS
        with _primary(run, backup, offer) as primary:
            told["safety"] = take_safety(run, connection)
            _copy(run, target, primary, told)
    told.pop("far")
    told["expired"] = max(0, sum(backup.keys.values()) - told["restored"])


@contextmanager
def _target(connection: Connection) -> Iterator[Client]:
    """A client with patience: a server that loads may take seconds for an answer."""
    client = open_client(endpoint_of(connection.server), db=0, socket_timeout=30)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _primary(run: Run, backup: Backup, offer: Offer) -> Iterator[Primary]:
    stored = backup.files[0]

    def progress(done: int, total: int | None) -> None:
        run.report(done=done, total=total, unit="bytes", phase="loading the backup")

    with store.local_path(stored["name"]) as path:
        try:
            scratch = start_scratch(
                path, progress=progress, used_memory=stored.get("used_memory", 0), frozen=False, among=offer.binaries,
            )  # fmt: skip
        except (Damaged, NotReadable) as error:
            reason = error.reason if isinstance(error, Damaged) else str(error)
            raise Conflict(f"The backup was not loaded: {reason}.", "Nothing was changed.") from error
    with scratch:
        yield _listen(scratch, *_place(run, offer))


def _place(run: Run, offer: Offer) -> tuple[str, str, int]:
    """(our own address, the one that the target is told, port)."""
    if not run.params.get("reach"):
        return offer.host, offer.host, 0
    host, port = parse_place(run.params["reach"])
    return _own_address(host) or offer.host, host, port


def _own_address(host: str) -> str:
    """The address, where it is one of this machine; "" where it is, say, that of a gateway before it."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0]) as probe:
            probe.bind(found[4])
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _listen(scratch: Scratch, own: str, host: str, port: int) -> Primary:
    """Open one port on one interface: for its replica with a user that may only copy, for nobody else."""
    client, owner, password = scratch.client(), secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{owner}")
    client.execute_command(
        "ACL", "SETUSER", _USER, "on", f">{password}", "-@all", "+psync", "+sync", "+replconf", "+ping"
    )
    mine = open_client(Endpoint(socket=str(scratch.socket), password=owner, timeout=30))
    port = port or _free_port(own)
    try:
        mine.execute_command("CONFIG", "SET", "bind", own, "port", port, "repl-diskless-sync-delay", 0)
    except redis.ResponseError as error:
        raise Conflict(
            f"The console cannot listen on {own}:{port}: {error}.", "Nothing was changed on the target."
        ) from None
    return Primary(scratch, mine, host, port, password)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _copy(run: Run, target: Client, primary: Primary, told: dict[str, Any]) -> None:
    _remember(run, target)
    try:
        target.config_set("masteruser", _USER)
        target.config_set("masterauth", primary.password)
        target.execute_command("REPLICAOF", primary.host, primary.port)
        _await_copy(run, target, primary, told)
        told["counts"] = {str(db): count for db, count in _await_counts(target, primary).items()}
        told["looked"] = told["restored"] = sum(primary.counts().values())
        told["skipped"] = told["failed"] = 0
    finally:
        _put_back(run, target)
    if {int(db): count for db, count in told["counts"].items()} != primary.counts():
        raise Conflict("After the copy the target has another number of keys than the backup.")


def _remember(run: Run, target: Client) -> None:
    """How the target reaches its own primary, sealed: it is put back whatever happens, also after kill -9."""
    kept = {name: encrypt(read_setting(target, name) or "") for name in ("masteruser", "masterauth")}
    run.report(checkpoint=run.checkpoint | {"primary": kept}, now=True)


def _put_back(run: Run, target: Client) -> None:
    """The target is a primary again, with its own settings. Raises Conflict when it cannot be told."""
    kept = run.checkpoint.get("primary")
    if kept is None:
        return
    try:
        target.execute_command("REPLICAOF", "NO", "ONE")
        for name, value in kept.items():
            target.config_set(name, decrypt(value))
    except redis.RedisError as error:
        raise Conflict(
            f"The target could not be made a primary again: {error}.",
            "Send it REPLICAOF NO ONE, and check its masteruser and masterauth.",
        ) from error
    run.job.checkpoint = {name: value for name, value in run.checkpoint.items() if name != "primary"}
    run.write()


def _await_copy(run: Run, target: Client, primary: Primary, told: dict[str, Any]) -> None:
    """Until the link is up, which is after the load."""
    sign, last = time.monotonic(), -1
    while True:
        facts: dict[str, Any] = {}
        with suppress(redis.TimeoutError):
            facts = target.info("replication") | target.info("persistence")
        if facts.get("master_link_status") == "up":
            return
        copied = int(facts.get("master_sync_read_bytes") or facts.get("loading_loaded_bytes") or 0)
        if facts.get("master_sync_in_progress") or facts.get("loading"):
            told["far"] = BEGUN
        total = int(facts.get("master_sync_total_bytes") or facts.get("loading_total_bytes") or 0)
        phase = "the target loads" if facts.get("loading") else "the target copies"
        run.report(done=copied, total=max(total, 0) or None, unit="bytes", phase=phase)
        if copied != last:
            sign, last = time.monotonic(), copied
        if time.monotonic() - sign > SILENT_SECONDS:
            raise Conflict(
                f"The target does not copy from {primary.host}:{primary.port}: it may not reach the console there.",
                "Give the address (and port) at which it does.",
            )
        run.sleep(_LOOK_SECONDS)


def _await_counts(target: Client, primary: Primary) -> dict[int, int]:
    """The target's keys by db; what expires in this moment reaches it a little later."""
    for _ in range(30):
        if (found := _counts(target)) == primary.counts():
            return found
        time.sleep(_LOOK_SECONDS)
    return found


def _counts(client: Client) -> dict[int, int]:
    return {int(name[2:]): facts["keys"] for name, facts in client.info("keyspace").items()}
