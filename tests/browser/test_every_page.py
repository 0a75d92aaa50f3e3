"""Every page with long and odd rows in it: named for a screen reader, readable in both themes, no wider than a phone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from keyspace.access import Actor
from keyspace.backups import services as backups
from keyspace.bulk import services as bulk
from keyspace.bulk.choice import Choice
from keyspace.deleting import delete_keys
from keyspace.encoding import key_id
from keyspace.keys import Filter
from keyspace.models import AuditEntry, Backup, Grant, Job, Schedule, Server, TrashEntry
from keyspace.servers import Connection, open_connection
from tests.browser.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)
FAULTS = (Path(__file__).parent / "faults.js").read_text()
PERSON = "maria.fernanda.de-oliveira+platform@ledger.example.org"
SERVER = "a-server-with-as-long-a-name-as-somebody-in-operations-could-type"[:64]
LONG = b"balance:{transactions}:0190f0c2-7b40-7cc1-9d0e-5f3a8e21b6aa:0190f0c2-7b40:@ana#default"
KEYS = [LONG, b"", b" ", b"bin:\xff\x00", b"x" * 600, b"deep:" + b":".join(b"level%d" % n for n in range(20))]


@pytest.fixture
def admin_at(admin: Any, server_row: Server) -> Connection:
    Server.objects.create(name=SERVER, environment="staging", host="127.0.0.1", port=1)
    Server.objects.filter(pk=server_row.pk).update(environment="production")
    return open_connection(Actor(admin, admin.username, "10.1.2.3", "request-1"), "test")


def done(page: Page, job: Job) -> Job:
    def ended() -> bool:
        job.refresh_from_db()
        return not job.unfinished

    until(page, ended)
    assert job.state == Job.State.DONE, job.problem
    return job


def fill(redis: Any) -> None:
    redis.mset(dict.fromkeys(KEYS, b"\xfe{}"))
    redis.hset("h", mapping={f"a field with quite a long name {n}": "v" * 9 * n for n in range(60)})
    redis.rpush("l", *["{}"] * 60)
    redis.sadd("s", *range(60))
    redis.zadd("z", {f"a member with a long name {n}": n / 7 for n in range(60)})
    redis.xadd("x", {"a field": "a value that is longer than a phone is wide, at any rate here"})
    redis.psetex("session:1", 90_000_000, "1")


def make_rows(person: Any) -> None:
    """What takes hours, or a disaster, to come about by itself."""
    now, row = timezone.now(), {"server": "test", "person": PERSON}
    for state in set(Job.State) - {Job.State.WAITING}:  # which the worker would take
        unfinished = state in Job.UNFINISHED
        Job.objects.create(
            kind="export_keys", title=f"Export 31 234 567 keys: {LONG.decode()}", state=state, db=0, done=31_234_567, total=99_234_567,
            problem="The server cannot be reached: nothing listens at its address." if state == "failed" else "",
            started_at=now, beat_at=now + timedelta(hours=1), finished_at=None if unfinished else now, worker="another", **row,
        )  # fmt: skip
    for state in Backup.State:
        note = "The checksum of the file does not match what was written: the disk may be failing."
        Backup.objects.create(
            kind="pull", state=state, state_note=note, size=733_000_000, seconds=8.1, keys={"0": 31_234}, reason="before a restore", **row
        )  # fmt: skip
    plan = Schedule.objects.create(
        server=Server.objects.get(name="test"), name="nightly, for the auditors and nobody else"
    )
    Schedule.objects.filter(pk=plan.pk).update(enabled=False, last_problem="The server could not be reached.")
    group = Group.objects.create(name="payments on call, and those who stand in for them")
    patterns = [LONG.decode()[:60] + "*", "session:*"]
    Grant.objects.create(group=group, role="operator", patterns=patterns)
    Grant.objects.create(
        user=person, role="operator", patterns=patterns, channels=["ledger.*"], masks=["token:*"]
    )


@dataclass(frozen=True)
class Work:
    """Jobs that have run: an export, what changed since, two dry runs."""

    backup: Backup
    comparison: Job
    looks: list[Job]


@pytest.fixture
def work(worker: None, admin_at: Connection, make_person: Callable[..., Any], redis: Any, page: Page) -> Work:
    """Everything that stands on the pages."""
    person = make_person(PERSON)
    fill(redis)
    backup = backups.start_backup(admin_at, kind="export")
    done(page, backup.job)
    redis.hset("h", "another field", "1")
    comparison = done(page, backups.compare_backup(admin_at, backup_id=str(backup.pk)))
    delete_keys(admin_at, names=[b"x" * 600, b"bin:\xff\x00", b"session:1"])
    looks = [
        done(page, bulk.start_look(admin_at, choice=Choice(Filter(match)))) for match in (b"*", b"none:*")
    ]
    make_rows(person)
    return Work(backup, comparison, looks)


def pages_of_the_server() -> Iterator[str]:
    for name in ("server", "server_change", "pubsub", "backups", "backups_add_schedule"):
        yield reverse(name, args=["test"])
    for name in ("keys", "trash", "bulk", "bulk_copy", "export", "import"):
        yield reverse(name, args=["test", 0])
    for name in ("server", "backups"):
        yield reverse(name, args=[SERVER])  # which is away
    yield reverse("keys", args=["test", 0]) + "?view=list"
    yield reverse("keys", args=["test", 0]) + "?match=none*"
    yield reverse("keys", args=["test", 7])
    for key in (LONG, b"", b" ", b"h", b"l", b"s", b"z", b"x", b"y" * 600, KEYS[-1]):
        yield reverse("key", args=["test", 0, key_id(key)])
    yield reverse("backups_schedule", args=["test", Schedule.objects.get().pk])
    yield from (reverse("backup", args=["test", each.pk]) for each in Backup.objects.all())


def pages_of_the_console() -> Iterator[str]:
    for name in (
        "home",
        "home_add_server",
        "access",
        "access_add_person",
        "access_add_group",
        "access_add_grant",
    ):
        yield reverse(name)
    for name in ("audit", "jobs", "account_change_password", "mfa_index"):
        yield reverse(name)
    yield reverse("access_person", args=[PERSON])
    yield reverse("access_group", args=[Group.objects.get().name])
    yield from (reverse("access_grant", args=[grant.pk]) for grant in Grant.objects.all())
    yield from (reverse("job", args=[job.pk]) for job in Job.objects.exclude(state__in=Job.UNFINISHED))
    yield reverse("audit_entry", args=[AuditEntry.objects.latest("pk").pk])
    yield "/nothing/here/"


def pages_of(work: Work) -> Iterator[str]:
    backup = work.backup.pk
    yield from (reverse(name, args=["test", backup]) for name in ("backup_restore", "backup_statistics"))
    yield reverse("backup_compared", args=["test", backup, work.comparison.pk, "changed"])
    yield reverse("backup_compared_key", args=["test", backup, work.comparison.pk, 0, key_id(b"h")])
    for look in work.looks:
        yield from (reverse("bulk_look", args=["test", 0, look.pk]) + f"?do={do}" for do in ("delete", "set"))


@pytest.mark.timeout(400)  # some seventy pages, three times each
def test_every_page_is_named_readable_and_no_wider_than_a_phone(
    signed_in: Any, console: Any, admin: Any, work: Work
) -> None:
    assert TrashEntry.objects.count() == 3
    page: Page = signed_in(admin)
    ways = ((1440, "light"), (1440, "dark"), (390, "light"))
    addresses = [*pages_of_the_console(), *pages_of_the_server(), *pages_of(work)]
    wrong = [fault for address in addresses for fault in faults(page, console.url(address), ways)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(400)
def test_what_a_viewer_is_shown_is_so_as_well(signed_in: Any, console: Any, viewer: Any, work: Work) -> None:
    page: Page = signed_in(viewer)
    manages = ("/change/", "/schedule/", "/bulk/", "/import/")
    addresses = [each for each in pages_of_the_server() if not any(part in each for part in manages)]
    wrong = [fault for address in addresses for fault in faults(page, console.url(address), ((390, "dark"),))]
    assert not wrong, "\n".join(wrong)


def faults(page: Page, url: str, ways: Iterable[tuple[int, str]]) -> list[str]:
    """What is wrong with one page, seen in all these widths and themes."""
    page.goto(url)
    page.evaluate("document.fonts.ready.then(() => true)")
    found = []
    for width, theme in ways:
        page.set_viewport_size({"width": width, "height": 860})
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        here = page.evaluate(FAULTS, {"width": width, "theme": theme})
        found += [f"{url} at {width} px, {theme}: {fault}" for fault in here]
    return found
