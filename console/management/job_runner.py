"""Running a job from a shell: in this process unless a console takes it first, with its progress on the terminal."""

import sys
import threading
import time
import uuid

from django.core.management.base import CommandError, OutputWrapper
from django.db import connection

from console.templatetags.format import number_text, size_text
from keyspace import job_worker
from keyspace.access import Actor
from keyspace.jobs import cancel_job
from keyspace.models import Backup, Job

SHELL = Actor(None, "shell")
_LOOK_SECONDS = 0.2


def follow_job(job: Job, out: OutputWrapper) -> Job:
    """Run it to its end, or watch whoever runs it; Ctrl-C cancels it. Raises CommandError when it did not succeed."""
    thread = threading.Thread(target=_run, args=(job.pk,), daemon=True)
    thread.start()
    told = ""
    while job.unfinished:
        try:
            time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            cancel_job(SHELL, job.pk)
        job.refresh_from_db()
        told = _tell(job, told, out)
    thread.join(10)
    if job.state != Job.State.DONE:
        raise CommandError(f"{job.title}: {job.get_state_display()}. {job.problem}".strip())
    return job


def _run(job_id: uuid.UUID) -> None:
    try:
        job_worker.run_job(job_id)
    finally:
        connection.close()


def _tell(job: Job, told: str, out: OutputWrapper) -> str:
    shown = size_text if job.unit == "bytes" else number_text
    of = f" of {shown(job.total)}" if job.total else ""
    line = f"{job.phase}: {shown(job.done)}{of}" + ("" if job.unit == "bytes" else f" {job.unit}")
    if line != told and job.phase and sys.stderr.isatty():
        out.write(line)
    return line


def find_backup(text: str) -> Backup:
    """A backup by its id or the beginning of it. Raises CommandError."""
    if len(text) < 4:
        raise CommandError("Give at least four characters of the backup's id.")
    found = [backup for backup in Backup.objects.all() if str(backup.pk).startswith(text.lower())]
    if len(found) != 1:
        raise CommandError(f"{len(found) or 'No'} backups begin with {text}: see manage.py backups.")
    return found[0]
