"""Indexes by which the audit is searched, and how far its chain was verified.

The audit's table is never made anew here: SQLite would do that for a changed column, and the triggers of 0002 would go with the old
table. So the single-column indexes are dropped by name, and Django is only told of it.
"""

import keyspace.models.audit
from django.db import migrations, models

TABLE = "keyspace_auditentry"
REPLACED = ("person", "server", "operation")
# TRUNCATE goes past triggers on rows.
POSTGRES = (
    "CREATE FUNCTION audit_is_not_truncated() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF EXISTS (SELECT 1 FROM keyspace_auditentry WHERE id > COALESCE((SELECT anchor_id FROM keyspace_auditchain WHERE id = 1), 0)) "
    "THEN RAISE EXCEPTION 'the audit is append-only'; END IF; RETURN NULL; END $$",
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON keyspace_auditentry "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_not_truncated()",
)


def drop_replaced_indexes(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, TABLE)
    for name, one in found.items():
        if one["index"] and not one["unique"] and one["columns"] in [[column] for column in REPLACED]:
            schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


def make_replaced_indexes(apps, schema_editor):
    for column in REPLACED:
        schema_editor.execute(f"CREATE INDEX {TABLE}_{column} ON {TABLE} ({column})")


def guard(apps, schema_editor):
    for statement in POSTGRES if schema_editor.connection.vendor == "postgresql" else ():
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION audit_is_not_truncated CASCADE")


class Migration(migrations.Migration):
    dependencies = [("keyspace", "0006_statistics_of_backups")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(drop_replaced_indexes, make_replaced_indexes)],
            state_operations=[
                migrations.AlterField("auditentry", "person", models.CharField(max_length=255)),
                migrations.AlterField("auditentry", "server", models.CharField(blank=True, max_length=64)),
                migrations.AlterField("auditentry", "operation", models.CharField(max_length=64)),
            ],
        ),
        migrations.AddIndex("auditentry", models.Index(fields=["person", "id"], name="audit_person")),
        migrations.AddIndex("auditentry", models.Index(fields=["server", "id"], name="audit_server")),
        migrations.AddIndex("auditentry", models.Index(fields=["operation", "id"], name="audit_operation")),
        migrations.AddIndex("auditentry", models.Index(fields=["outcome", "id"], name="audit_outcome")),
        migrations.AddIndex(
            "auditentry", models.Index(keyspace.models.audit.Head("key"), "id", name="audit_key")
        ),
        migrations.CreateModel(
            name="AuditCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("walk_began_at", models.DateTimeField(null=True)),
                ("walk_id", models.BigIntegerField(default=0)),
                ("walk_hash", models.CharField(default="", max_length=64)),
                ("walked", models.BigIntegerField(default=0)),
                ("whole_at", models.DateTimeField(null=True)),
                ("whole_id", models.BigIntegerField(default=0)),
                ("whole_entries", models.BigIntegerField(default=0)),
                ("by", models.CharField(default="", max_length=255)),
                ("broken_at", models.DateTimeField(null=True)),
                ("broken_id", models.BigIntegerField(null=True)),
                ("sentence", models.CharField(default="", max_length=255)),
            ],
        ),
        migrations.RunPython(guard, unguard),
    ]
