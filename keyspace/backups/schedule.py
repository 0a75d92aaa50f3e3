"""Backups by themselves: when the next one is due, running it once, keeping the right ones, and saying when the newest is too old."""

import json
import logging
import random
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from keyspace import audit
from keyspace.access import Access, Actor, Right
from keyspace.backups import making, services
from keyspace.backups.opening import close_idle
from keyspace.backups.page import newest_of
from keyspace.backups.preflight import choose_kind
from keyspace.errors import Problem, explain
from keyspace.jobs import start_job
from keyspace.models import Backup, Schedule
from keyspace.servers import Connection

log = logging.getLogger(__name__)
_JITTER_SECONDS = 60
_AGAIN_SECONDS = 300
_ALERT_HOURS = 6
_REVERIFY_DAYS = 7
_WEBHOOK_SECONDS = 5
State = Backup.State


def next_time(schedule: Schedule, after: datetime) -> datetime:
    """The first due time after `after`, in UTC; daily and weekly ones by the clock of the schedule's time zone."""
    if schedule.every == Schedule.Every.HOURS:
        return after + timedelta(hours=max(1, schedule.hours))
    zone = ZoneInfo(schedule.time_zone)
    local = after.astimezone(zone)
    due = local.replace(hour=schedule.at.hour, minute=schedule.at.minute, second=0, microsecond=0, fold=0)
    if schedule.every == Schedule.Every.WEEK:
        due += timedelta(days=(schedule.weekday - due.weekday()) % 7)
    step = timedelta(days=7 if schedule.every == Schedule.Every.WEEK else 1)
    while due <= local:
        due += step
    return due.astimezone(UTC)


def run_due() -> int:
    """Start what is due, tidy up, and alert; called every few seconds. Returns how many backups were started."""
    now, started = timezone.now(), 0
    for schedule in Schedule.objects.filter(enabled=True).select_related("server"):
        if schedule.next_at is None:
            Schedule.objects.filter(pk=schedule.pk, next_at=None).update(next_at=next_time(schedule, now))
        elif schedule.next_at <= now and _claim(schedule, now):
            started += _run(schedule, now)
            apply_retention(schedule)
        _alert_when_old(schedule, now)
    _verify_again(now)
    return started


def _claim(schedule: Schedule, now: datetime) -> bool:
    """Whether this process takes this run: the one whose UPDATE finds the old time."""
    jitter = timedelta(seconds=random.uniform(0, _JITTER_SECONDS))
    following = next_time(schedule, now) + jitter
    return bool(Schedule.objects.filter(pk=schedule.pk, next_at=schedule.next_at).update(next_at=following))


def system_connection(schedule: Schedule) -> Connection:
    actor = Actor(None, f"schedule {schedule.name}")
    return Connection(actor, schedule.server, schedule.server.db, Access((Right("admin"),)))


def _run(schedule: Schedule, now: datetime) -> bool:
    connection = system_connection(schedule)
    missed = schedule.next_at is not None and now - schedule.next_at > timedelta(minutes=10)
    try:
        kind = choose_kind(connection.redis)[0] if schedule.kind == "auto" else schedule.kind
        backup = making.begin_backup(
            connection, kind, schedule=schedule, reason="a run that was missed" if missed else ""
        )
    except Exception as error:
        _note_failure(schedule, connection, explain(error), now)
        return False
    audit.record(
        connection,
        "start_backup",
        key=None,
        outcome="done",
        detail={"kind": kind, "backup": str(backup.pk), "schedule": schedule.name},
    )
    Schedule.objects.filter(pk=schedule.pk).update(last_at=now, last_problem="")
    return True


def _note_failure(schedule: Schedule, connection: Connection, problem: Problem, now: datetime) -> None:
    """A refused or failed run is tried again in a few minutes, and told."""
    again = min(now + timedelta(seconds=_AGAIN_SECONDS), next_time(schedule, now))
    Schedule.objects.filter(pk=schedule.pk).update(
        last_at=now, last_problem=problem.sentence[:500], next_at=again
    )
    audit.record(
        connection,
        "start_backup",
        key=None,
        outcome="failed",
        detail={"schedule": schedule.name, "problem": problem.sentence},
    )
    _tell(schedule, "failed", problem.sentence)


def _alert_when_old(schedule: Schedule, now: datetime) -> None:
    newest = newest_of(schedule.server.name)
    if not newest.late or (schedule.alerted_at and now - schedule.alerted_at < timedelta(hours=_ALERT_HOURS)):
        return
    if newest.age is None and not Backup.objects.filter(server=schedule.server.name).exists():
        return  # it has only just been set up
    if Schedule.objects.filter(pk=schedule.pk, alerted_at=schedule.alerted_at).update(alerted_at=now):
        age = "there is none" if newest.age is None else f"it is {newest.age / 3600:.0f} h old"
        log.error("the newest verified backup of %s is too old: %s", schedule.server.name, age)
        _tell(schedule, "too old", f"The newest verified backup of {schedule.server.name} is too old: {age}.")


def _tell(schedule: Schedule, event: str, sentence: str) -> None:
    """POST to the schedule's webhook, if it has one; what comes of it is only logged."""
    if not schedule.webhook.startswith(("http://", "https://")):
        return
    body = json.dumps(
        {
            "event": f"backup {event}",
            "server": schedule.server.name,
            "schedule": schedule.name,
            "sentence": sentence,
        }
    ).encode()
    request = urllib.request.Request(schedule.webhook, body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=_WEBHOOK_SECONDS).close()
    except Exception as error:
        log.warning("webhook of schedule %s: %s", schedule.pk, type(error).__name__)


def kept(backups: list[Backup], schedule: Schedule) -> set[Backup]:
    """Which of these (newest first) stay: the last N, the newest of each of the last days, weeks, months, and the last verified one."""
    zone = ZoneInfo(schedule.time_zone)
    stay = set(backups[: schedule.keep_last])
    periods = (
        (schedule.keep_daily, lambda when: when.date()), (schedule.keep_weekly, lambda when: when.isocalendar()[:2]),
        (schedule.keep_monthly, lambda when: (when.year, when.month)),
    )  # fmt: skip
    good = [backup for backup in backups if backup.state in (State.LOADED, State.WHOLE, State.UNVERIFIABLE)]
    for number, period in periods:
        newest: dict[object, Backup] = {}
        for backup in good:
            newest.setdefault(period(backup.created_at.astimezone(zone)), backup)
        stay |= set(list(newest.values())[:number])
    return stay | set(next(([backup] for backup in backups if backup.state == State.LOADED), []))


def apply_retention(schedule: Schedule) -> int:
    """Remove what the schedule made and need not keep; never what is open, running, or the server's last verified backup."""
    mine = list(schedule.backups.exclude(state=State.RUNNING).filter(opened=None))
    newest = making.newest_verified(schedule.server.name)
    gone = [backup for backup in mine if backup not in kept(mine, schedule) and backup != newest]
    for backup in gone:
        services.remove(backup)
    return len(gone)


def _verify_again(now: datetime) -> None:
    """Files rot: each kept one is read and loaded again once a week, one at a time."""
    from keyspace.models import Job

    if Job.objects.filter(kind="verify_backup", state__in=Job.UNFINISHED).exists():
        return
    due = Backup.objects.filter(
        state=State.LOADED, verified_at__lt=now - timedelta(days=_REVERIFY_DAYS), schedule__isnull=False
    )
    backup = due.order_by("verified_at").first()
    if backup is not None:
        start_job(
            Actor(None, "weekly check"),
            "verify_backup",
            title=f"Verify {backup} again",
            server=backup.server,
            params={"backup": str(backup.pk)},
            unit="bytes",
        )


__all__ = ["apply_retention", "close_idle", "kept", "next_time", "run_due"]


def times(schedule: Schedule, number: int, after: datetime) -> Iterable[datetime]:
    """The next `number` due times, for the form to show."""
    for _ in range(number):
        after = next_time(schedule, after)
        yield after
