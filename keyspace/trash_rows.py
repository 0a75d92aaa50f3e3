"""Many entries of the trash at once: one prepared statement, where the ORM's way of writing rows takes three quarters of a bulk delete."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import zstandard
from django.db import connections, transaction
from django.utils import timezone

from keyspace.models import Job, TrashEntry
from keyspace.servers import Connection

_FIELDS = TrashEntry._meta.concrete_fields
_OWN = ("id", "name", "type", "expires_at", "payload", "dump_size", "stored_size")
_ID, _NAME, _TYPE, _EXPIRES_AT, _PAYLOAD, _DUMP_SIZE, _STORED_SIZE = map(
    [f.attname for f in _FIELDS].index, _OWN
)


class Taken(NamedTuple):
    """A key as it was: `payload` as DUMP answered, `expires_at` in Unix ms."""

    name: bytes
    type: str
    payload: bytes
    expires_at: int | None


class RowWriter:
    """Of one job, whose person and place all of its entries share."""

    def __init__(self, connection: Connection, job: Job, *, why: str, operation: str) -> None:
        user = connection.actor.user
        self._alike = TrashEntry(
            server=connection.server.name, db=connection.db, why=why, operation=operation, person=connection.actor.name,
            user=user if getattr(user, "pk", None) else None, job=job, dump_size=0, stored_size=0,
        )  # fmt: skip
        self._compress = zstandard.ZstdCompressor(level=1).compress
        self._as_bytes: Callable[[bytes], Any] = connections["default"].Database.Binary  # type: ignore[attr-defined]

    def write(self, taken: Sequence[Taken]) -> list[uuid.UUID]:
        """Store them, all or none; their ids."""
        database = connections["default"]
        self._alike.at = timezone.now()
        alike = [field.get_db_prep_save(getattr(self._alike, field.attname), database) for field in _FIELDS]
        ids = [uuid.uuid4() for _ in taken]
        kept = ids if database.features.has_native_uuid_field else [number.hex for number in ids]
        rows = [self._row(alike, number, each) for number, each in zip(kept, taken, strict=True)]
        with transaction.atomic(), database.cursor() as cursor:
            cursor.executemany(_insert(database.ops.quote_name), rows)
        return ids

    def _row(self, alike: list[Any], number: Any, each: Taken) -> list[Any]:
        row, stored = alike.copy(), self._compress(each.payload)
        row[_ID], row[_NAME], row[_TYPE] = number, self._as_bytes(each.name), each.type
        row[_EXPIRES_AT], row[_PAYLOAD] = each.expires_at, self._as_bytes(stored)
        row[_DUMP_SIZE], row[_STORED_SIZE] = len(each.payload), len(stored)
        return row


def _insert(quote: Callable[[str], str]) -> str:
    columns = ", ".join(quote(field.column or field.attname) for field in _FIELDS)
    marks = ", ".join(["%s"] * len(_FIELDS))
    return f"INSERT INTO {quote(TrashEntry._meta.db_table)} ({columns}) VALUES ({marks})"


def forget(ids: Sequence[uuid.UUID]) -> None:
    """Nothing was done to their keys. After a lost connection nobody knows, so there they stay: an entry too many does no harm."""
    TrashEntry.objects.filter(pk__in=ids).delete()
