"""What people do with backups. Reading the list is a viewer's right; everything else an admin's, and audited."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import making, opening, store
from keyspace.backups.preflight import Check, choose_kind, refusals
from keyspace.backups.restore import EXISTING, TTLS
from keyspace.encoding import key_id
from keyspace.errors import BadInput, Conflict, Denied, NotFound, Problem, explain
from keyspace.jobs import start_job
from keyspace.models import Backup, Job, OpenBackup, Schedule
from keyspace.servers import Connection, access_to, open_connection

State, Kind = Backup.State, Backup.Kind
KINDS = ("pull", "export", "readable", "snapshot", "aof")


@dataclass(frozen=True)
class ServerSaves:
    """What the server says of its own saves; `problem` where it does not tell. Sizes in bytes, times in seconds."""

    last_save: datetime | None = None
    last_ok: bool | None = None
    last_seconds: float | None = None
    fork_ms: float | None = None
    changes: int | None = None
    saving: bool = False
    rewriting: bool = False
    rule: str = ""
    aof: bool | None = None
    aof_sync: str = ""
    aof_base: int | None = None
    aof_size: int | None = None
    aof_ok: bool | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class Newest:
    """How old the newest verified backup is, in seconds; `late`: older than a schedule says it may be."""

    backup: Backup | None
    age: float | None
    late: bool


@dataclass(frozen=True)
class BackupsPage:
    saves: ServerSaves
    backups: list[Backup]
    running: list[Job]
    opened: dict[uuid.UUID, OpenBackup]
    newest: Newest
    schedules: list[Schedule]
    stored_bytes: int
    free_bytes: int
    place: str
    kind: str = ""
    kind_reason: str = ""
    checks: list[Check] = field(default_factory=list)


@performs(Permission.LIST_BACKUPS)
def get_backups(connection: Connection, *, limit: int = 200) -> BackupsPage:
    """Everything the Backups page shows; a command that the server refuses leaves its own panel empty and the rest whole."""
    name = connection.server.name
    kind, reason, checks = _advice(connection)
    backups = list(Backup.objects.filter(server=name).select_related("schedule", "job")[:limit])
    return BackupsPage(
        server_saves(connection), [backup for backup in backups if backup.state != State.RUNNING], running_jobs(connection),
        {opened.backup_id: opened for opened in OpenBackup.objects.filter(backup__server=name).select_related("row")},
        newest_of(name), list(Schedule.objects.filter(server=connection.server)), sum(backup.size or 0 for backup in backups if backup.files),
        store.free_bytes(), store.place_words(), kind, reason, checks,
    )  # fmt: skip


def _advice(connection: Connection) -> tuple[str, str, list[Check]]:
    if not connection.access.may(Permission.BACK_UP):
        return "", "", []
    try:
        kind, reason = choose_kind(connection.redis)
        return kind, reason, refusals(connection.redis.info(), kind)
    except Exception as error:
        return "export", "", [Check(explain(error).sentence)]


def running_jobs(connection: Connection) -> list[Job]:
    """Jobs about backups of this server that are waiting or running."""
    kinds = ("back_up", "verify_backup", "open_backup", "restore_backup", "compare_backup")
    return list(Job.objects.filter(server=connection.server.name, kind__in=kinds, state__in=Job.UNFINISHED))


def server_saves(connection: Connection) -> ServerSaves:
    try:
        info = connection.redis.info()
    except Exception as error:
        return ServerSaves(problem=explain(error))
    seconds = info.get("rdb_last_bgsave_time_sec", -1)
    last = info.get("rdb_last_save_time")
    return ServerSaves(
        datetime.fromtimestamp(last).astimezone() if last else None, info.get("rdb_last_bgsave_status") == "ok",
        seconds if seconds >= 0 else None, info.get("latest_fork_usec", 0) / 1000 or None, info.get("rdb_changes_since_last_save"),
        bool(info.get("rdb_bgsave_in_progress")), bool(info.get("aof_rewrite_in_progress")), _config(connection, "save"),
        bool(info.get("aof_enabled")), _config(connection, "appendfsync"), info.get("aof_base_size"), info.get("aof_current_size"),
        info.get("aof_last_bgrewrite_status") == "ok",
    )  # fmt: skip


def _config(connection: Connection, name: str) -> str:
    try:
        return str(connection.redis.config_get(name).get(name, ""))
    except Exception:  # CONFIG is denied on most managed servers; the fact is left out
        return ""


def newest_of(server: str) -> Newest:
    """The newest verified backup of a server, for its pages to warn."""
    backup = making.newest_verified(server)
    age = making.age(backup).total_seconds() if backup else None
    limits = list(Schedule.objects.filter(server__name=server, enabled=True).values_list("max_age_hours", flat=True))
    late = bool(limits) and (age is None or age > min(limits) * 3600)
    return Newest(backup, age, late)


def find_backup(connection: Connection, backup_id: str | uuid.UUID) -> Backup:
    """A backup of the connection's server. Raises NotFound."""
    try:
        found = Backup.objects.filter(pk=uuid.UUID(str(backup_id)), server=connection.server.name).select_related("job", "schedule").first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such backup of this server.", "It may have been removed by retention.")
    return found


