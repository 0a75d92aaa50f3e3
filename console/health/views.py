"""For machines: is the process alive, and is the console ready to work?"""

from django.contrib.auth.decorators import login_not_required
from django.db import connection as database
from django.http import HttpRequest, HttpResponse, JsonResponse

from console.actors import actor_of
from keyspace.models import Server
from keyspace.server_info import states_of
from keyspace.servers import list_servers


@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"process": "up"})


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """503 when the console's own database is away. A server that is down is told, but the console stays in service."""
    try:
        with database.cursor() as cursor:
            cursor.execute("SELECT 1")
        servers = {name: state.word for name, state in states_of(list(Server.objects.all())).items()}
    except Exception:
        return JsonResponse({"database": "down"}, status=503)
    seen = {
        server.name: servers[server.name]
        for server in list_servers(actor_of(request))
        if server.name in servers
    }
    told = seen if request.user.is_authenticated else _count(list(servers.values()))
    return JsonResponse({"database": "up", "servers": told})


def _count(words: list[str]) -> dict[str, int]:
    """To a stranger the names of servers are not told."""
    return {word: words.count(word) for word in sorted(set(words))}
