"""The feature's WebSocket routes."""

from django.urls import re_path

from console.pubsub.consumers import LiveConsumer

websocket_urlpatterns = [re_path(r"^servers/(?P<server>[a-z0-9][a-z0-9_.-]*)/live/$", LiveConsumer.as_asgi())]  # type: ignore[arg-type]
