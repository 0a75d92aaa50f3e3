"""For machines: is the process alive, and is the console ready to work?"""

from django.contrib.auth.decorators import login_not_required
from django.db import connection as database
from django.http import HttpRequest, HttpResponse, JsonResponse

from keyspace.models import Server
from keyspace.server_info import state_of


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"process": "up"})


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """503 when the console's own database is away. A server that is down is told, but it is no reason to take the console out of service."""
    try:
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
        servers = {server.name: state_of(server, patience=1.0).word for server in Server.objects.all()}
    except Exception:
        return JsonResponse({"database": "down"}, status=503)
    named = request.user.is_authenticated
    told = servers if named else _count(list(servers.values()))
    return JsonResponse({"database": "up", "servers": told})


def _count(words: list[str]) -> dict[str, int]:
    """To a stranger the names of servers are not told."""
    return {word: words.count(word) for word in sorted(set(words))}