@performs(Permission.LIST_BACKUPS)
def get_backup(connection: Connection, *, backup_id: str) -> Backup:
    return find_backup(connection, backup_id)


@performs(Permission.BACK_UP)
def start_backup(connection: Connection, *, kind: str = "auto", once: str | None = None) -> Backup:
    """Begin a snapshot, aof, pull, export or readable backup; "auto" is what the probe says works here."""
    if kind == "auto":
        kind, _ = choose_kind(connection.redis)
    if kind not in KINDS:
        raise BadInput("There is no such kind of backup.")
    audit.tell(kind=kind)
    backup = making.begin_backup(connection, kind, once=once)
    audit.tell(backup=str(backup.pk))
    return backup


@performs(Permission.BACK_UP)
def verify_backup(connection: Connection, *, backup_id: str) -> Job:
    backup = _with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    return start_job(
        connection.actor, "verify_backup", title=f"Verify {backup}", server=connection.server.name, params={"backup": str(backup.pk)}, unit="bytes"
    )


@performs(Permission.BACK_UP)
def open_backup(connection: Connection, *, backup_id: str) -> Job:
    """Load it and show it as a read-only server; the job's result names that server."""
    backup = _with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    if backup.state == State.DAMAGED:
        raise Conflict("This backup is damaged and cannot be opened.", "Choose another one.")
    return start_job(
        connection.actor, "open_backup", title=f"Open {backup}", server=connection.server.name, params={"backup": str(backup.pk)}, unit="bytes"
    )


