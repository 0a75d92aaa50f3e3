"""What the Backups page shows: the server's own saves, the history, what runs, what is open."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum
from django.utils import timezone

from keyspace.access import Permission, performs
from keyspace.backups import store
from keyspace.backups.history import History, Wanted, read_history
from keyspace.backups.preflight import Check, checks_of, choose_kind
from keyspace.backups.retention import newest_verified
from keyspace.backups.sealed import key
from keyspace.errors import Problem, explain
from keyspace.models import Backup, Job, Schedule, Server
from keyspace.servers import Connection

ALL = Wanted()


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
    history: History
    running: list[Job]
    newest: Newest
    schedules: list[Schedule]
    stored_bytes: int
    free_bytes: int
    place: str
    kind: str = ""
    kind_reason: str = ""

    @property
    def sealed(self) -> bool:
        """Whether what is kept from now on is encrypted."""
        return key() is not None


@performs(Permission.LIST_BACKUPS)
def get_backups(
    connection: Connection, *, wanted: Wanted = ALL, before: str = "", after: str = ""
) -> BackupsPage:
    """Everything the Backups page shows; a command that the server refuses leaves its own panel empty and the rest whole.

    Of the history what is `wanted`, `before` or `after` a place in it. Raises BadInput.
    """
    name = connection.server.name
    history = read_history(name, wanted, before=before, after=after)
    kind, reason = _advice(connection)
    return BackupsPage(
        server_saves(connection), history, running_jobs(connection),
        newest_of(name), list(Schedule.objects.filter(server=connection.server)),
        Backup.objects.filter(server=name, state__in=Backup.KEPT).aggregate(size=Sum("size"))["size"] or 0,
        store.free_bytes(), store.place_words(), kind, reason,
    )  # fmt: skip


def _advice(connection: Connection) -> tuple[str, str]:
    if not connection.access.may(Permission.BACK_UP):
        return "", ""
    try:
        return choose_kind(connection.redis)
    except Exception:  # the panel of the server's own saves says why
        return "auto", ""


@performs(Permission.BACK_UP, audited=False)
def get_checks(connection: Connection) -> list[Check]:
    """What stands in the way of the kind of backup that is advised; nothing while one runs. Asks every node that it would use."""
    if running_jobs(connection):
        return []
    try:
        return checks_of(connection, choose_kind(connection.redis)[0])
    except Problem as problem:
        return [Check(problem.sentence, True)]
    except Exception:  # the panel of the server's own saves says why
        return []


def running_jobs(connection: Connection) -> list[Job]:
    """Jobs about backups of this server that are waiting or running."""
    kinds = (
        "back_up",
        "verify_backup",
        "open_backup",
        "restore_backup",
        "compare_backup",
        "analyse_backup",
        "take_upload",
    )
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


def opened_backup(server: Server) -> Backup | None:
    """The backup that the server shows, where it is an opened one; no query for others."""
    if server.source != Server.Source.BACKUP:
        return None
    return Backup.objects.filter(opened__row=server).first()


def late_sentence(server: str) -> str:
    """What every page of the server says where its newest verified backup is too old; one query where there is no schedule."""
    if not Schedule.objects.filter(server__name=server, enabled=True).exists():
        return ""
    newest = newest_of(server)
    if not newest.late:
        return ""
    return (
        f"The newest verified backup of {server} is too old."
        if newest.backup
        else f"There is no verified backup of {server}."
    )


def newest_of(server: str) -> Newest:
    """The newest verified backup of a server, for its pages to warn. Where there is none, its schedules have as long as it may get old."""
    backup, now = newest_verified(server), timezone.now()
    age = (now - backup.created_at).total_seconds() if backup else None
    limits = Schedule.objects.filter(server__name=server, enabled=True).values_list("max_age_hours", "since")
    late = any(
        ((now - since).total_seconds() if age is None else age) > hours * 3600 for hours, since in limits
    )
    return Newest(backup, age, late)
