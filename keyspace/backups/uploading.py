"""Files from elsewhere: an RDB of any server, or an export of another console. Nothing of it is believed before it was read."""

import itertools
import uuid
from collections.abc import Iterator

from django.conf import settings

from keyspace.backups import archive, store
from keyspace.backups.rdb import Damaged, RdbChecker
from keyspace.errors import BadInput, TooLarge
from keyspace.models import Backup
from keyspace.servers import Connection

_ZSTD = b"\x28\xb5\x2f\xfd"


def upload_limit() -> int:
    """Bytes."""
    return int(getattr(settings, "BACKUP_UPLOAD_BYTES", 64 * 1024**3))


def take_upload(
    connection: Connection, chunks: Iterator[bytes], label: str, *, backup_id: str | None = None
) -> Backup:
    """Write it to the store as it comes. Raises BadInput for what is no backup, TooLarge."""
    first = next(chunks, b"")
    while len(first) < 16 and (more := next(chunks, b"")):
        first += more
    backup = Backup(
        pk=uuid.UUID(backup_id) if backup_id else uuid.uuid4(),
        server=connection.server.name,
        kind=Backup.Kind.UPLOAD,
        person=connection.actor.name,
        reason=printable(label)[:200],
    )
    ending = _ending(first)
    checker = RdbChecker() if ending == ".rdb" else None
    with store.Part(f"{backup.pk}/0{ending}") as part:
        try:
            _write(itertools.chain([first], chunks), part, checker)
            head = checker.finish() if checker else None
        except Damaged as error:
            raise BadInput(
                f"This file is not a whole backup: {error.reason}.", "Nothing was kept."
            ) from error
        kept = part.commit()
    backup.files = [
        {
            "name": kept.name,
            "size": kept.size,
            "sha256": kept.sha256,
            "node": "",
            "used_memory": head.used_memory if head else 0,
        }
    ]
    backup.size, backup.state = kept.size, Backup.State.WHOLE
    backup.format = head.magic if head else "archive" if ending == ".ksarch" else "readable"
    backup.product = _product(head.facts) if head else ""
    backup.source = "uploaded"
    backup.save(force_insert=True)
    return backup


def printable(label: str) -> str:
    """What a file is called elsewhere, for people to read: databases take no NUL, and pages no control characters."""
    return "".join(char if char.isprintable() else "\ufffd" for char in label)


def check_beginning(first: bytes) -> None:
    """Raises BadInput for the first bytes of a file that is no backup, before the rest of it comes."""
    _ending(first)


def _ending(first: bytes) -> str:
    if first.startswith((b"REDIS", b"VALKEY")):
        return ".rdb"
    if first.startswith(archive.MAGIC):
        return ".ksarch"
    if first.startswith((_ZSTD, b'{"form"')):
        return ".jsonl.zst"
    raise BadInput(
        "This file is neither an RDB nor an export of this console.",
        "Choose a dump.rdb, a .ksarch or a .jsonl.zst file.",
    )


def _write(chunks: Iterator[bytes], part: store.Part, checker: RdbChecker | None) -> None:
    limit = upload_limit()
    for chunk in chunks:
        if part.size + len(chunk) > limit:
            raise TooLarge(f"The file is larger than the {limit / 1e9:.0f} GB taken here.")
        if checker is not None:
            checker.feed(chunk)
        part.write(chunk)


def _product(facts: dict[str, str]) -> str:
    for field, product in (("valkey-ver", "Valkey"), ("redis-ver", "Redis")):
        if field in facts:
            return f"{product} {facts[field]}"[:64]
    return ""
