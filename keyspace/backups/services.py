"""What people do with backups. Reading the list is a viewer's right; everything else an admin's, and audited."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import making, opening, store
from keyspace.backups.preflight import choose_kind
from keyspace.backups.restore import EXISTING, TTLS
from keyspace.backups.restore_offer import make_offer, parse_place
from keyspace.backups.restore_report import METHODS
from keyspace.backups.restore_target import check_tells_use
from keyspace.encoding import key_id
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.jobs import start_job
from keyspace.models import Backup, Job, OpenBackup
from keyspace.servers import Connection, open_connection

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


@performs(Permission.BACK_UP)
def delete_backup(connection: Connection, *, backup_id: str) -> None:
    """Remove its files and its row; refused while it is used, and for the last verified one while a schedule relies on it."""
    backup = find_backup(connection, backup_id)
    audit.tell(backup=str(backup.pk), kind=backup.kind, made_at=backup.created_at.isoformat())
    if backup.state == State.RUNNING:
        raise Conflict("This backup is being made.", "Cancel its job first.")
    if OpenBackup.objects.filter(backup=backup).exists():
        raise Conflict("This backup is open.", "Close it first.")
    if (
        backup.state == State.LOADED
        and not Backup.objects.filter(server=backup.server, state=State.LOADED).exclude(pk=backup.pk).exists()
    ):
        raise Conflict(
            "This is the last verified backup of the server; it stays.", "Make and verify another one first."
        )
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
    beyond_trash: bool = False
    method: str = "keys"
    reach: str = ""

    def check(self) -> None:
        """Raises BadInput."""
        if self.existing not in EXISTING or self.ttl not in TTLS:
            raise BadInput("This way of restoring does not exist.", "Choose one from the list.")
        if not self.match:
            raise BadInput("An empty pattern chooses nothing.", "Type * for all keys.")
        if self.names is not None and not self.names:
            raise BadInput("No key is chosen.")
        if self.method not in METHODS:
            raise BadInput("This way of restoring does not exist.", "Choose one from the list.")
        if self.method == "primary":
            self._check_primary()

    def _check_primary(self) -> None:
        chosen = (self.match, self.type, self.names, self.db, self.to_db, self.ttl, self.expired, self.empty)
        if chosen != (b"*", "", None, None, None, "original", False, True):
            raise BadInput(
                "A temporary primary copies everything as it is, into an emptied server.",
                "Choose all keys, the same dbs and the original times, and to empty the server first.",
            )
        if self.reach:
            parse_place(self.reach)

    def params(self) -> dict[str, Any]:
        names = None if self.names is None else [key_id(name) for name in self.names]
        return {
            "match": key_id(self.match), "type": self.type, "names": names, "db": self.db, "to_db": self.to_db, "existing": self.existing,
            "ttl": self.ttl, "expired": self.expired, "dry": self.dry, "empty": self.empty,
            "beyond_trash": self.beyond_trash, "method": self.method, "reach": self.reach,
        }  # fmt: skip


@performs(Permission.RESTORE)
def restore_backup(
    connection: Connection,
    *,
    backup_id: str,
    order: RestoreOrder,
    confirmed: str = "",
    once: str | None = None,
) -> Job:
    """Put keys of a backup back on the connection's server. `order.empty` needs the server's name typed as `confirmed`."""
    order.check()
    backup = Backup.objects.filter(pk=_uuid(backup_id)).first()
    if backup is None:
        raise NotFound("There is no such backup.")
    check_source(connection, backup)
    audit.tell(
        backup=str(backup.pk),
        of=backup.server,
        dry=order.dry,
        existing=order.existing,
        ttl=order.ttl,
        emptied=order.empty,
    )
    if not backup.has_files or backup.state == State.DAMAGED:
        raise Conflict("This backup has no whole file to restore from.", "Choose another one.")
    if order.empty and not order.dry and confirmed != connection.server.name:
        raise BadInput("To empty the server first, type its name.", "Nothing was changed.")
    if order.existing == "older":
        check_tells_use(connection)
    if order.method == "primary" and not (offer := make_offer(connection, backup)):
        raise Conflict(offer.reason, "Restore key by key instead.")
    if (
        not order.dry
        and Job.objects.filter(
            Q(kind="restore_backup", server=connection.server.name, state__in=Job.UNFINISHED)
        ).exists()
    ):
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
    backup = with_files(connection, backup_id)
    other = with_files(connection, other_id) if other_id else None
    audit.tell(backup=str(backup.pk), other=str(other.pk) if other else "live")
    return start_job(
        connection.actor, "compare_backup", title=f"Compare {backup} with {other or 'live'}", server=connection.server.name,
        params={"backup": str(backup.pk), "other": str(other.pk) if other else None},
    )  # fmt: skip
