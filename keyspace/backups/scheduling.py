"""Schedules as people set them; see `schedule` for when they run."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.backups.schedule import next_time, times
from keyspace.errors import BadInput, NotFound
from keyspace.models import Schedule
from keyspace.servers import Connection


@performs(Permission.BACK_UP, audited=False)
def get_schedule(connection: Connection, *, number: int | None) -> Schedule:
    """A schedule of the server, or (None) a new one that is not saved yet."""
    if number is None:
        return Schedule(server=connection.server, name="nightly")
    found = Schedule.objects.filter(pk=number, server=connection.server).first()
    if found is None:
        raise NotFound("There is no such schedule of this server.")
    return found


@performs(Permission.BACK_UP)
def save_schedule(connection: Connection, *, schedule: Schedule) -> Schedule:
    """Keep it, due from now on. Raises BadInput."""
    schedule.server = connection.server
    try:
        schedule.full_clean(exclude=["server", "next_at", "last_at", "alerted_at"])
        schedule.validate_constraints()
    except ValidationError as error:
        raise BadInput(" ".join(error.messages)[:300]) from None
    now = timezone.now()
    if schedule.enabled and not Schedule.objects.filter(pk=schedule.pk, enabled=True).exists():
        schedule.since = now
    schedule.next_at = next_time(schedule, now)
    schedule.save()
    audit.tell(schedule=schedule.name, every=schedule.every, kind=schedule.kind, enabled=schedule.enabled)
    return schedule


@performs(Permission.BACK_UP)
def remove_schedule(connection: Connection, *, number: int) -> None:
    """Its backups stay, and are no longer tidied up."""
    found = get_schedule(connection, number=number)
    audit.tell(schedule=found.name)
    found.delete()


def due_times(schedule: Schedule, number: int = 3) -> list[datetime]:
    return list(times(schedule, number, timezone.now()))
