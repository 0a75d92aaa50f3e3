"""Opening a backup: a scratch server with all of it, shown as a read-only Server until it is closed or idle for a while."""

import functools
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from keyspace.access import Actor, Permission
from keyspace.backups import store
from keyspace.backups.dumps import read_dumps
from keyspace.backups.loading import load_export
from keyspace.backups.moment import moment_of
from keyspace.backups.rdb import Damaged
from keyspace.backups.releases import readers_of_export
from keyspace.backups.restore import Policy, restore_pages
from keyspace.backups.scratch import NotReadable, Scratch, remove_leftovers, start_scratch, watch_memory
from keyspace.children import birth_of, end_stranger
from keyspace.errors import Conflict, Unavailable
from keyspace.jobs import Run, job
from keyspace.models import Backup, Grant, OpenBackup, Server
from keyspace.servers import Client, Endpoint, as_import_source, open_client

log = logging.getLogger(__name__)
_WHOLE = Policy("skip", "original", expired=True, keep_past=True)
_OURS = {
    "info",
    "ping",
    "client",
    "client|import-source",
    "client|setinfo",
    "client|setname",
    "hello",
    "auth",
    "select",
    "replicaof",
    "command",
    "command|info",
}
Progress = Callable[[int, int | None], None]
_seen: dict[int, int] = {}


def open_limit() -> int:
    return int(getattr(settings, "OPEN_BACKUPS", 3))


def idle_minutes() -> int:
    return int(getattr(settings, "OPEN_BACKUP_MINUTES", 60))


def load_backup(backup: Backup, progress: Progress) -> Scratch:
    """A frozen scratch server that holds every file of the backup. Raises Conflict in words when it cannot be loaded."""
    try:
        return _load(backup, progress)
    except Damaged as error:
        raise Conflict(
            f"The backup is damaged: {error.reason}.", "Verify it, and use another one."
        ) from error
    except NotReadable as error:
        raise Conflict(
            f"The backup cannot be read here: {error}.",
            "Set CONSOLE_SCRATCH_BINARIES to a server that reads it.",
        ) from error


def _load(backup: Backup, progress: Progress) -> Scratch:
    first, *rest = backup.files
    distrust = backup.kind == Backup.Kind.UPLOAD
    if not first["name"].endswith(".rdb"):
        used = sum(file.get("used_memory", 0) for file in backup.files)
        among = readers_of_export(first["name"])
        scratch, rest = start_scratch(used_memory=used, distrust=distrust, among=among), backup.files
    else:
        with store.local_path(first["name"]) as path:
            scratch = start_scratch(
                path, progress=progress, used_memory=first.get("used_memory", 0), distrust=distrust
            )
    try:
        for stored in rest:
            _add_file(scratch, stored, progress)
    except BaseException:
        scratch.stop()
        raise
    return scratch


def _add_file(scratch: Scratch, stored: dict[str, Any], progress: Progress) -> None:
    """Another shard, or an export, into the same server."""
    if not stored["name"].endswith(".rdb"):
        load_export(scratch, stored, progress)
        return
    with (
        store.local_path(stored["name"]) as path,
        start_scratch(path, progress=progress, used_memory=stored.get("used_memory", 0)) as other,
    ):

        def tell(done: int) -> None:
            watch_memory(scratch.process.pid)
            progress(done, None)

        for db in other.counts():
            pages = ((db, page) for page in read_dumps(other.client(db)))
            restore_pages(scratch.client, pages, _WHOLE, progress=lambda report: tell(report.looked))


@contextmanager
def reading(backup: Backup, progress: Progress) -> Iterator[Callable[[int], Client]]:
    """db -> client of a server that holds the backup: the one it is open in, else a scratch server for the length of the block."""
    clients = clients_of_open(backup)
    if clients is not None:
        yield clients
        return
    with load_backup(backup, progress) as scratch:
        yield scratch.client


def clients_of_open(backup: Backup) -> Callable[[int], Client] | None:
    """db -> client of the server that the backup is open in; None while it is closed."""
    opened = OpenBackup.objects.filter(backup=backup).first()
    if opened is None or not _lives(opened):
        return None
    return functools.cache(functools.partial(client_of_opened, opened))


