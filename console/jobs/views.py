"""Jobs: what runs, waits and has ended; one job with its progress and its report."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import select_template
from django.views.decorators.http import require_GET, require_POST

from console.actors import actor_of
from keyspace import jobs as service
from keyspace.models import Job


@require_GET
def jobs(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/jobs.html", _lists(request))


@require_GET
def list_(request: HttpRequest) -> HttpResponse:
    return render(request, "jobs/_list.html", _lists(request))


def _lists(request: HttpRequest) -> dict[str, Any]:
    actor = actor_of(request)
    found = service.my_jobs(actor)
    unfinished = [(job, service.may_control(actor, job)) for job in found if job.unfinished]
    return {"unfinished": unfinished, "finished": [job for job in found if not job.unfinished]}


@require_GET
def job(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    return render(request, "jobs/job.html", _one(request, job_id))


@require_GET
def progress(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    """Asked again and again while the job runs."""
    return render(request, "jobs/_job.html", _one(request, job_id))


def _one(request: HttpRequest, job_id: uuid.UUID) -> dict[str, Any]:
    return _context(request, service.find_job(actor_of(request), job_id))


def _context(request: HttpRequest, job: Job) -> dict[str, Any]:
    kind = service.KINDS.get(job.kind)
    return {
        "job": job, "may_control": service.may_control(actor_of(request), job), "resumable": kind is not None and kind.resumable,
        "report_template": select_template([f"jobs/reports/{job.kind}.html", "jobs/reports/any.html"]).template.name,
    }  # fmt: skip


@require_POST
def cancel(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    return _answer(request, service.cancel_job(actor_of(request), job_id))


@require_POST
def pause(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    return _answer(
        request, service.pause_job(actor_of(request), job_id, pause=request.POST.get("pause") != "no")
    )


@require_POST
def restart(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    return _answer(request, service.restart_job(actor_of(request), job_id))


def _answer(request: HttpRequest, job: Job) -> HttpResponse:
    return render(request, "jobs/_job.html", _context(request, job))


@require_GET
def report(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """The job's report to keep: what it did, skipped, failed at."""
    found = service.find_job(actor_of(request), job_id)
    facts = {
        "job": str(found.pk), "title": found.title, "server": found.server, "person": found.person, "state": found.state,
        "created_at": found.created_at, "started_at": found.started_at, "finished_at": found.finished_at, "done": found.done,
        "total": found.total, "unit": found.unit, "problem": found.problem, "report": found.result,
    }  # fmt: skip
    response = JsonResponse(facts, json_dumps_params={"indent": 2})
    response["Content-Disposition"] = (
        f'attachment; filename="job-{found.created_at:%Y%m%d-%H%M%S}-{found.kind}.json"'
    )
    return response
