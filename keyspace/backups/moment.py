"""As of when a backup is: what its file says, for the row only knows when it was ordered (or an old file uploaded)."""

import json
from typing import IO, Any

from keyspace.backups import store
from keyspace.backups.archive import ArchiveReader
from keyspace.backups.rdb import Damaged, read_head
from keyspace.backups.readable import read_lines
from keyspace.models import Backup

_HEAD_BYTES = 4096
_LATEST = 1 << 42


def moment_of(backup: Backup) -> int:
    """Unix ms: `ctime` of an RDB (whole seconds), `made_at` of an export; where there is none, when the backup was begun.

    Of several shards the earliest, so that no key had less than nothing left.
    """
    told = [when for stored in backup.files if (when := _told(stored["name"]))]
    return min(told, default=int(backup.created_at.timestamp() * 1000))


def _told(name: str) -> int:
    """0 where the file does not say, or says what cannot be."""
    try:
        with store.open_file(name) as source:
            when = _READ[name.rpartition(".")[2]](source)
    except (Damaged, KeyError, TypeError, ValueError):
        return 0
    return when if 0 < when < _LATEST else 0


def _of_rdb(source: IO[bytes]) -> int:
    return int(read_head(source.read(_HEAD_BYTES)).facts["ctime"]) * 1000


def _of_archive(source: IO[bytes]) -> int:
    return int(ArchiveReader(source).header["made_at"])


def _of_readable(source: IO[bytes]) -> int:
    _, first = next(read_lines(source))
    head: Any = json.loads(first)
    return int(head["made_at"])


_READ = {"rdb": _of_rdb, "ksarch": _of_archive, "zst": _of_readable}
