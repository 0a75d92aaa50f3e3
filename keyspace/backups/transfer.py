"""Backup files to people and from them."""

from collections.abc import Iterator
from dataclasses import dataclass

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups import store
from keyspace.backups.services import with_files
from keyspace.errors import NotFound
from keyspace.jobs import start_job
from keyspace.models import Backup
from keyspace.servers import Connection


@dataclass(frozen=True)
class Download:
    """A file to send: its own name for people, its size (bytes), and a mark that is another for other contents."""

    name: str
    size: int
    mark: str
    stored: str

    def chunks(self, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """The bytes from `first` to `last` (inclusive); what is before is not read."""
        left = (self.size if last is None else last + 1) - first
        for chunk in store.read_chunks(self.stored, first):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return


@performs(Permission.BACK_UP)
def download_backup(connection: Connection, *, backup_id: str, number: int = 0) -> Download:
    """One file of a backup, as it was made (unsealed)."""
    backup = with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk), file=number)
    if not 0 <= number < len(backup.files):
        raise NotFound("The backup has no such file.")
    stored = backup.files[number]
    ending = stored["name"].partition("/")[2].partition(".")[2]
    shard = f"-{number}" if len(backup.files) > 1 else ""
    return Download(
        f"{backup.server}-{backup.created_at:%Y%m%d-%H%M%S}-{backup.kind}{shard}.{ending}",
        stored["size"],
        stored["sha256"],
        stored["name"],
    )


@performs(Permission.BACK_UP)
def upload_backup(connection: Connection, *, chunks: Iterator[bytes], label: str = "") -> Backup:
    """Take a file from elsewhere (an RDB, an archive, a readable export): checked while it comes, then verified as a job."""
    from keyspace.backups.uploading import take_upload

    backup = take_upload(connection, chunks, label)
    audit.tell(backup=str(backup.pk), size=backup.size)
    backup.job = start_job(
        connection.actor,
        "verify_backup",
        title=f"Verify {backup}",
        server=connection.server.name,
        params={"backup": str(backup.pk)},
        unit="bytes",
    )
    backup.save(update_fields=["job"])
    return backup
