"""Find the first broken link of the audit's chain."""

from typing import Any

from django.core.management.base import BaseCommand

from keyspace.audit_check import verify_now


class Command(BaseCommand):
    help = "Walk the audit's chain of hashes; exits with 1 and names the first broken entry when somebody rewrote it."

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = verify_now("shell")
        if verdict.broken_id is not None:
            self.stderr.write(f"Broken at entry {verdict.broken_id}: {verdict.sentence}")
            raise SystemExit(1)
        self.stdout.write(f"{verdict.entries} entries. {verdict.sentence}")