@performs(Permission.BACK_UP)
def close_backup(connection: Connection, *, backup_id: str) -> None:
    backup = find_backup(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    opened = OpenBackup.objects.filter(backup=backup).select_related("row").first()
    if opened is None:
        raise Conflict("This backup is not open.")
    opening.close(opened)


def _with_files(connection: Connection, backup_id: str) -> Backup:
    backup = find_backup(connection, backup_id)
    if not backup.has_files:
        raise Conflict("This backup has no file in the console's store.", "A snapshot stays on the server; a pull or an export is kept here.")
    return backup


@performs(Permission.BACK_UP)
def delete_backup(connection: Connection, *, backup_id: str) -> None:
    """Remove its files and its row; refused while it is used, and for the last verified one while a schedule relies on it."""
    backup = find_backup(connection, backup_id)
    audit.tell(backup=str(backup.pk), kind=backup.kind, made_at=backup.created_at.isoformat())
    if backup.state == State.RUNNING:
        raise Conflict("This backup is being made.", "Cancel its job first.")
    if OpenBackup.objects.filter(backup=backup).exists():
        raise Conflict("This backup is open.", "Close it first.")
    if backup.state == State.LOADED and not Backup.objects.filter(server=backup.server, state=State.LOADED).exclude(pk=backup.pk).exists():
        raise Conflict("This is the last verified backup of the server; it stays.", "Make and verify another one first.")
    remove(backup)


def remove(backup: Backup) -> None:
    for stored in backup.files:
        store.remove(stored["name"])
    backup.delete()


def check_source(connection: Connection, backup: Backup) -> None:
    """Restoring somewhere is reading the backup's server too. Raises Denied, NotFound."""
    if connection.actor.user is None or backup.server == connection.server.name:
        return
    source = open_connection(connection.actor, backup.server)
    if not source.access.may(Permission.BACK_UP):
        raise Denied("Your role on the backup's server does not let you use its backups.")


@dataclass(frozen=True)
class RestoreOrder:
    """What to restore and how; see `restore.Policy` and `restoring.Wanted`. `empty`: everything on the target goes first."""

    match: bytes = b"*"
    type: str = ""
    names: tuple[bytes, ...] | None = None
    db: int | None = None
    to_db: int | None = None
    existing: str = "skip"
    ttl: str = "original"
    expired: bool = False
    dry: bool = True
    empty: bool = False

    def check(self) -> None:
        """Raises BadInput."""
        if self.existing not in EXISTING or self.ttl not in TTLS:
            raise BadInput("This way of restoring does not exist.", "Choose one from the list.")
        if not self.match:
            raise BadInput("An empty pattern chooses nothing.", "Type * for all keys.")
        if self.names is not None and not self.names:
            raise BadInput("No key is chosen.")

    def params(self) -> dict[str, Any]:
        names = None if self.names is None else [key_id(name) for name in self.names]
        return {
            "match": key_id(self.match), "type": self.type, "names": names, "db": self.db, "to_db": self.to_db, "existing": self.existing,
            "ttl": self.ttl, "expired": self.expired, "dry": self.dry, "empty": self.empty,
        }  # fmt: skip


@performs(Permission.RESTORE)
def restore_backup(connection: Connection, *, backup_id: str, order: RestoreOrder, confirmed: str = "", once: str | None = None) -> Job:
    """Put keys of a backup back on the connection's server. `order.empty` needs the server's name typed as `confirmed`."""
    order.check()
    backup = Backup.objects.filter(pk=_uuid(backup_id)).first()
    if backup is None:
        raise NotFound("There is no such backup.")
    check_source(connection, backup)
    audit.tell(backup=str(backup.pk), of=backup.server, dry=order.dry, existing=order.existing, ttl=order.ttl, emptied=order.empty)
    if not backup.has_files or backup.state == State.DAMAGED:
        raise Conflict("This backup has no whole file to restore from.", "Choose another one.")
    if order.empty and not order.dry and confirmed != connection.server.name:
        raise BadInput("To empty the server first, type its name.", "Nothing was changed.")
    if not order.dry and Job.objects.filter(Q(kind="restore_backup", server=connection.server.name, state__in=Job.UNFINISHED)).exists():
        raise Conflict("A restore to this server is running already.", "Wait until it is done.")
    word = "Dry run: restore" if order.dry else "Restore"
    return start_job(
        connection.actor, "restore_backup", title=f"{word} {backup}", server=connection.server.name, db=connection.db,
        params={"backup": str(backup.pk), **order.params()}, once=once,
    )  # fmt: skip


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(str(text))
    except ValueError:
        raise NotFound("There is no such backup.") from None


@performs(Permission.BACK_UP)
def compare_backup(connection: Connection, *, backup_id: str, other_id: str | None = None) -> Job:
    """Against another backup of the server, or (None) against what it holds now."""
    backup = _with_files(connection, backup_id)
    other = _with_files(connection, other_id) if other_id else None
    audit.tell(backup=str(backup.pk), other=str(other.pk) if other else "live")
    return start_job(
        connection.actor, "compare_backup", title=f"Compare {backup} with {other or 'live'}", server=connection.server.name,
        params={"backup": str(backup.pk), "other": str(other.pk) if other else None},
    )  # fmt: skip


@dataclass(frozen=True)
class Download:
    """A file to send: its own name for people, and its size (bytes)."""

    name: str
    size: int
    stored: str

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """The bytes from `first` to `last` (inclusive)."""
        left = (self.size if last is None else last + 1) - first
        skip = first
        for chunk in store.read_chunks(self.stored):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            piece = chunk[skip : skip + left]
            skip, left = 0, left - len(piece)
            yield piece
            if left <= 0:
                return


@performs(Permission.BACK_UP)
def download_backup(connection: Connection, *, backup_id: str, number: int = 0) -> Download:
    """One file of a backup, as it was made (unsealed)."""
    backup = _with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk), file=number)
    if not 0 <= number < len(backup.files):
        raise NotFound("The backup has no such file.")
    stored = backup.files[number]
    ending = stored["name"].partition("/")[2].partition(".")[2]
    shard = f"-{number}" if len(backup.files) > 1 else ""
    return Download(f"{backup.server}-{backup.created_at:%Y%m%d-%H%M%S}-{backup.kind}{shard}.{ending}", stored["size"], stored["name"])


@performs(Permission.BACK_UP)
def upload_backup(connection: Connection, *, chunks: Iterator[bytes], label: str = "") -> Backup:
    """Take a file from elsewhere (an RDB, an archive, a readable export): checked while it comes, then verified as a job."""
    from keyspace.backups.uploading import take_upload

    backup = take_upload(connection, chunks, label)
    audit.tell(backup=str(backup.pk), size=backup.size)
    backup.job = start_job(
        connection.actor, "verify_backup", title=f"Verify {backup}", server=connection.server.name, params={"backup": str(backup.pk)}, unit="bytes"
    )
    backup.save(update_fields=["job"])
    return backup
