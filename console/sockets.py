"""The WebSocket routes; one no route matches is refused."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import re_path

from console.pubsub.routing import websocket_urlpatterns as pubsub_routes


class NoSuchSocket(AsyncWebsocketConsumer):
    """Refuses the handshake (HTTP 403) of a socket that does not exist."""

    async def connect(self) -> None:
        await self.close()


websocket_urlpatterns: list[Any] = [
    *pubsub_routes,
    re_path(r"", NoSuchSocket.as_asgi()),  # type: ignore[arg-type]
]
