"""Copying many keys to another db or server: a dry run that looks at both sides, then the job. Audited on both servers."""

import uuid

from keyspace import audit
from keyspace.access import Permission, check_permission, performs
from keyspace.bulk.choice import Choice
from keyspace.bulk.copying import EXISTING
from keyspace.bulk.services import LookedAt, Order, check_typed, ready_look
from keyspace.errors import BadInput, Conflict
from keyspace.jobs import start_job
from keyspace.models import Job
from keyspace.servers import Connection, list_connections


@performs(Permission.REVEAL_VALUES, audited=False)
def copy_targets(connection: Connection) -> list[Connection]:
    """Where this person may copy many keys to: every server whose keys they may change in bulk, this one last."""
    found = [
        each
        for each in list_connections(connection.actor)
        if each.access.may(Permission.BULK) and not each.server.read_only
    ]
    return sorted(found, key=lambda each: (each.server == connection.server, each.server.name))


@performs(Permission.REVEAL_VALUES)
def start_copy_look(
    connection: Connection, *, choice: Choice, target: Connection, existing: str, once: str | None = None
) -> Job:
    """Begin the dry run of a copy: it looks at both sides. Raises BadInput, Denied."""
    choice.check()
    if existing not in EXISTING:
        raise BadInput("There is no such rule for keys that are there already.", "Choose one from the list.")
    if (connection.server, connection.db) == (target.server, target.db):
        raise BadInput("This is the db they are in.", "Choose another db or another server.")
    check_permission(target, Permission.BULK)
    audit.tell(keys=choice.words, dry=True, copy_to=target.server.name, to_db=target.db)
    return start_job(
        connection.actor, "look_bulk", title=f"Dry run of a copy to {target.server.name}: {choice.words}",
        server=connection.server.name, db=connection.db, once=once,
        params=choice.params() | {"copy": {"server": target.server.name, "db": target.db, "existing": existing}},
    )  # fmt: skip


@performs(Permission.REVEAL_VALUES)
def start_copy(
    connection: Connection, *, look_id: uuid.UUID, rate: int, number: str = "", name: str = ""
) -> Job:
    """Copy what the dry run `look_id` chose to where it looked. As start_bulk; audited on both servers."""
    look = ready_look(connection, look_id)
    if look.target is None:
        raise Conflict("This was no dry run of a copy.", "Choose where to copy to, and look again.")
    Order("persist", rate=rate).check()
    audit.tell(keys=look.choice.words, what="copying", count=look.count, copy_to=look.target.server.name)
    check_typed(look, number, name, look.target.server)
    return _begin_copy(look.target, source=connection, look=look, rate=rate)


@performs(Permission.BULK)
def _begin_copy(connection: Connection, *, source: Connection, look: LookedAt, rate: int) -> Job:
    audit.tell(copied_from=source.server.name, from_db=source.db, keys=look.choice.words, count=look.count)
    job = start_job(
        connection.actor, "run_bulk", title=f"Copy {look.count} keys to {connection.server.name}: {look.choice.words}",
        server=source.server.name, db=source.db, total=look.count, once=f"bulk-{look.job.pk}",
        params={
            "do": "copy", "doing": "copying", "choice": look.choice.params(), "look": str(look.job.pk), "rate": rate,
            "expected": look.expected, "copy": look.job.params["copy"],
        },
    )  # fmt: skip
    audit.tell(job=str(job.pk))
    return job
