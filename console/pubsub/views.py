"""The Pub/Sub page and its partials; what is live comes by the socket, see consumers.py."""

import base64
import binascii

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from console.actors import connect
from console.pubsub.forms import FORMATS, PublishForm
from keyspace.access import Permission
from keyspace.decoders import DECODERS, decode_value
from keyspace.encoding import from_text
from keyspace.errors import BadInput
from keyspace.pubsub.channels import list_channels
from keyspace.pubsub.limits import limit
from keyspace.pubsub.notifications import SETTING, WANTED, get_notifications, set_notifications
from keyspace.pubsub.publish import publish_message
from keyspace.pubsub.subscriptions import text_of


@require_GET
def pubsub(request: HttpRequest, server: str) -> HttpResponse:
    connection = connect(request, server)
    context = {
        "connection": connection, "may_publish": connection.access.may(Permission.PUBLISH) and not connection.server.read_only,
        "bounded": connection.access.channels, "formats": FORMATS, "limits": limit("SUBSCRIPTIONS"),
        "decoders": [decoder.name for decoder in DECODERS], "shards": connection.supports("SSUBSCRIBE"),
    }  # fmt: skip
    return render(request, "pubsub/page.html", context)


@require_GET
def channels(request: HttpRequest, server: str) -> JsonResponse:
    """Columns, as the browser's table of thousands of rows takes them; names as `subscriptions.text_of` writes them."""
    found = list_channels(connect(request, server), match=from_text(request.GET.get("match", "")))
    columns = {
        "kinds": [row.kind for row in found.channels], "names": [text_of(row.name) for row in found.channels],
        "subscribers": [row.subscribers for row in found.channels], "total": found.total, "patterns": found.patterns,
        "silent": found.silent,
    }  # fmt: skip
    return JsonResponse(columns)


@require_POST
def publish(request: HttpRequest, server: str) -> HttpResponse:
    connection, form = connect(request, server), PublishForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, "pubsub/_published.html", {"form": form}, status=422)
    data = form.cleaned_data
    published = publish_message(connection, data["channel"], payload=data["message"], shard=data["shard"])
    return render(request, "pubsub/_published.html", {"published": published})


@require_POST
def payload(request: HttpRequest, server: str) -> HttpResponse:
    """A payload the browser has, read by the decoder `as` names (empty: the one that is detected)."""
    connect(request, server)
    try:
        data = base64.b64decode(request.POST.get("payload", ""), validate=True)
    except (binascii.Error, ValueError):
        raise BadInput("This is not a payload in base64.") from None
    using = request.POST.get("as", "")
    decoded = decode_value(data, using or None, partial=bool(request.POST.get("partial")))
    return render(request, "pubsub/_payload.html", {"decoded": decoded, "using": using})


@require_GET
def events(request: HttpRequest, server: str) -> HttpResponse:
    return _show_events(request, server)


@require_POST
def set_events(request: HttpRequest, server: str) -> HttpResponse:
    """Switch keyspace notifications; the way back to what was set before is on the page that follows."""
    before = set_notifications(connect(request, server), flags=request.POST.get("flags", ""))
    return _show_events(request, server, was=before.flags)


def _show_events(request: HttpRequest, server: str, was: str | None = None) -> HttpResponse:
    connection = connect(request, server)
    context = {
        "connection": connection, "notifications": get_notifications(connection), "setting": SETTING, "wanted": WANTED, "was": was,
        "may_configure": connection.access.may(Permission.CONFIGURE) and not connection.server.read_only,
    }  # fmt: skip
    return render(request, "pubsub/_events.html", context)
