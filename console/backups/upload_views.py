"""Uploading a backup piece by piece, so that it can go on after it broke off: what `static/js/upload.js` speaks with."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from console.actors import connect
from keyspace.backups import uploads
from keyspace.errors import BadInput, TooLarge


@require_POST
def begin(request: HttpRequest, server: str) -> HttpResponse:
    name, size = request.POST.get("name", ""), request.POST.get("size", "")
    upload = uploads.begin_upload(
        connect(request, server),
        size=int(size) if size.isdecimal() and len(size) < 16 else 0,
        label=f"file {name}",
    )
    return JsonResponse(
        {
            "url": reverse("backups_upload_piece", args=[server, upload.token]),
            "at": 0,
            "piece": uploads.PIECE_BYTES,
        }
    )


@require_http_methods(["GET", "PUT", "DELETE"])
def piece(request: HttpRequest, server: str, token: str) -> HttpResponse:
    """How far it is; the next bytes of it; or give it up."""
    connection = connect(request, server)
    if request.method == "DELETE":
        uploads.cancel_upload(connection, token=token)
        return HttpResponse(status=204)
    upload = uploads.find_upload(connection, token=token)
    if request.method == "GET":
        return JsonResponse({"at": upload.done, "piece": uploads.PIECE_BYTES})
    at = request.GET.get("at", "")
    if not at.isdecimal():
        raise BadInput("Where the piece begins is not said.")
    return JsonResponse({"at": uploads.add_piece(connection, token=token, at=int(at), piece=_body(request))})


def _body(request: HttpRequest) -> bytes:
    body = request.read(uploads.PIECE_BYTES + 1)
    if len(body) > uploads.PIECE_BYTES:
        raise TooLarge("The piece is too large.", f"Send at most {uploads.PIECE_BYTES} bytes at once.")
    return body


@require_POST
def finish(request: HttpRequest, server: str, token: str) -> HttpResponse:
    job = uploads.finish_upload(connect(request, server), token=token)
    return JsonResponse({"next": reverse("job", args=[job.pk])})
