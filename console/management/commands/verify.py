"""Verify a backup again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.management.job_runner import SHELL, find_backup, follow_job
from keyspace.backups import services
from keyspace.errors import Problem
from keyspace.jobs import connect


class Command(BaseCommand):
    help = "Read BACKUP (an id, or its beginning) again, load it in a scratch server and count. Fails when it is damaged."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup")

    def handle(self, *args: Any, **options: Any) -> None:
        backup = find_backup(options["backup"])
        try:
            job = services.verify_backup(connect(SHELL, backup.server), backup_id=str(backup.pk))
        except Problem as problem:
            raise CommandError(str(problem)) from None
        follow_job(job, self.stderr)
        backup.refresh_from_db()
        self.stdout.write(f"{backup.get_state_display()}. {backup.state_note}".strip())
        if backup.state == backup.State.DAMAGED:
            raise CommandError("The backup is damaged.")
