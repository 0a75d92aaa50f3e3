"""What people do to put a backup back: look whether it can be, order it."""

import uuid
from dataclasses import dataclass
from typing import Any

import redis
from django.db.models import Q

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups.restore_offer import Offer, make_offer, parse_place
from keyspace.backups.restore_report import EXISTING, METHODS, TTLS
from keyspace.backups.restore_target import check_tells_use
from keyspace.encoding import key_id
from keyspace.errors import BadInput, Conflict, Denied, NotFound, explain
from keyspace.jobs import start_job
from keyspace.models import Backup, Job
from keyspace.servers import Connection, open_connection

State = Backup.State


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
    folders: tuple[bytes, ...] = ()

    def check(self) -> None:
        """Raises BadInput."""
        if self.existing not in EXISTING or self.ttl not in TTLS:
            raise BadInput("This way of restoring does not exist.", "Choose one from the list.")
        if not self.match:
            raise BadInput("An empty pattern chooses nothing.", "Type * for all keys.")
        if self.names is not None and not self.names and not self.folders:
            raise BadInput("No key is chosen.")
        if self.method not in METHODS:
            raise BadInput("This way of restoring does not exist.", "Choose one from the list.")
        if self.method == "primary":
            self._check_primary()

    def _check_primary(self) -> None:
        chosen = (
            self.match,
            self.type,
            self.names,
            self.folders,
            self.db,
            self.to_db,
            self.ttl,
            self.expired,
            self.empty,
        )
        if chosen != (b"*", "", None, (), None, None, "original", False, True):
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
            "folders": [key_id(folder) for folder in self.folders],
        }  # fmt: skip


@performs(Permission.BACK_UP, audited=False)
def offer_primary(connection: Connection, *, backup_id: str) -> Offer:
    """Whether the connection's server can copy the backup from a temporary primary; a server that is away says so as the reason."""
    backup = _backup_of(connection, backup_id)
    try:
        return make_offer(connection, backup)
    except redis.RedisError as error:
        return Offer(explain(error).sentence)


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
    backup = _backup_of(connection, backup_id)
    audit.tell(
        backup=str(backup.pk),
        of=backup.server,
        dry=order.dry,
        existing=order.existing,
        ttl=order.ttl,
        emptied=order.empty,
        method=order.method,
    )
    if once and (known := Job.objects.filter(once=once).first()):
        return known
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


def _backup_of(connection: Connection, backup_id: str) -> Backup:
    """A backup of any server that the person may use. Raises NotFound, Denied."""
    try:
        found = Backup.objects.filter(pk=uuid.UUID(str(backup_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such backup.")
    check_source(connection, found)
    return found
