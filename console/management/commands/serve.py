"""Start the console, and on sample data the server it looks at; everything ends with it."""

import gc
import os
import signal
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError
from django.urls import get_resolver

from console.management.commands.bootstrap import NewPerson, describe_people, make_first_people
from console.serving import CannotListen, ConsoleServer, listen
from console.starting import prepared
from keyspace.configured import BadConfiguration
from keyspace.embedded import StartFailed

MOST_KEYS = 50_000_000


class Command(BaseCommand):
    help = (
        "Start the console on HOST:PORT, with an embedded Valkey and sample data when no REDIS_HOST is set."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)
        try:
            with ExitStack() as running:
                self.start(running)
        except (CannotListen, StartFailed, BadConfiguration) as error:
            raise SystemExit(str(error)) from None
        except OperationalError as error:
            raise SystemExit(f"The console's database cannot be used: {error}") from None

    def start(self, running: ExitStack) -> None:
        """Start one thing after the other, each to be stopped by `running`, and serve until a signal."""
        listener = listen(settings.HOST, settings.PORT)
        running.callback(listener.close)
        keys = wanted_keys(os.environ.get("KEYS", ""))
        with prepared(self.say):
            people = make_first_people()
        for line in self.sign_in_lines(people):
            self.say(line)
        if settings.SAMPLE:
            self.start_sample(running, keys)
        self.start_worker(running)
        # The last to be pushed is the first to run: a second Ctrl-C does not interrupt the stopping.
        running.callback(_ignore_signals)
        server = ConsoleServer(load_application(), on_started=self.announce)
        gc.collect()
        gc.freeze()
        server.run(sockets=[listener])

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def start_sample(self, running: ExitStack, keys: int | None) -> None:
        from keyspace.sample.server import start_sample

        sample = start_sample(
            settings.DATA_DIR / "valkey",
            socket=settings.EMBEDDED_SOCKET,
            keys=keys,
            say=self.say,
            meanwhile=load_application,
        )
        running.callback(sample.stop)

    def start_worker(self, running: ExitStack) -> None:
        """Jobs run in this process, unless their queue is elsewhere and a worker of its own takes them."""
        if not getattr(settings, "JOBS_URL", ""):
            from keyspace.job_worker import start_worker

            running.callback(start_worker().stop)

    def sign_in_lines(self, people: list[NewPerson]) -> list[str]:
        return ["Sign in as", *describe_people(people)] if people else []

    def announce(self) -> None:
        self.say(f"Keyspace Console is at {address()}")
        if settings.SAMPLE:
            self.say(
                "It shows SAMPLE DATA in a Valkey of its own; set REDIS_HOST to look at a server of yours."
            )
        self.say("Ctrl-C stops it and all it started.")


def load_application() -> Any:
    """The application with all its pages: what the first request would otherwise wait for."""
    from console.asgi import application

    assert get_resolver().url_patterns
    return application


def _leave(number: int, frame: Any) -> None:
    """Asked to go: unwind, and stop what was started."""
    raise SystemExit(0)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def wanted_keys(text: str) -> int | None:
    """KEYS: how many sample keys; None when it is not set. Raises BadConfiguration."""
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) <= MOST_KEYS:
        raise BadConfiguration(f"KEYS must be a number from 1 to {MOST_KEYS:,}, not {text[:40]!r}.")
    return int(text)


def address() -> str:
    """Where a person reaches the console from this machine, or from outside when CONSOLE_ORIGIN says so."""
    origin: str = settings.ORIGIN.geturl()
    return origin.replace("//0.0.0.0:", "//127.0.0.1:", 1) if settings.HOST == "0.0.0.0" else origin
