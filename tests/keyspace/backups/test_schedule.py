"""Schedules, retention, alerts."""

import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from keyspace import job_worker
from keyspace.backups import retention, store, verify
from keyspace.backups import schedule as clock
from keyspace.backups.alerts import tell_of
from keyspace.backups.page import late_sentence, newest_of
from keyspace.backups.scheduling import get_schedule, save_schedule
from keyspace.errors import Unavailable
from keyspace.models import AuditEntry, Backup, Job, Schedule, Server

pytestmark = pytest.mark.django_db(transaction=True)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "jitter" not in request.node.name:
        monkeypatch.setattr(clock, "_JITTER_SECONDS", 0)


class Hook:
    """A webhook on loopback; `told` is what came."""

    def __init__(self) -> None:
        told: list[dict[str, str]] = []

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.told, self._server = told, HTTPServer(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(row["event"], row["server"]) for row in self.told]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.stop()


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


def test_hourly_ones_do_not_drift() -> None:
    """A run that starts late, or was missed for days, is followed by one at the old distance."""
    due = datetime(2026, 11, 24, 6, tzinfo=UTC)
    hourly = Schedule(every="hours", hours=6, next_at=due)
    assert clock.next_time(hourly, due + timedelta(seconds=50)) == due + timedelta(hours=6)
    assert clock.next_time(hourly, due + timedelta(hours=50)) == due + timedelta(hours=54)


def test_an_hour_that_comes_twice_in_autumn_runs_once() -> None:
    daily = Schedule(every="day", at=time(2, 30), time_zone="Europe/Berlin")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in summer time; 02:30 comes again an hour later
    assert clock.next_time(daily, first - timedelta(minutes=1)) == first
    for later in (0, 45, 75):
        assert clock.next_time(daily, first + timedelta(minutes=later)) == datetime(
            2026, 10, 26, 1, 30, tzinfo=UTC
        )