def client_of_opened(opened: OpenBackup, db: int) -> Client:
    endpoint = Endpoint(socket=f"{opened.directory}/s", timeout=120)
    try:
        return open_client(endpoint, db=db, redis_connect_func=as_import_source)
    except redis.RedisError:
        raise Unavailable("The opened backup is gone.", "Open it again.") from None


def _lives(opened: OpenBackup) -> bool:
    return bool(opened.born) and birth_of(opened.pid) == opened.born


@job("open_backup", permission=Permission.BACK_UP)
def open_backup_job(run: Run) -> dict[str, Any]:
    """Load it and show it as a server. The process lives on; `close` ends it."""
    backup = Backup.objects.get(pk=run.params["backup"])
    run.connection  # noqa: B018 - the person may still see the server
    close_dead()
    known = OpenBackup.objects.filter(backup=backup).first()
    if known is not None:
        return {"server": known.row.name}
    _refuse_too_many()
    scratch = load_backup(
        backup, lambda done, total: run.report(done=done, total=total, unit="bytes", phase="loading")
    )
    try:
        row = _show(backup, scratch, run.actor)
    except BaseException:
        scratch.stop()
        raise
    keys = sum(backup.keys.values())
    run.job.done, run.job.total, run.job.unit = keys, keys, "keys"
    return {"server": row.name}


def _refuse_too_many() -> None:
    if OpenBackup.objects.count() >= open_limit():
        raise Conflict(f"{open_limit()} backups are open already.", "Close one first.")


def _show(backup: Backup, scratch: Scratch, actor: Actor) -> Server:
    """Raises Conflict when others were opened while this one was loaded: several jobs run at once."""
    source = Server.objects.filter(name=backup.server).first()
    with transaction.atomic():
        _refuse_too_many()
        if OpenBackup.objects.filter(backup=backup).exists():
            raise Conflict("This backup is open already.", "Browse it from its page.")
        row = Server(
            name=_row_name(backup), source=Server.Source.BACKUP, read_only=True, host="", socket=str(scratch.socket),
            environment=source.environment if source else "",
        )  # fmt: skip
        row.save()
        if actor.user is not None:
            Grant.objects.create(user=actor.user, server=row, role=Grant.Role.VIEWER)
        OpenBackup.objects.create(
            backup=backup,
            row=row,
            directory=str(scratch.directory),
            pid=scratch.process.pid,
            born=scratch.born,
            frozen_at=moment_of(backup),
            person=actor.name,
        )
    return row


def _row_name(backup: Backup) -> str:
    """`ledger-prod-24nov-0300`: the server, and when."""
    when = backup.created_at.strftime("-%d%b-%H%M").lower()
    base = re.sub(r"[^a-z0-9_.-]", "-", backup.server)[: 60 - len(when)] + when
    name, number = base, 2
    while Server.objects.filter(name=name).exists():
        name, number = f"{base}-{number}", number + 1
    return name


def close(opened: OpenBackup) -> None:
    """End its server and take it off the list."""
    if _lives(opened):
        end_stranger(opened.pid, opened.born, seconds=5)
    shutil.rmtree(opened.directory, ignore_errors=True)
    opened.row.delete()


def close_dead() -> None:
    """Those whose server ended with a console that stopped."""
    for opened in OpenBackup.objects.select_related("row"):
        if not _lives(opened):
            close(opened)


def close_idle() -> None:
    """Close what nobody read for a while; called every few seconds by the jobs' clock."""
    close_dead()
    remove_leftovers()
    store.remove_abandoned()
    for opened in OpenBackup.objects.select_related("row"):
        calls = _calls(opened)
        if _seen.get(opened.pk) != calls:
            _seen[opened.pk] = calls
            OpenBackup.objects.filter(pk=opened.pk).update(used_at=timezone.now())
        elif opened.used_at < timezone.now() - timedelta(minutes=idle_minutes()):
            log.warning("closing %s: nobody read it for %s minutes", opened.row.name, idle_minutes())
            close(opened)


def _calls(opened: OpenBackup) -> int:
    """How many commands of people it has answered: those that only look after it do not count."""
    try:
        with client_of_opened(opened, 0) as client:
            stats = client.info("commandstats")
    except redis.RedisError:
        return -1
    return sum(facts["calls"] for name, facts in stats.items() if name.removeprefix("cmdstat_") not in _OURS)


def socket_of(opened: OpenBackup) -> Path:
    return Path(opened.directory) / "s"
