"""The pages about what is in a backup: statistics by role, while they run, with and without a result; a comparison key by key."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from keyspace import job_worker
from keyspace.backups import opening
from keyspace.models import Backup, Job, OpenBackup
from tests.keyspace.backups.test_restoring import back_up

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def backup(redis: Any, connection_as: Callable[..., Any]) -> Backup:
    redis.mset({b"a\xff<b>:1": 1, "plain": 2})
    redis.set("soon", 1, ex=60)
    return back_up(connection_as("admin"), "pull")


def address(name: str, backup: Backup) -> str:
    return reverse(name, args=["test", backup.pk])


def test_from_the_button_to_the_tables(backup: Backup, admin_client: Client) -> None:
    assert (
        address("backup_statistics", backup) in admin_client.get(address("backup", backup)).content.decode()
    )
    page = admin_client.get(address("backup_statistics", backup)).content.decode()
    assert "Nobody has added up" in page
    answer = admin_client.post(address("backup_analyse", backup))
    assert answer["Location"] == address("backup_statistics", backup)
    assert "<progress" in admin_client.get(address("backup_statistics", backup)).content.decode()
    assert "<progress" in admin_client.get(address("backup_analysis", backup)).content.decode()
    job_worker.run_job(Job.objects.get(kind="analyse_backup").pk)
    assert admin_client.get(address("backup_analysis", backup))["HX-Refresh"] == "true"
    page = admin_client.get(address("backup_statistics", backup)).content.decode()
    assert "a\\xff&lt;b&gt;:" in page and "<b>:" not in page
    assert "data-expires-at" not in page and "as of the backup" in page
    assert (
        admin_client.get(reverse("job", args=[Job.objects.get(kind="analyse_backup").pk])).status_code == 200
    )


def test_a_failed_pass_says_why(backup: Backup, admin_client: Client) -> None:
    admin_client.post(address("backup_analyse", backup))
    backup.files[0]["name"] = "gone/0.rdb"
    backup.save()
    job_worker.run_job(Job.objects.get(kind="analyse_backup").pk)
    assert "gone from the store" in admin_client.get(address("backup_statistics", backup)).content.decode()


def test_only_admins(
    backup: Backup, viewer_client: Client, operator_client: Client, nobody_client: Client
) -> None:
    for client, status in ((viewer_client, 403), (operator_client, 403), (nobody_client, 404)):
        assert client.get(address("backup_statistics", backup)).status_code == status
        assert client.get(address("backup_analysis", backup)).status_code == status
        assert client.post(address("backup_analyse", backup)).status_code == status
    assert not Job.objects.filter(kind="analyse_backup").exists()
    assert (
        address("backup_statistics", backup)
        not in viewer_client.get(address("backup", backup)).content.decode()
    )


def test_a_comparison_key_by_key(
    backup: Backup, redis: Any, admin_client: Client, viewer_client: Client
) -> None:
    redis.mset({"plain": "<i>3", b"new\xff:1": 1})
    admin_client.post(address("backup_compare", backup))
    job = Job.objects.get(kind="compare_backup")
    job_worker.run_job(job.pk)
    report = admin_client.get(reverse("job", args=[job.pk])).content.decode()
    added = reverse("backup_compared", args=["test", backup.pk, job.pk, "added"])
    changed = reverse("backup_compared", args=["test", backup.pk, job.pk, "changed"])
    key = reverse("backup_compared_key", args=["test", backup.pk, job.pk, 0, b"plain"])
    assert added in report and changed in report
    assert "new\\xff:1" in admin_client.get(added).content.decode()
    assert "new\\xff:1" in admin_client.get(added, {"prefix": "bmV3_zo"}).content.decode()
    assert "There are none" in admin_client.get(added, {"prefix": "~"}).content.decode()
    assert key in admin_client.get(changed).content.decode()
    page = admin_client.get(key).content.decode()
    assert "<del>2</del><ins>&lt;i&gt;3</ins>" in page
    for bad in ({"start": "-1"}, {"start": "x"}, {"prefix": "%"}):
        assert admin_client.get(added, bad).status_code == 400, bad
    assert admin_client.get(added, {"start": "999999999"}).status_code == 200
    assert admin_client.get(added.replace("added", "other")).status_code == 400
    for url in (added, changed, key):
        assert viewer_client.get(url).status_code == 403


def test_an_opened_backup_has_no_backups_of_its_own(backup: Backup, admin_client: Client) -> None:
    admin_client.post(address("backup_open", backup))
    job_worker.run_job(Job.objects.get(kind="open_backup").pk)
    opened = OpenBackup.objects.get()
    try:
        answer = admin_client.get(reverse("backups", args=[opened.row.name]))
        assert answer["Location"] == address("backup", backup)
        refused = admin_client.post(reverse("backups_start", args=[opened.row.name]), {"kind": "pull"})
        assert refused.status_code == 409
        assert "is an opened backup" in refused.content.decode()
    finally:
        opening.close(opened)
