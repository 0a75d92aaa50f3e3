"""Reading what a comparison found: its keys page by page, and the diff of one."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups.comparing import sides_of
from keyspace.backups.differences import KINDS, DifferentKey, place_of, read_diff, read_page
from keyspace.backups.judging import Judge
from keyspace.backups.live_side import LiveSide
from keyspace.backups.opening import clients_of_open
from keyspace.backups.services import find_backup
from keyspace.encoding import to_text
from keyspace.errors import BadInput, NotFound
from keyspace.jobs import find_job
from keyspace.models import Backup, Job
from keyspace.servers import Connection


@dataclass(frozen=True)
class ComparedPage:
    """`goes_on` is the start of the next page; None at the end."""

    job: Job
    older: Backup
    newer: Backup | None
    keys: list[DifferentKey]
    goes_on: int | None


@dataclass(frozen=True)
class ComparedKey:
    """`diff` as `diffing` has it; `kept`: as of the comparison, not of now. None while the backups in `closed` are not open."""

    job: Job
    older: Backup
    newer: Backup | None
    diff: dict[str, Any] | None
    kept: bool
    closed: list[Backup]


@performs(Permission.BACK_UP, audited=False)
def get_compared(
    connection: Connection,
    *,
    backup_id: str,
    job_id: str,
    kind: str,
    prefix: bytes | None = None,
    start: int = 0,
) -> ComparedPage:
    """Keys of a kind of KINDS that a comparison found. Raises NotFound once its job is forgotten."""
    if kind not in KINDS:
        raise BadInput("There is no such kind of difference.", "Choose one from the list.")
    job, older, newer = _comparison(connection, backup_id, job_id)
    keys, goes_on = read_page(place_of(job), kind, prefix, start)
    return ComparedPage(job, older, newer, keys, goes_on)


def _comparison(connection: Connection, backup_id: str, job_id: str) -> tuple[Job, Backup, Backup | None]:
    backup, job = find_backup(connection, backup_id), find_job(connection.actor, job_id)
    ended = job.kind == "compare_backup" and job.state == Job.State.DONE and place_of(job).is_dir()
    if not ended or str(backup.pk) not in (job.params.get("backup"), job.params.get("other")):
        raise NotFound("There is no such comparison.", "Compare again.")
    try:
        return job, *sides_of(job.params)
    except Backup.DoesNotExist:
        raise NotFound("One of the two backups is gone.", "Compare again.") from None


@performs(Permission.BACK_UP)
def get_compared_key(
    connection: Connection, *, backup_id: str, job_id: str, db: int, name: bytes
) -> ComparedKey:
    """The diff that was kept, else one between the sides as they can be asked now."""
    job, older, newer = _comparison(connection, backup_id, job_id)
    audit.tell(key=to_text(name)[:300], older=str(older.pk), newer=str(newer.pk) if newer else "live")
    diff = read_diff(place_of(job), db, name)
    if diff is not None:
        return ComparedKey(job, older, newer, diff, True, [])
    sides = [side for side in (older, newer) if side is not None]
    closed = [backup for backup in sides if clients_of_open(backup) is None]
    if closed:
        return ComparedKey(job, older, newer, None, False, closed)
    with ExitStack() as stack:
        old = clients_of_open(older)
        new = clients_of_open(newer) if newer else LiveSide(stack, connection.server).holding((name,))
        diff = Judge(old, new).diff(db, name) if old and new else None
    return ComparedKey(job, older, newer, diff, False, [])
