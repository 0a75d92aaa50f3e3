"""Running a job beside the test that watches it."""

import threading

from django.db import connection as database

from keyspace import job_worker
from keyspace.models import Job


def in_thread(job: Job) -> threading.Thread:
    """The job at work in a thread of its own, which closes its connection to the database when it ends."""

    def work() -> None:
        try:
            job_worker.run_job(job.pk)
        finally:
            database.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread
