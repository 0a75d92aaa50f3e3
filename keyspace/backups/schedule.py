"""Backups by themselves: when the next one is due, running it once, keeping the right ones, and saying when the newest is too old."""

import logging
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils import timezone

from keyspace import audit
from keyspace.access import Access, Actor, Right
from keyspace.backups import making
from keyspace.backups.alerts import tell
from keyspace.backups.opening import close_idle
from keyspace.backups.page import late_sentence, newest_of
from keyspace.backups.preflight import choose_kind
from keyspace.backups.retention import apply_retention
from keyspace.errors import Problem, explain
from keyspace.jobs import start_job
from keyspace.models import Backup, Job, Schedule
from keyspace.servers import Connection

log = logging.getLogger(__name__)
_JITTER_SECONDS = 60
_AGAIN_SECONDS = 300
_ALERT_HOURS = 6
_REVERIFY_DAYS = 7
_MISSED = timedelta(minutes=10)
_WORTH = 1 / 4  # of the time between two runs has to be left
MISSED, AGAIN = "a run that was missed", "made up: the run before did not come to its end"
State = Backup.State


def next_time(schedule: Schedule, after: datetime) -> datetime:
    """The first due time after `after`, in UTC; daily and weekly ones by the clock of the schedule's time zone."""
    if schedule.every == Schedule.Every.HOURS:
        return _next_of_hours(schedule, after)
    zone = ZoneInfo(schedule.time_zone)
    local = after.astimezone(zone)
    due = local.replace(hour=schedule.at.hour, minute=schedule.at.minute, second=0, microsecond=0, fold=0)
    if schedule.every == Schedule.Every.WEEK:
        due += timedelta(days=(schedule.weekday - due.weekday()) % 7)
    step = timedelta(days=7 if schedule.every == Schedule.Every.WEEK else 1)
    while (
        due.astimezone(UTC) <= after
    ):  # as moments: an hour that comes twice in autumn looks the same by the clock
        due += step
    return due.astimezone(UTC)


