"""Run the jobs of consoles that share a queue, in a process of its own."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError

from console.starting import prepared
from keyspace.configured import BadConfiguration
from keyspace.job_worker import start_worker


class Command(BaseCommand):
    help = "Run jobs and schedules, beside `manage.py serve` processes with the same CONSOLE_JOBS_URL."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.JOBS_URL:
            raise SystemExit("CONSOLE_JOBS_URL is not set: manage.py serve runs the jobs itself.")
        asked = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: asked.set())
        try:
            with prepared(self.say):
                worker = start_worker()
        except BadConfiguration as error:
            raise SystemExit(str(error)) from None
        except OperationalError as error:
            raise SystemExit(f"The console's database cannot be used: {error}") from None
        self.say("Jobs run here. Ctrl-C stops it.")
        asked.wait()
        worker.stop()

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
