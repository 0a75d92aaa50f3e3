"""Recordings: the list, the time line of one, its file, its end."""

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from keyspace.pubsub.recording_runs import stop_recording
from keyspace.pubsub.recordings import delete_recording, get_recording, list_recordings, open_recording_file
from keyspace.servers import Connection

BARS = 200


@require_GET
def recordings(request: HttpRequest, server: str) -> HttpResponse:
    return _show(request, connect(request, server))


@require_GET
def recording(request: HttpRequest, server: str, number: str) -> JsonResponse:
    """What the time line needs: begin, end, messages a bar, gaps; times in ms."""
    header = get_recording(connect(request, server), number)
    began = header.blocks[0][1] if header.blocks else header.began
    ended = max(header.ended or began, header.blocks[-1][1] if header.blocks else began, began + 1)
    bars = [0] * max(12, min(BARS, len(header.blocks)))
    for _, at, messages in header.blocks:
        bars[min(len(bars) - 1, (at - began) * len(bars) // (ended - began))] += messages
    facts = {
        "id": header.id, "began": began, "ended": ended, "messages": header.messages, "bars": bars, "gaps": header.gaps,
        "subscriptions": header.subscriptions, "person": header.person, "state": header.state, "why": header.why, "missed": header.missed,
    }  # fmt: skip
    return JsonResponse(facts)


@require_GET
def download(request: HttpRequest, server: str, number: str) -> FileResponse:
    connection = connect(request, server)
    path = open_recording_file(connection, number)
    name = f"{connection.server.name}-recording-{number}.jsonl.zst"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="application/zstd")


@require_POST
def stop(request: HttpRequest, server: str, number: str) -> HttpResponse:
    connection = connect(request, server)
    stop_recording(connection, number)
    return _show(request, connection)


@require_POST
def delete(request: HttpRequest, server: str, number: str) -> HttpResponse:
    connection = connect(request, server)
    delete_recording(connection, number)
    return _show(request, connection)


def _show(request: HttpRequest, connection: Connection) -> HttpResponse:
    found = list_recordings(connection)
    context = {
        "connection": connection, "recordings": found, "running": any(one.state == "recording" for one in found),
    }  # fmt: skip
    return render(request, "pubsub/_recordings.html", context)
