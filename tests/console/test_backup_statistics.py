"""The statistics page of a backup: by role, while it runs, with and without a result."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from keyspace import job_worker
from keyspace.models import Backup, Job
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
