"""Back a server up from a shell: for cron, CI, and the night when the web is down."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.management.job_runner import SHELL, follow_job
from keyspace.backups import services
from keyspace.errors import Problem
from keyspace.jobs import connect


class Command(BaseCommand):
    help = "Make a backup of SERVER, prove it by loading it, and say what is in it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server")
        parser.add_argument("--kind", default="auto", choices=["auto", *services.KINDS])

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            backup = services.start_backup(connect(SHELL, options["server"]), kind=options["kind"])
        except Problem as problem:
            raise CommandError(str(problem)) from None
        if backup.job is not None:
            follow_job(backup.job, self.stderr)
        backup.refresh_from_db()
        keys = "keys not counted" if backup.total_keys is None else f"{backup.total_keys} keys"
        self.stdout.write(f"{backup.pk}  {backup.get_state_display()}  {keys}  {backup.size or 0} bytes")
        if backup.state not in (backup.State.LOADED, backup.State.SAVED):
            self.stdout.write(backup.torn or backup.state_note)
        if backup.state == backup.State.DAMAGED:
            raise CommandError("The backup is damaged.")
        if backup.state == backup.State.TORN:
            raise CommandError("The backup is not whole: make it again.")
