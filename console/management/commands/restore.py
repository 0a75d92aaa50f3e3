"""Restore a backup from a shell."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.management.job_runner import SHELL, find_backup, follow_job
from keyspace.backups import restore_services
from keyspace.backups.restore_report import EXISTING, METHODS, TTLS
from keyspace.encoding import from_text
from keyspace.errors import Problem
from keyspace.jobs import connect
from keyspace.models import Job


class Command(BaseCommand):
    help = "Put keys of BACKUP back on a server. Without --for-good it is a dry run, which writes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", help="its id, or the beginning of it")
        parser.add_argument("--to", required=True, metavar="SERVER")
        parser.add_argument("--match", default="*", help="a glob; \\xff escapes are understood")
        parser.add_argument("--type", default="")
        parser.add_argument("--db", type=int, help="only this db of the backup")
        parser.add_argument("--to-db", type=int)
        parser.add_argument("--existing", default="skip", choices=list(EXISTING))
        parser.add_argument("--ttl", default="original", choices=list(TTLS))
        parser.add_argument("--expired", action="store_true", help="also keys that have expired since")
        parser.add_argument(
            "--empty", action="store_true", help="empty the server first, after a safety backup"
        )
        parser.add_argument(
            "--confirm", default="", metavar="SERVER", help="with --empty: the server's name once more"
        )
        parser.add_argument(
            "--method", default="keys", choices=list(METHODS), help="with --empty: how the server is filled"
        )
        parser.add_argument(
            "--reach",
            default="",
            metavar="HOST[:PORT]",
            help="with --method primary: where SERVER reaches this machine",
        )
        parser.add_argument(
            "--beyond-trash", action="store_true", help="overwrite also keys that do not fit the trash"
        )
        parser.add_argument("--for-good", action="store_true", help="really write")

    def handle(self, *args: Any, **options: Any) -> None:
        backup = find_backup(options["backup"])
        order = restore_services.RestoreOrder(
            match=from_text(options["match"]), type=options["type"], db=options["db"], to_db=options["to_db"], existing=options["existing"],
            ttl=options["ttl"], expired=options["expired"], dry=not options["for_good"], empty=options["empty"],
            beyond_trash=options["beyond_trash"],
            method=options["method"], reach=options["reach"],
        )  # fmt: skip
        try:
            target = connect(SHELL, options["to"])
            job = restore_services.restore_backup(
                target, backup_id=str(backup.pk), order=order, confirmed=options["confirm"]
            )
        except Problem as problem:
            raise CommandError(str(problem)) from None
        self.report(follow_job(job, self.stderr))

    def report(self, job: Job) -> None:
        numbers = (
            "looked",
            "new",
            "same",
            "different",
            "expired",
            "skipped",
            "newer",
            "too_large",
            "lost",
            "restored",
            "typed",
            "failed",
        )
        self.stdout.write(
            "  ".join(f"{name} {job.result[name]}" for name in numbers if job.result.get(name))
            or "nothing to restore"
        )
        for problem in job.result.get("problems", []):
            self.stdout.write(f"  {problem}")
        if job.result.get("functions"):
            self.stdout.write(job.result["functions"])
        if job.result.get("safety"):
            self.stdout.write(f"safety backup {job.result['safety']}")
        if job.result.get("failed"):
            raise CommandError(f"{job.result['failed']} keys could not be restored.")
