"""List backups."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from keyspace.models import Backup


class Command(BaseCommand):
    help = "List the backups of SERVER, or of all servers, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("server", nargs="?")
        parser.add_argument("--limit", type=int, default=50)

    def handle(self, *args: Any, **options: Any) -> None:
        found = Backup.objects.all()
        if options["server"]:
            found = found.filter(server=options["server"])
        for backup in found[: options["limit"]]:
            keys = "" if backup.total_keys is None else f"{backup.total_keys} keys"
            self.stdout.write(
                f"{backup.pk}  {backup.created_at:%Y-%m-%d %H:%M:%S}  {backup.server:20} {backup.kind:9} {backup.size or 0:>14}  "
                f"{keys:>16}  {backup.get_state_display()}"
            )
