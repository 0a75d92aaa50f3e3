"""The database itself keeps the audit append-only: no UPDATE, and no DELETE beyond what retention has anchored."""

from django.db import migrations

SQLITE = (
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON keyspace_auditentry "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON keyspace_auditentry "
    "WHEN OLD.id > (SELECT anchor_id FROM keyspace_auditchain WHERE id = 1) "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
)
POSTGRES = (
    "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF TG_OP = 'DELETE' AND OLD.id <= COALESCE((SELECT anchor_id FROM keyspace_auditchain WHERE id = 1), OLD.id) "
    "THEN RETURN OLD; END IF; RAISE EXCEPTION 'the audit is append-only'; END $$",
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON keyspace_auditentry "
    "FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()",
)


def guard(apps, schema_editor):
    for statement in {"sqlite": SQLITE, "postgresql": POSTGRES}.get(schema_editor.connection.vendor, ()):
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER audit_no_update")
        schema_editor.execute("DROP TRIGGER audit_no_delete")
    elif schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION audit_is_append_only CASCADE")


class Migration(migrations.Migration):
    dependencies = [("keyspace", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
