"""What a process of the console does to the database before its work begins."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from keyspace.configured import sync_servers

_LOCK = 5_731_944_120  # any number that nobody else takes


@contextmanager
def prepared(say: Callable[[str], None]) -> Iterator[None]:
    """A database brought up to date, with the configured servers. Of processes that start together on one Postgres each comes to
    the end of the block before the next begins.
    """
    with _alone():
        _migrate_when_due(say)
        sync_servers(settings.CONFIGURED_SERVERS)
        yield


@contextmanager
def _alone() -> Iterator[None]:
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _migrate_when_due(say: Callable[[str], None]) -> None:
    """Asking first is ten times faster than a migrate with nothing to do."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        say("Preparing the console's database ...")
        call_command("migrate", verbosity=0, interactive=False)
