"""What people do with backups. Reading the list is a viewer's right; everything else an admin's, and audited."""

import uuid

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import making, opening
from keyspace.backups.preflight import choose_kind
from keyspace.backups.retention import in_use, remove
from keyspace.errors import BadInput, Conflict, NotFound
from keyspace.jobs import start_job
from keyspace.models import Backup, Job, OpenBackup
from keyspace.servers import Connection

State, Kind = Backup.State, Backup.Kind
KINDS = ("pull", "export", "readable", "snapshot", "aof")


def find_backup(connection: Connection, backup_id: str | uuid.UUID) -> Backup:
    """A backup of the connection's server. Raises NotFound."""
    try:
        found = (
            Backup.objects.filter(pk=uuid.UUID(str(backup_id)), server=connection.server.name)
            .select_related("job", "schedule")
            .first()
        )
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such backup of this server.", "It may have been removed by retention.")
    return found


@performs(Permission.LIST_BACKUPS)
def get_backup(connection: Connection, *, backup_id: str) -> Backup:
    return find_backup(connection, backup_id)


@performs(Permission.BACK_UP)
def start_backup(
    connection: Connection, *, kind: str = "auto", replicas: bool = False, once: str | None = None
) -> Backup:
    """Begin a snapshot, aof, pull, export or readable backup; "auto" is what the probe says works here. See `making.begin_backup`."""
    if kind == "auto":
        kind, _ = choose_kind(connection.redis)
    if kind not in KINDS:
        raise BadInput("There is no such kind of backup.")
    audit.tell(kind=kind, replicas=replicas)
    backup = making.begin_backup(connection, kind, replicas=replicas, once=once)
    audit.tell(backup=str(backup.pk))
    return backup


def may_be_repeated(backup: Backup) -> bool:
    """One that came to nothing, or to less than everything."""
    ended = (State.FAILED, State.CANCELLED, State.INTERRUPTED, State.TORN)
    return backup.kind in KINDS and backup.state in ended


@performs(Permission.BACK_UP)
def repeat_backup(connection: Connection, *, backup_id: str, once: str | None = None) -> Backup:
    """One more of the same kind, from whom its own was made. Raises Conflict where it was made."""
    backup = find_backup(connection, backup_id)
    audit.tell(kind=backup.kind, again=str(backup.pk))
    if not may_be_repeated(backup):
        raise Conflict("This backup need not be made again.", "Make a new one on the Backups page.")
    replicas = bool(backup.job and backup.job.params.get("replicas"))
    again = making.begin_backup(connection, backup.kind, replicas=replicas, once=once)
    audit.tell(backup=str(again.pk))
    return again


@performs(Permission.BACK_UP)
def verify_backup(connection: Connection, *, backup_id: str) -> Job:
    backup = with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    return start_job(
        connection.actor,
        "verify_backup",
        title=f"Verify {backup}",
        server=connection.server.name,
        params={"backup": str(backup.pk)},
        unit="bytes",
    )


@performs(Permission.BACK_UP)
def open_backup(connection: Connection, *, backup_id: str) -> Job:
    """Load it and show it as a read-only server; the job's result names that server."""
    backup = with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    if backup.state == State.DAMAGED:
        raise Conflict("This backup is damaged and cannot be opened.", "Choose another one.")
    return start_job(
        connection.actor,
        "open_backup",
        title=f"Open {backup}",
        server=connection.server.name,
        params={"backup": str(backup.pk)},
        unit="bytes",
    )


@performs(Permission.BACK_UP)
def close_backup(connection: Connection, *, backup_id: str) -> None:
    backup = find_backup(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    opened = OpenBackup.objects.filter(backup=backup).select_related("row").first()
    if opened is None:
        raise Conflict("This backup is not open.")
    opening.close(opened)


def with_files(connection: Connection, backup_id: str) -> Backup:
    backup = find_backup(connection, backup_id)
    if not backup.has_files:
        raise Conflict(
            "This backup has no file in the console's store.",
            "A snapshot stays on the server; a pull or an export is kept here.",
        )
    return backup


def is_last_verified(backup: Backup) -> bool:
    """Whether the server would have no verified backup without it: then it stays."""
    verified = Backup.objects.filter(server=backup.server, state=State.LOADED)
    return backup.state == State.LOADED and not verified.exclude(pk=backup.pk).exists()


@performs(Permission.BACK_UP)
def delete_backup(connection: Connection, *, backup_id: str) -> None:
    """Remove its files and its row; refused while it is used, and for the last verified one while a schedule relies on it."""
    backup = find_backup(connection, backup_id)
    audit.tell(backup=str(backup.pk), kind=backup.kind, made_at=backup.created_at.isoformat())
    if backup.state == State.RUNNING:
        raise Conflict("This backup is being made.", "Cancel its job first.")
    if OpenBackup.objects.filter(backup=backup).exists():
        raise Conflict("This backup is open.", "Close it first.")
    if str(backup.pk) in in_use():
        raise Conflict("A job reads this backup.", "Wait until it is done, or cancel it.")
    if is_last_verified(backup):
        raise Conflict(
            "This is the last verified backup of the server; it stays.", "Make and verify another one first."
        )
    remove(backup)


@performs(Permission.BACK_UP)
def compare_backup(connection: Connection, *, backup_id: str, other_id: str | None = None) -> Job:
    """Against another backup of the server, or (None) against what it holds now."""
    backup = with_files(connection, backup_id)
    other = with_files(connection, other_id) if other_id else None
    audit.tell(backup=str(backup.pk), other=str(other.pk) if other else "live")
    return start_job(
        connection.actor, "compare_backup", title=f"Compare {backup} with {other or 'live'}", server=connection.server.name,
        params={"backup": str(backup.pk), "other": str(other.pk) if other else None},
    )  # fmt: skip
