"""Showing a Problem: as a page, as a fragment for htmx, or as a way to the sign-in page."""

import logging
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode

from keyspace.errors import NotFound, Problem, explain

log = logging.getLogger(__name__)


def problem_response(request: HttpRequest, error: BaseException) -> HttpResponse:
    """The answer to any exception; what the table of errors does not know is logged with its traceback."""
    problem = explain(error)
    if problem.status == 500:
        log.error("unexpected %s", type(error).__name__, exc_info=error)
    return render_problem(request, problem)


def render_problem(request: HttpRequest, problem: Problem) -> HttpResponse:
    htmx = request.headers.get("HX-Request") == "true"
    template = "_problem.html" if htmx else "problem.html"
    context = {"problem": problem, "request_id": getattr(request, "id", "")}
    return render(request, template, context, status=problem.status)


def sign_in_again(request: HttpRequest) -> HttpResponse:
    """For htmx: leave the page for the sign-in page and come back to it afterwards."""
    here = urlsplit(request.headers.get("HX-Current-URL", ""))
    back = f"{here.path}?{here.query}" if here.query else here.path or "/"
    response = HttpResponse(
        "Your session has ended. Sign in again.", status=401, content_type="text/plain; charset=utf-8"
    )
    response["HX-Redirect"] = f"{resolve_url('account_login')}?{urlencode({'next': back})}"
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if request.headers.get("HX-Request") == "true":
        return sign_in_again(request)
    return render_problem(
        request,
        Problem("This form is from an earlier session, or from another site; nothing was done.",
                "Go back, reload the page and send it again.", status=403),
    )  # fmt: skip


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render_problem(
        request, NotFound("There is no such page.", "Check the address, or start from the list of servers.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    return render_problem(request, explain(Exception()))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render_problem(
        request,
        Problem("The console could not understand this request.", "Go back and try again.", status=400),
    )
