"""Entries that are written many at once are what the ORM would have written."""

from typing import Any

import pytest
import zstandard

from keyspace.models import Job, TrashEntry
from keyspace.trash_rows import RowWriter, Taken, forget

pytestmark = pytest.mark.django_db
TAKEN = [
    Taken(b"k\xff\x00 \xc3\xa9%s", "string", b"\x00\xfe" * 50, 1_900_000_000_000),
    Taken(b"", "ReJSON-RL", b"", None),
]


def test_each_field_is_as_the_orm_writes_it(connection_as: Any) -> None:
    connection = connection_as("admin")
    job = Job.objects.create(kind="run_bulk", title="", server="test", db=0, person="x")
    job.refresh_from_db()
    writer = RowWriter(connection, job, why=TrashEntry.Why.DELETED, operation="run_bulk")
    ids = writer.write(TAKEN)
    assert len(set(ids)) == 2 and not writer.write([])
    for number, each in zip(ids, TAKEN, strict=True):
        row = TrashEntry.objects.get(pk=number)
        stored = zstandard.compress(each.payload, 1)
        alike = TrashEntry(
            server="test", db=0, name=each.name, type=each.type, why="deleted", operation="run_bulk", person=connection.actor.name,
            user=connection.actor.user, expires_at=each.expires_at, payload=stored, dump_size=len(each.payload),
            stored_size=len(stored), job=job,
        )  # fmt: skip
        alike.save(force_insert=True)
        alike.refresh_from_db()
        fields = [field.attname for field in TrashEntry._meta.concrete_fields]
        assert fields and all(
            getattr(row, field) == getattr(alike, field) for field in fields if field not in ("id", "at")
        ), [(field, getattr(row, field), getattr(alike, field)) for field in fields]
        assert abs((row.at - alike.at).total_seconds()) < 60
        assert zstandard.decompress(bytes(row.payload), max_output_size=row.dump_size + 1) == each.payload
    forget(ids)
    assert TrashEntry.objects.count() == 2