def _next_of_hours(schedule: Schedule, after: datetime) -> datetime:
    """Every few hours from the run before, so that late starts do not add up."""
    step = timedelta(hours=max(1, schedule.hours))
    last = schedule.next_at or after
    return last + step * max(1, (after - last) // step + 1)


def run_due() -> int:
    """Start what is due, tidy up, and alert; called every few seconds. Returns how many backups were started."""
    now, started = timezone.now(), 0
    for schedule in Schedule.objects.filter(enabled=True).select_related("server"):
        if schedule.next_at is None:
            Schedule.objects.filter(pk=schedule.pk, next_at=None).update(next_at=next_time(schedule, now))
        elif schedule.next_at + jitter(schedule) <= now and _claim(schedule, now):
            started += _run(schedule, now, MISSED if now - schedule.next_at > _MISSED else "")
            apply_retention(schedule)
        elif _broke_off(schedule, now) and _claim_again(schedule, now):
            started += _run(schedule, now, AGAIN)
        _alert_when_old(schedule, now)
    _verify_again(now)
    return started


def jitter(schedule: Schedule) -> timedelta:
    """A little later than due, so that many schedules at three o'clock do not start as one; the same in every process."""
    return timedelta(seconds=random.Random(f"{schedule.pk} {schedule.next_at}").uniform(0, _JITTER_SECONDS))


def _claim(schedule: Schedule, now: datetime) -> bool:
    """Whether this process takes this run: the one whose UPDATE finds the old time."""
    following = next_time(schedule, now)
    return bool(Schedule.objects.filter(pk=schedule.pk, next_at=schedule.next_at).update(next_at=following))


def _broke_off(schedule: Schedule, now: datetime) -> bool:
    """Whether the last run came to no end, or to less than everything, and is worth another try: one, and not shortly before the next."""
    last = schedule.backups.values_list("state", "reason", "created_at").first()
    if last is None or last[0] not in (State.INTERRUPTED, State.TORN) or last[1] == AGAIN:
        return False
    tried = schedule.last_at or last[2]
    if schedule.next_at is None or now - tried < timedelta(seconds=_AGAIN_SECONDS):
        return False
    return schedule.next_at - now > (schedule.next_at - last[2]) * _WORTH


def _claim_again(schedule: Schedule, now: datetime) -> bool:
    """As `_claim`: the process whose UPDATE finds the time of the last try."""
    return bool(Schedule.objects.filter(pk=schedule.pk, last_at=schedule.last_at).update(last_at=now))


def system_connection(schedule: Schedule) -> Connection:
    actor = Actor(None, f"schedule {schedule.name}")
    return Connection(actor, schedule.server, schedule.server.db, Access((Right("admin"),)))


def _run(schedule: Schedule, now: datetime, reason: str) -> bool:
    connection = system_connection(schedule)
    try:
        kind = choose_kind(connection.redis)[0] if schedule.kind == "auto" else schedule.kind
        backup = making.begin_backup(connection, kind, schedule=schedule, reason=reason)
    except Exception as error:
        _note_failure(schedule, connection, explain(error), now)
        return False
    detail = {"kind": kind, "backup": str(backup.pk), "schedule": schedule.name}
    audit.record(connection, "start_backup", key=None, outcome="done", detail=detail)
    Schedule.objects.filter(pk=schedule.pk).update(last_at=now, last_problem="")
    return True


def _note_failure(schedule: Schedule, connection: Connection, problem: Problem, now: datetime) -> None:
    """A refused run is tried again in a few minutes; told once, not at every try."""
    again = min(now + timedelta(seconds=_AGAIN_SECONDS), next_time(schedule, now))
    sentence = problem.sentence[:500]
    Schedule.objects.filter(pk=schedule.pk).update(last_at=now, last_problem=sentence, next_at=again)
    if sentence == schedule.last_problem:
        return
    detail = {"schedule": schedule.name, "problem": sentence}
    audit.record(connection, "start_backup", key=None, outcome="failed", detail=detail)
    tell(schedule, "failed", sentence)


def _alert_when_old(schedule: Schedule, now: datetime) -> None:
    newest = newest_of(schedule.server.name)
    if not newest.late or (schedule.alerted_at and now - schedule.alerted_at < timedelta(hours=_ALERT_HOURS)):
        return
    if Schedule.objects.filter(pk=schedule.pk, alerted_at=schedule.alerted_at).update(alerted_at=now):
        sentence = late_sentence(schedule.server.name)
        sentence += "" if newest.age is None else f" It is {newest.age / 3600:.0f} h old."
        log.error("%s", sentence)
        tell(schedule, "too old", sentence)


def _verify_again(now: datetime) -> None:
    """Files rot: each kept one, whoever made it, is read and loaded again once a week, one at a time.

    One whose check failed (the store was away, say) is tried again a day later, so that it does not hold up the others.
    """
    checks = Job.objects.filter(kind="verify_backup")
    if checks.filter(state__in=Job.UNFINISHED).exists():
        return
    tried = checks.filter(created_at__gt=now - timedelta(days=1)).values_list("params__backup", flat=True)
    old = now - timedelta(days=_REVERIFY_DAYS)
    due = Backup.objects.filter(state__in=(State.LOADED, State.WHOLE, State.UNVERIFIABLE, State.TORN)).filter(
        Q(verified_at__lt=old) | Q(verified_at=None, created_at__lt=old)
    )
    backup = due.exclude(pk__in=[pk for pk in tried if pk]).order_by("verified_at").first()
    if backup is not None:
        start_job(
            Actor(None, "weekly check"),
            "verify_backup",
            title=f"Verify {backup} again",
            server=backup.server,
            params={"backup": str(backup.pk)},
            unit="bytes",
        )


__all__ = ["close_idle", "next_time", "run_due"]


def times(schedule: Schedule, number: int, after: datetime) -> Iterable[datetime]:
    """The next `number` due times, for the form to show."""
    for _ in range(number):
        after = next_time(schedule, after)
        yield after
