"""Which backups of a schedule stay, and letting the others go."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from keyspace.backups import store
from keyspace.models import Backup, Job, Schedule

State = Backup.State
NEWS = 100
GOOD = (State.LOADED, State.WHOLE, State.UNVERIFIABLE, State.SAVED)


def kept(backups: list[Backup], schedule: Schedule) -> set[Backup]:
    """Which of these (newest first) stay: the last N, the newest of each of the last days, weeks and months, and the last verified one.

    Only good ones count. What failed or rotted is no backup, and stays as news as long as it is younger than what stays; of those that
    slots moved away from, which are large, the last N alone.
    """
    zone = ZoneInfo(schedule.time_zone)
    good = [backup for backup in backups if backup.state in GOOD]
    stay = set(good[: schedule.keep_last])
    for number, period in _periods(schedule):
        newest: dict[object, Backup] = {}
        for backup in good:
            newest.setdefault(period(backup.created_at.astimezone(zone)), backup)
        stay |= set(list(newest.values())[:number])
    oldest = min((backup.created_at for backup in stay), default=None)
    torn = [backup for backup in backups if backup.state == State.TORN][: schedule.keep_last]
    news = torn + [backup for backup in backups if backup.state not in (*GOOD, State.TORN)][:NEWS]
    stay |= {backup for backup in news if oldest is None or backup.created_at > oldest}
    return stay | set([backup for backup in backups if backup.state == State.LOADED][:1])


def _periods(schedule: Schedule) -> tuple[tuple[int, Callable[[datetime], object]], ...]:
    return (
        (schedule.keep_daily, lambda when: when.date()), (schedule.keep_weekly, lambda when: when.isocalendar()[:2]),
        (schedule.keep_monthly, lambda when: (when.year, when.month)),
    )  # fmt: skip


def apply_retention(schedule: Schedule) -> int:
    """Remove what the schedule made and need not keep; never what is open or in use, or the server's last verified backup."""
    mine = list(schedule.backups.exclude(state=State.RUNNING).filter(opened=None))
    stay, used, newest = kept(mine, schedule), in_use(), newest_verified(schedule.server.name)
    gone = [
        backup for backup in mine if backup not in stay and backup != newest and str(backup.pk) not in used
    ]
    for backup in gone:
        remove(backup)
    return len(gone)


def in_use() -> set[str]:
    """Ids of backups that a waiting or running job reads."""
    params = Job.objects.filter(state__in=Job.UNFINISHED).values_list("params", flat=True)
    return {str(facts[name]) for facts in params for name in ("backup", "other") if facts.get(name)}


def newest_verified(server: str) -> Backup | None:
    return Backup.objects.filter(server=server, state=State.LOADED).first()


def remove(backup: Backup) -> None:
    for stored in backup.files:
        store.remove(stored["name"])
    backup.delete()
