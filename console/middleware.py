"""Around every request: its id and log line, the sign-in it needs, and the problem it may end in."""

import logging
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from console import logs
from console.problems import problem_response, sign_in_again

log = logging.getLogger("console.requests")
Next = Callable[[HttpRequest], HttpResponse]


def request_ids(get_response: Next) -> Next:
    """Give each request an id (the proxy's X-Request-Id where it is one) and write one line about it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        known = 8 <= len(given) <= 64 and given.isascii() and given.isprintable()
        identity = given if known else uuid.uuid4().hex
        request.id = identity  # type: ignore[attr-defined]
        mark, began = logs.request_id.set(identity), time.perf_counter()
        try:
            response = get_response(request)
            _log(request, response, began)
        finally:
            logs.request_id.reset(mark)
        response["X-Request-Id"] = identity
        return response

    return middleware


def _log(request: HttpRequest, response: HttpResponse, began: float) -> None:
    if request.path.startswith(settings.STATIC_URL) or request.path.endswith("healthz"):
        return
    user = getattr(request, "user", None)
    took = round((time.perf_counter() - began) * 1000, 1)
    facts = {"method": request.method, "path": request.path, "status": response.status_code, "ms": took,
             "person": user.get_username() if user is not None else ""}  # fmt: skip
    log.info("%s %s %s", request.method, request.path, response.status_code, extra={"facts": facts})


class SignedInMiddleware(LoginRequiredMiddleware):
    """Closed by default: a view is for people who signed in unless it says `login_not_required`."""

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseBase:
        if request.headers.get("HX-Request") == "true":
            return sign_in_again(request)
        return super().handle_no_permission(request, view_func)


class ProblemMiddleware:
    """Views and services hold no try/except around Redis: what they raise becomes its sentence here."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        from allauth.core.exceptions import ImmediateHttpResponse, ReauthenticationRequired
        from django.core.exceptions import PermissionDenied, SuspiciousOperation
        from django.http import Http404

        # Django's own, and what allauth's middleware turns into a redirect.
        if isinstance(
            error,
            Http404
            | PermissionDenied
            | SuspiciousOperation
            | ImmediateHttpResponse
            | ReauthenticationRequired,
        ):
            return None
        return problem_response(request, error)
