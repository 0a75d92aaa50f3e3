"""Schedules, retention, alerts."""

import json
import threading
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from keyspace import job_worker
from keyspace.backups import schedule as clock
from keyspace.backups import store
from keyspace.backups.page import newest_of
from keyspace.models import AuditEntry, Backup, Job, Schedule, Server

pytestmark = pytest.mark.django_db(transaction=True)
BERLIN = ZoneInfo("Europe/Berlin")


def make(server: Server, **fields: Any) -> Schedule:
    return Schedule.objects.create(server=server, name="nightly", **fields)


def test_daily_by_the_clock_of_its_zone_also_across_summer_time() -> None:
    daily = Schedule(every="day", at=time(3, 30), time_zone="Europe/Berlin")
    found = list(clock.times(daily, 3, datetime(2026, 3, 28, 12, tzinfo=BERLIN)))
    shown = [when.astimezone(BERLIN).strftime("%d %H:%M") for when in found]
    assert shown == ["29 03:30", "30 03:30", "31 03:30"]
    assert found[0].hour == 1


def test_weekly_and_hourly() -> None:
    weekly = Schedule(every="week", at=time(3), weekday=6, time_zone="UTC")
    sunday = datetime(2026, 11, 29, 3, tzinfo=UTC)
    assert clock.next_time(weekly, datetime(2026, 11, 24, tzinfo=UTC)) == sunday
    assert clock.next_time(weekly, sunday) == sunday + timedelta(days=7)
    hourly = Schedule(every="hours", hours=6)
    assert clock.next_time(hourly, sunday) == sunday + timedelta(hours=6)


def test_what_is_due_runs_once_and_is_proved(server_row: Server, redis: Any) -> None:
    redis.set("a", 1)
    make(server_row, next_at=timezone.now() - timedelta(seconds=1))
    assert [clock.run_due(), clock.run_due()] == [1, 0]
    job_worker.run_job(Job.objects.get().pk)
    backup = Backup.objects.get()
    assert (backup.state, str(backup.schedule), backup.person) == (
        "loaded",
        "nightly of test",
        "schedule nightly",
    )
    done = AuditEntry.objects.filter(operation="start_backup", person="schedule nightly", outcome="done")
    assert done.exists()


def test_two_processes_run_it_once(server_row: Server, redis: Any) -> None:
    schedule = make(server_row, next_at=timezone.now() - timedelta(seconds=1))
    one, other = Schedule.objects.get(pk=schedule.pk), Schedule.objects.get(pk=schedule.pk)
    now = timezone.now()
    assert [clock._claim(one, now), clock._claim(other, now)] == [True, False]


def test_a_missed_run_is_made_up_and_said(server_row: Server, redis: Any) -> None:
    make(server_row, next_at=timezone.now() - timedelta(hours=5))
    clock.run_due()
    assert Backup.objects.get().reason == "a run that was missed"


def test_a_refused_run_is_told_and_tried_again(server_row: Server) -> None:
    Server.objects.filter(pk=server_row.pk).update(port=1)
    schedule = make(server_row, next_at=timezone.now() - timedelta(seconds=1))
    clock.run_due()
    schedule.refresh_from_db()
    assert "refuses connections" in schedule.last_problem
    assert schedule.next_at is not None
    assert schedule.next_at < timezone.now() + timedelta(minutes=6)


def test_retention_keeps_the_right_ones() -> None:
    schedule = Schedule(keep_last=2, keep_daily=3, keep_weekly=2, keep_monthly=2, time_zone="UTC")
    start = datetime(2026, 11, 24, 3, tzinfo=UTC)  # a Tuesday; one every twelve hours, newest first
    times = [start - timedelta(hours=12 * number) for number in range(150)]
    backups = [Backup(server="x", kind="pull", state="whole", created_at=when) for when in times]
    backups[120].state = "loaded"
    kept = sorted(backups.index(backup) for backup in clock.kept(backups, schedule))
    # the newest two; of three days 0, 1, 3; of two weeks 0, 3; of two months 0, 47; the last verified one
    assert kept == [0, 1, 3, 47, 120]


def test_retention_removes_files_but_never_the_last_verified(server_row: Server) -> None:
    schedule = make(server_row, keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    for number in range(4):
        with store.Part(f"keep-{number}/0.rdb") as part:
            part.write(b"x")
            kept = part.commit()
        Backup.objects.create(
            server="test", kind="pull", state="loaded" if number == 0 else "damaged", schedule=schedule, person="x",
            files=[{"name": kept.name, "size": 1, "sha256": kept.sha256}], created_at=timezone.now() - timedelta(days=9 - number),
        )  # fmt: skip
    assert clock.apply_retention(schedule) == 2
    assert sorted(Backup.objects.values_list("state", flat=True)) == ["damaged", "loaded"]
    assert len(list(store.directory().glob("keep-*/0.rdb"))) == 2


def test_alert_when_the_newest_is_too_old(server_row: Server) -> None:
    told: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    hook = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    tomorrow = timezone.now() + timedelta(days=1)
    make(server_row, max_age_hours=24, webhook=f"http://127.0.0.1:{hook.server_port}/", next_at=tomorrow)
    made = timezone.now() - timedelta(hours=30)
    Backup.objects.create(server="test", kind="pull", state="loaded", person="x", created_at=made)
    assert newest_of("test").late
    clock.run_due()
    clock.run_due()
    hook.shutdown()
    assert [(row["event"], row["server"]) for row in told] == [("backup too old", "test")]


def test_old_backups_are_verified_again(server_row: Server) -> None:
    schedule = make(server_row, next_at=timezone.now() + timedelta(days=1))
    verified = timezone.now() - timedelta(days=9)
    Backup.objects.create(
        server="test", kind="pull", state="loaded", person="x", schedule=schedule, verified_at=verified
    )
    clock.run_due()
    clock.run_due()
    assert Job.objects.filter(kind="verify_backup").count() == 1