def test_an_hour_that_is_skipped_in_spring_runs_all_the_same() -> None:
    daily = Schedule(every="day", at=time(2, 30), time_zone="Europe/Berlin")
    found = clock.next_time(daily, datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert found == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_jitter_is_within_a_minute_and_the_same_in_every_process(server_row: Server, redis: Any) -> None:
    due = timezone.now() - timedelta(seconds=1)
    several = [Schedule(pk=number, next_at=due) for number in range(50)]
    late = [clock.jitter(schedule).total_seconds() for schedule in several]
    assert late == [clock.jitter(schedule).total_seconds() for schedule in several]
    assert 0 <= min(late) < 20 < 40 < max(late) <= 60
    make(server_row, next_at=due + timedelta(seconds=60))
    assert clock.run_due() == 0


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


def test_a_run_that_is_refused_again_and_again_is_told_once(server_row: Server, hook: Hook) -> None:
    Server.objects.filter(pk=server_row.pk).update(port=1)
    schedule = make(
        server_row, next_at=timezone.now() - timedelta(seconds=1), webhook=hook.address, max_age_hours=26
    )
    for _ in range(3):
        clock.run_due()
        Schedule.objects.filter(pk=schedule.pk).update(next_at=timezone.now() - timedelta(seconds=1))
    assert hook.events == [("backup failed", "test")]
    assert AuditEntry.objects.filter(operation="start_backup", outcome="failed").count() == 1


def test_one_run_at_a_time(server_row: Server, redis: Any) -> None:
    """While a backup of the server runs the next one waits, and says for what."""
    schedule = make(server_row, next_at=timezone.now() - timedelta(seconds=1))
    assert clock.run_due() == 1
    Schedule.objects.filter(pk=schedule.pk).update(next_at=timezone.now() - timedelta(seconds=1))
    assert clock.run_due() == 0
    schedule.refresh_from_db()
    assert "running already: pull by schedule nightly" in schedule.last_problem
    assert Backup.objects.count() == 1


def test_a_run_that_fails_later_is_told_too(
    server_row: Server, redis: Any, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = make(server_row, next_at=timezone.now() - timedelta(seconds=1), webhook=hook.address)
    assert clock.run_due() == 1
    with monkeypatch.context() as patch:
        patch.setattr(store.Part, "_write_all", _disk_full)
        job_worker.run_job(Job.objects.get().pk)
    schedule.refresh_from_db()
    assert Backup.objects.get().state == "failed"
    assert "disk of the backup store is full" in schedule.last_problem
    assert hook.events == [("backup failed", "test")]
    assert "disk" in hook.told[0]["sentence"]


def _disk_full(part: store.Part, view: memoryview) -> None:
    raise OSError(28, "No space left on device")


def test_a_backup_that_rots_is_told(server_row: Server, redis: Any, hook: Hook) -> None:
    redis.mset({f"key:{number}": "x" * 100 for number in range(100)})
    make(server_row, next_at=timezone.now() - timedelta(seconds=1), webhook=hook.address)
    clock.run_due()
    job_worker.run_job(Job.objects.get().pk)
    backup = Backup.objects.get()
    path = store.directory() / backup.files[0]["name"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    Backup.objects.filter(pk=backup.pk).update(verified_at=timezone.now() - timedelta(days=8))
    clock.run_due()
    job_worker.run_job(Job.objects.get(kind="verify_backup").pk)
    backup.refresh_from_db()
    assert backup.state == "damaged"
    assert hook.events[0] == ("backup damaged", "test")
    assert backup.schedule is not None
    assert "Damaged" in backup.schedule.last_problem


def test_retention_keeps_the_right_ones() -> None:
    schedule = Schedule(keep_last=2, keep_daily=3, keep_weekly=2, keep_monthly=2, time_zone="UTC")
    start = datetime(2026, 11, 24, 3, tzinfo=UTC)  # a Tuesday; one every twelve hours, newest first
    times = [start - timedelta(hours=12 * number) for number in range(150)]
    backups = [Backup(server="x", kind="pull", state="whole", created_at=when) for when in times]
    backups[120].state = "loaded"
    kept = sorted(backups.index(backup) for backup in retention.kept(backups, schedule))
    # the newest two; of three days 0, 1, 3; of two weeks 0, 3; of two months 0, 47; the last verified one
    assert kept == [0, 1, 3, 47, 120]


def test_failed_runs_do_not_push_out_good_backups() -> None:
    schedule = Schedule(keep_last=2, keep_daily=0, keep_weekly=0, keep_monthly=0, time_zone="UTC")
    now = timezone.now()
    states = ["failed", "failed", "failed", "loaded", "cancelled", "loaded", "failed", "loaded"]
    backups = [
        Backup(server="x", kind="pull", state=state, created_at=now - timedelta(days=number))
        for number, state in enumerate(states)
    ]
    kept = sorted(backups.index(backup) for backup in retention.kept(backups, schedule))
    assert kept == [0, 1, 2, 3, 4, 5]


def stored_backup(schedule: Schedule, number: int, state: str) -> Backup:
    with store.Part(f"keep-{number}/0.rdb") as part:
        part.write(b"x")
        kept = part.commit()
    return Backup.objects.create(
        server="test", kind="pull", state=state, schedule=schedule, person="x", created_at=timezone.now() - timedelta(days=9 - number),
        files=[{"name": kept.name, "size": 1, "sha256": kept.sha256}],
    )  # fmt: skip


def test_retention_removes_files_but_never_the_last_verified(server_row: Server) -> None:
    schedule = make(server_row, keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    states = ("loaded", "whole", "whole", "unverifiable")
    for number, state in enumerate(states):
        stored_backup(schedule, number, state)
    assert retention.apply_retention(schedule) == 2
    assert sorted(Backup.objects.values_list("state", flat=True)) == ["loaded", "unverifiable"]
    left = [number for number in range(len(states)) if (store.directory() / f"keep-{number}/0.rdb").exists()]
    assert left == [0, 3]


def test_retention_leaves_what_a_job_reads(server_row: Server) -> None:
    schedule = make(server_row, keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    read, _, _ = (stored_backup(schedule, number, "loaded") for number in range(3))
    job = Job.objects.create(
        kind="restore_backup", title="x", state="running", params={"backup": str(read.pk)}
    )
    assert retention.apply_retention(schedule) == 1
    assert Backup.objects.filter(pk=read.pk).exists()
    Job.objects.filter(pk=job.pk).update(state="done")
    assert retention.apply_retention(schedule) == 1
    assert not Backup.objects.filter(pk=read.pk).exists()


def test_retention_follows_a_run(server_row: Server, redis: Any) -> None:
    schedule = make(server_row, keep_last=1, keep_daily=0, keep_weekly=0, keep_monthly=0)
    stored_backup(schedule, 0, "loaded")
    Backup.objects.update(verified_at=timezone.now())
    Schedule.objects.filter(pk=schedule.pk).update(next_at=timezone.now() - timedelta(seconds=1))
    clock.run_due()
    assert Backup.objects.count() == 2
    job_worker.run_job(Job.objects.get().pk)
    assert [backup.state for backup in Backup.objects.all()] == ["loaded"]


def test_alert_when_the_newest_is_too_old(server_row: Server, hook: Hook) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    make(server_row, max_age_hours=24, webhook=hook.address, next_at=tomorrow)
    made = timezone.now() - timedelta(hours=30)
    Backup.objects.create(server="test", kind="pull", state="loaded", person="x", created_at=made)
    assert newest_of("test").late
    clock.run_due()
    clock.run_due()
    assert hook.events == [("backup too old", "test")]


def test_where_nothing_was_promised_nothing_is_too_old(server_row: Server, hook: Hook) -> None:
    """A server without a schedule, with one that is off, and with one that has only just been set up."""
    assert (newest_of("test").late, late_sentence("test")) == (False, "")
    long_ago, tomorrow = timezone.now() - timedelta(days=9), timezone.now() + timedelta(days=1)
    schedule = make(
        server_row, max_age_hours=24, webhook=hook.address, next_at=tomorrow, enabled=False, since=long_ago
    )
    assert not newest_of("test").late
    Schedule.objects.filter(pk=schedule.pk).update(enabled=True, since=timezone.now() - timedelta(hours=23))
    clock.run_due()
    assert (newest_of("test").late, late_sentence("test"), hook.events) == (False, "", [])
    Schedule.objects.filter(pk=schedule.pk).update(since=timezone.now() - timedelta(hours=25))
    clock.run_due()
    assert (newest_of("test").late, late_sentence("test")) == (True, "There is no verified backup of test.")
    assert (hook.events, hook.told[0]["sentence"]) == ([("backup too old", "test")], late_sentence("test"))


def test_a_schedule_has_its_time_from_when_it_is_switched_on(connection_as: Any) -> None:
    connection, long_ago = connection_as("admin"), timezone.now() - timedelta(days=9)
    schedule = save_schedule(connection, schedule=get_schedule(connection, number=None))
    Schedule.objects.filter(pk=schedule.pk).update(since=long_ago)
    again = save_schedule(connection, schedule=get_schedule(connection, number=schedule.pk))
    assert again.since == long_ago  # it was on all the time
    again.enabled = False
    again = save_schedule(connection, schedule=again)
    again.enabled = True
    assert save_schedule(connection, schedule=again).since > timezone.now() - timedelta(minutes=1)


def broken_off(schedule: Schedule, hours: float, **fields: Any) -> Backup:
    """A run of so many hours ago whose console was killed."""
    when = timezone.now() - timedelta(hours=hours)
    job = Job.objects.create(kind="back_up", title="x", server="test", state="running", worker="")
    backup = Backup.objects.create(
        server="test", kind="pull", person="x", schedule=schedule, created_at=when, job=job, **fields
    )
    died = f"{socket.gethostname()[:60]} 999999 1 x"
    Job.objects.filter(pk=job.pk).update(worker=died, params={"backup": str(backup.pk)}, beat_at=when)
    Schedule.objects.filter(pk=schedule.pk).update(last_at=when)
    assert job_worker.recover_jobs() == 1
    backup.refresh_from_db()
    assert backup.state == "interrupted"
    return backup


def test_an_interrupted_run_is_made_up_once(server_row: Server, redis: Any) -> None:
    redis.set("a", 1)
    due = timezone.now() + timedelta(hours=20)
    schedule = make(server_row, next_at=due)
    broken_off(schedule, hours=4)
    assert [clock.run_due(), clock.run_due()] == [1, 0]
    made_up = Backup.objects.get(state="running")
    assert (made_up.reason, made_up.schedule) == (clock.AGAIN, schedule)
    job_worker.run_job(Job.objects.get(state="waiting").pk)
    made_up.refresh_from_db()
    schedule.refresh_from_db()
    assert (made_up.state, clock.run_due()) == ("loaded", 0)
    assert schedule.next_at == due  # the next one comes as it would have


def test_a_run_that_was_made_up_is_not_made_up_again(server_row: Server, redis: Any) -> None:
    schedule = make(server_row, next_at=timezone.now() + timedelta(hours=20))
    broken_off(schedule, hours=4)
    broken_off(schedule, hours=3, reason=clock.AGAIN)
    assert clock.run_due() == 0


@pytest.mark.parametrize(
    ("ago", "left", "runs"), [(20, 4, 0), (17, 7, 1), (0.01, 24, 0), (0.1, 0.9, 1), (0.9, 0.1, 0)]
)
def test_it_is_made_up_where_the_next_is_far_and_not_at_once(
    ago: float, left: float, runs: int, server_row: Server, redis: Any
) -> None:
    schedule = make(server_row, next_at=timezone.now() + timedelta(hours=left))
    broken_off(schedule, hours=ago)
    assert clock.run_due() == runs


def test_of_two_processes_one_makes_it_up(server_row: Server, redis: Any) -> None:
    schedule = make(server_row, next_at=timezone.now() + timedelta(hours=20))
    broken_off(schedule, hours=4)
    one, other = Schedule.objects.get(pk=schedule.pk), Schedule.objects.get(pk=schedule.pk)
    now = timezone.now()
    assert [clock._claim_again(one, now), clock._claim_again(other, now)] == [True, False]


def test_one_that_slots_moved_away_from_is_made_up_too(server_row: Server, redis: Any) -> None:
    schedule = make(server_row, next_at=timezone.now() + timedelta(hours=20))
    Backup.objects.create(
        server="test", kind="pull", state="torn", person="x", schedule=schedule, created_at=timezone.now() - timedelta(hours=1)
    )  # fmt: skip
    assert clock.run_due() == 1
    assert Backup.objects.get(state="running").reason == clock.AGAIN


def test_a_person_s_cancel_and_a_failure_are_not_made_up(server_row: Server, redis: Any) -> None:
    schedule = make(server_row, next_at=timezone.now() + timedelta(hours=20))
    for state in ("cancelled", "failed"):
        Backup.objects.create(
            server="test", kind="pull", state=state, person="x", schedule=schedule, created_at=timezone.now() - timedelta(hours=1)
        )  # fmt: skip
        assert clock.run_due() == 0


def test_of_those_that_slots_moved_away_from_the_last_stay(server_row: Server) -> None:
    schedule = make(server_row, keep_last=2, keep_daily=0, keep_weekly=0, keep_monthly=0)
    for number, state in enumerate(("loaded", "torn", "torn", "torn", "torn")):
        stored_backup(schedule, number, state)
    assert retention.apply_retention(schedule) == 2
    assert [backup.state for backup in Backup.objects.all()] == ["torn", "torn", "loaded"]


def old(state: str = "loaded", **fields: Any) -> Backup:
    before = timezone.now() - timedelta(days=9)
    made = {"server": "test", "kind": "pull", "person": "x", "created_at": before, "verified_at": before}
    return Backup.objects.create(state=state, **(made | fields))


def checks() -> list[str]:
    return [job.params["backup"] for job in Job.objects.filter(kind="verify_backup").order_by("created_at")]


@pytest.mark.parametrize("state", ["loaded", "whole", "unverifiable"])
def test_old_backups_are_verified_again_whoever_made_them(state: str, server_row: Server) -> None:
    backup = old(state, verified_at=None if state == "whole" else timezone.now() - timedelta(days=8))
    old("loaded", verified_at=timezone.now() - timedelta(days=6))
    for gone in ("damaged", "failed", "saved", "cancelled"):
        old(gone)
    clock.run_due()
    clock.run_due()
    assert checks() == [str(backup.pk)]


def test_a_check_that_fails_does_not_hold_up_the_others(
    server_row: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(backup: Backup, progress: Any) -> Any:
        raise Unavailable("The store is away.")

    monkeypatch.setattr(verify, "verify_files", away)
    first, second = old(), old()
    for _ in range(3):
        clock.run_due()
        job = Job.objects.filter(kind="verify_backup", state="waiting").first()
        if job is not None:
            job_worker.run_job(job.pk)
    assert sorted(checks()) == sorted([str(first.pk), str(second.pk)])
    Job.objects.update(created_at=timezone.now() - timedelta(days=2))
    clock.run_due()
    assert len(checks()) == 3


def test_that_a_person_s_backup_rots_is_told_by_the_schedules_of_its_server(
    server_row: Server, hook: Hook
) -> None:
    make(server_row, next_at=timezone.now() + timedelta(days=1), webhook=hook.address)
    backup = old()
    tell_of(backup, "failed", "Nothing came.")
    tell_of(backup, "damaged", "Damaged at 3 %.")
    assert hook.events == [("backup damaged", "test")]
    assert Schedule.objects.get().last_problem == "Damaged at 3 %."
