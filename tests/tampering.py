"""Changing the audit as somebody with the database's own tools would: the triggers are in their way, so they are put aside."""

from typing import Any

from django.db import connection


def tamper(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE keyspace_auditentry DISABLE TRIGGER USER")
        else:
            for name in ("audit_no_update", "audit_no_delete"):
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
        cursor.execute(statement, parameters)
