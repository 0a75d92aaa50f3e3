"""How large the body of a request may be, by where it is sent. Django writes a body to the disk before any view sees it; here it is
refused by its Content-Length before it is read, and one without is read no further than that.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from console.problems import problem_response
from keyspace.errors import TooLarge
from keyspace.imports import most_bytes
from keyspace.types.editing import LARGEST

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
USUAL = 8 * 1024 * 1024
"""Any form without a file, and a piece of an uploaded backup."""
ROUND = 1024 * 1024
"""What a file's form has around it."""
FILES: dict[str, Callable[[], int]] = {
    "import": most_bytes,
    "key_apply_edit": lambda: LARGEST,
    "keys_create": lambda: LARGEST,
}
"""By the name of the address: how large a file people who signed in may send there."""
_REFUSED = "keyspace.larger_than"


class BoundedBodies:
    """Around Django's ASGI application. What is refused goes on without its body: `refuse_large_bodies` answers it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = _Body(scope, receive, send)
        await body.check(_declared(scope))
        await self._app(scope, body.receive, body.send)


class _Body:
    """Of one request. How much may be sent is only looked up where it matters."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._most, self._looked_up, self._read = USUAL, False, 0
        self._cut, self._answered = False, asyncio.Event()

    async def check(self, size: int) -> None:
        """Refuse it if so many bytes are too many here."""
        if size > self._most + ROUND and not self._looked_up:
            self._looked_up, self._most = True, await _most_bytes(self._scope)
        if size > self._most + ROUND:
            self._scope[_REFUSED] = self._most

    async def receive(self) -> Message:
        if self._cut:  # asked whether the browser is still there: the rest of its body is not read for that
            await self._answered.wait()
            return {"type": "http.disconnect"}
        message: Message = {} if _REFUSED in self._scope else await self._receive()
        self._read += len(message.get("body", b""))
        await self.check(self._read)
        self._cut = _REFUSED in self._scope
        return {"type": "http.request", "body": b"", "more_body": False} if self._cut else message

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._answered.set()


def _declared(scope: dict[str, Any]) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length[:18]) if length.isdigit() else 0


@database_sync_to_async
def _most_bytes(scope: dict[str, Any]) -> int:
    """A stranger's file is not taken anywhere."""
    path = "/" + scope["path"].removeprefix(get_script_prefix(scope)).lstrip("/")
    try:
        file = FILES.get(resolve(path).view_name)
    except Resolver404:
        return USUAL
    return file() if file and _is_signed_in(scope) else USUAL


def _is_signed_in(scope: dict[str, Any]) -> bool:
    request = ASGIRequest(scope, io.BytesIO())
    SessionMiddleware(lambda _: HttpResponse()).process_request(request)
    return bool(get_user(request).is_authenticated)


def refuse_large_bodies(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """The answer to what BoundedBodies has refused."""

    def middleware(request: HttpRequest) -> HttpResponse:
        most = getattr(request, "scope", {}).get(_REFUSED)
        if most is None:
            return get_response(request)
        told = f"{most / 1e9:.1f} GB" if most >= 1e9 else f"{most / 1e6:.0f} MB"
        return problem_response(
            request, TooLarge(f"This is larger than the {told} taken here; nothing was done.", "Send less.")
        )

    return middleware
