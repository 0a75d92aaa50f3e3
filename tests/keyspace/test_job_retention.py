"""Jobs that ended long ago go, with what they left; everything else stays."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from keyspace import job_retention
from keyspace.backups import store
from keyspace.bulk.plan import plan_path
from keyspace.models import AuditEntry, Backup, Job

pytestmark = pytest.mark.django_db(transaction=True)


def ended(days: float, *, state: str = "done", **fields: Any) -> Job:
    when = timezone.now() - timedelta(days=days)
    return Job.objects.create(
        kind="compare_backup", title="an old one", state=state, created_at=when, finished_at=when, **fields
    )


def kept() -> set[Any]:
    return set(Job.objects.values_list("pk", flat=True))


def stored(name: str) -> Path:
    with store.Part(name) as part:
        part.write(b"x")
        part.commit()
    return store.directory() / name


def test_what_ended_too_long_ago_goes_and_the_audit_says_so(settings: Any) -> None:
    settings.JOB_DAYS = 90
    young, old = (
        ended(80),
        [ended(92, state=state) for state in ("done", "failed", "cancelled", "interrupted")],
    )
    assert job_retention.purge_jobs() == len(old)
    assert kept() == {young.pk}
    assert job_retention.purge_jobs() == 0
    entry = AuditEntry.objects.get(operation="purge_jobs")
    assert (entry.person, entry.detail["jobs"], entry.detail["keep_days"]) == ("retention", 4, 90)


@pytest.mark.parametrize("state", ["waiting", "running", "paused"])
def test_an_unfinished_job_never_goes(state: str, settings: Any) -> None:
    settings.JOB_DAYS = 1
    job = ended(4000, state=state)
    assert job_retention.purge_jobs() == 0
    assert kept() == {job.pk}


def test_zero_days_keep_all(settings: Any) -> None:
    settings.JOB_DAYS = 0
    job = ended(4000)
    assert job_retention.purge_jobs() == 0
    assert kept() == {job.pk}


def test_its_files_go_with_it(settings: Any) -> None:
    settings.JOB_DAYS = 7
    report, upload = stored("export-1/0.ksarch"), stored("import-1/0.jsonl")
    ended(9, result={"file": "export-1/0.ksarch"}, params={"file": "import-1/0.jsonl"})
    planned = ended(9, state="failed")
    Job.objects.filter(pk=planned.pk).update(kind="run_bulk")
    plan_path(planned.pk).write_bytes(b"x")
    assert job_retention.purge_jobs() == 2
    assert not report.exists()
    assert not upload.exists()
    assert not plan_path(planned.pk).exists()


def test_a_backup_outlives_its_job(settings: Any) -> None:
    settings.JOB_DAYS = 7
    path = stored("b/0.rdb")
    backup = Backup.objects.create(
        server="test", kind="pull", state="loaded", person="x", job=ended(9), files=[{"name": "b/0.rdb"}]
    )
    assert job_retention.purge_jobs() == 1
    backup.refresh_from_db()
    assert backup.job is None
    assert path.exists()


def test_a_store_that_fails_leaves_the_job_for_another_try(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_DAYS = 7
    job = ended(9, result={"file": "export-2/0.ksarch"})
    with monkeypatch.context() as patch, pytest.raises(OSError, match="away"):
        patch.setattr(store, "remove", _fail)
        job_retention.purge_jobs()
    assert kept() == {job.pk}
    assert job_retention.purge_jobs() == 1


def _fail(name: str) -> None:
    raise OSError("the store is away")
