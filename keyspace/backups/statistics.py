"""What a backup holds: keys, memory and TTLs by type, db and prefix, and the biggest keys.

It is read from a scratch server, never from the one that the backup is of.
"""

from collections.abc import Callable, Iterator
from typing import Any

from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups.moment import moment_of
from keyspace.backups.opening import reading
from keyspace.backups.services import find_backup, with_files
from keyspace.backups.tally import Tally
from keyspace.encoding import from_key_id
from keyspace.jobs import Run, job, start_job
from keyspace.models import Backup, BackupStatistics, Job
from keyspace.servers import Client, Connection
from keyspace.types import type_of
from keyspace.wire import Command, Wire, open_wire, pack, read_many

SCAN_COUNT = 500


@performs(Permission.BACK_UP)
def analyse_backup(connection: Connection, *, backup_id: str) -> Job:
    """Begin to add up what the backup holds, or join who is at it. The result stays until the backup goes."""
    backup = with_files(connection, backup_id)
    audit.tell(backup=str(backup.pk))
    running = _last_job(backup)
    if running is not None and running.unfinished:
        return running
    return start_job(
        connection.actor, "analyse_backup", title=f"Statistics of {backup}", server=connection.server.name,
        params={"backup": str(backup.pk)},
    )  # fmt: skip


def _last_job(backup: Backup) -> Job | None:
    jobs = Job.objects.filter(kind="analyse_backup", server=backup.server, params__backup=str(backup.pk))
    return jobs.order_by("-created_at").first()


@performs(Permission.BACK_UP, audited=False)
def get_statistics(
    connection: Connection, *, backup_id: str
) -> tuple[Backup, BackupStatistics | None, Job | None]:
    """The backup, what was found in it, and the job that is at it, or was the last one."""
    backup = find_backup(connection, backup_id)
    return backup, BackupStatistics.objects.filter(backup=backup).first(), _last_job(backup)


@job("analyse_backup", permission=Permission.BACK_UP)
def analyse_backup_job(run: Run) -> dict[str, Any]:
    backup = Backup.objects.get(pk=run.params["backup"])
    run.connection  # noqa: B018 - the person may still see the server

    def loading(done: int, total: int | None) -> None:
        run.report(done=done, total=total, unit="bytes", phase="loading")

    total = backup.total_keys
    with reading(backup, loading) as client:
        run.report(done=0, total=total, unit="keys", phase="adding up", now=True)
        report = analyse(
            client, moment_of(backup), lambda done: run.report(done=done, total=total, unit="keys")
        )
    found = {"report": report, "person": run.actor.name, "made_at": timezone.now()}
    BackupStatistics.objects.update_or_create(backup=backup, defaults=found)
    run.job.done = run.job.total = report["total"][0]
    return {"backup": str(backup.pk), "keys": report["total"][0]}


Clients = Callable[[int], Client]


def analyse(client: Clients, moment: int, progress: Callable[[int], None]) -> dict[str, Any]:
    """One pass over every db: the report of `tally`, with `moment` and the lengths of the biggest keys."""
    tally = Tally()
    for db in [int(name[2:]) for name in client(0).info("keyspace")]:
        with open_wire(client(db)) as wire:
            for names, facts in _pages(wire):
                _add(tally, db, names, facts, moment)
                progress(tally.total[0])
    report = tally.as_dict() | {"moment": moment}
    _add_lengths(report["biggest"], client)
    return report


def _pages(wire: Wire) -> Iterator[tuple[list[bytes], list[Any]]]:
    """(names, type and end and memory of each); the server looks up a page while we count the one before it."""
    cursor, names = wire.call("SCAN", 0, "COUNT", SCAN_COUNT)
    before: tuple[list[bytes], list[Any]] | None = None
    while True:
        more = cursor != b"0"
        ask = [
            pack(("TYPE", name)) + pack(("PEXPIRETIME", name)) + pack(("MEMORY", "USAGE", name))
            for name in names
        ]
        wire.send(b"".join(ask) + (pack(("SCAN", cursor, "COUNT", SCAN_COUNT)) if more else b""))
        if before is not None:
            yield before
        before = names, wire.receive(3 * len(names))
        if not more:
            yield before
            return
        cursor, names = wire.receive(1)[0]


def _add(tally: Tally, db: int, names: list[bytes], facts: list[Any], moment: int) -> None:
    rows = zip(names, facts[::3], facts[1::3], facts[2::3], strict=True)
    for name, kind, end, memory in rows:
        refused = next((fact for fact in (kind, end, memory) if isinstance(fact, Exception)), None)
        if refused is not None:
            raise refused
        if kind != b"none":
            tally.add(
                db,
                name,
                kind.decode(errors="replace"),
                memory or 0,
                None if end < 0 else max(0, end - moment),
            )


def _add_lengths(biggest: list[dict[str, Any]], client: Clients) -> None:
    """`length` in the type's own noun, where it has one."""
    for db in {row["db"] for row in biggest}:
        asked: list[tuple[dict[str, Any], Command]] = []
        for row in (row for row in biggest if row["db"] == db and row["id"]):
            if command := type_of(row["type"]).length_command(from_key_id(row["id"])):
                asked.append((row, command))
        for (row, _), length in zip(
            asked, read_many(client(db), [command for _, command in asked]), strict=True
        ):
            row["length"] = length if isinstance(length, int) else None
            row["noun"] = type_of(row["type"]).noun
