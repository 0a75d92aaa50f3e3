"""Tells every open socket, in every process, that rights or sessions have changed. Only this goes through the channel layer."""

import asyncio
import hashlib
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.db.models.signals import m2m_changed, post_delete, post_save
from django.http import HttpRequest

from keyspace.grants import on_access_changed
from keyspace.models import Grant, Server

GROUP = "live"
_loop: asyncio.AbstractEventLoop | None = None


def use_running_loop() -> None:
    """Called by each socket: messages to the layer are sent from the loop that the sockets live in."""
    global _loop
    _loop = asyncio.get_running_loop()


def session_mark(session_key: str) -> str:
    """What names a session in a message: not the key itself, which is a secret."""
    return hashlib.sha256(session_key.encode()).hexdigest()


def announce(message: dict[str, Any]) -> None:
    """Send `message` to every socket once the transaction is committed; from any thread."""
    transaction.on_commit(lambda: _send(message))


def _send(message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    if _loop is not None and _loop.is_running():
        asyncio.run_coroutine_threadsafe(layer.group_send(GROUP, message), _loop)
    elif not isinstance(layer, InMemoryChannelLayer):
        async_to_sync(layer.group_send)(GROUP, message)


def _recheck(user: Any = None) -> None:
    announce({"type": "live.recheck", "user": getattr(user, "pk", None)})


def _on_grant(instance: Grant, **_: Any) -> None:
    announce(
        {"type": "live.recheck", "user": instance.user_id}
    )  # by id: the person may have just been removed


def _on_server(instance: Server, **_: Any) -> None:
    _recheck()


def _on_user(instance: Any, **_: Any) -> None:
    _recheck(instance)


def _on_groups(**_: Any) -> None:
    _recheck()


def _on_access(user_ids: frozenset[int], **_: Any) -> None:
    for user_id in user_ids:
        announce({"type": "live.recheck", "user": user_id})


def _on_logout(request: HttpRequest, **_: Any) -> None:
    if request is not None and request.session.session_key:
        announce({"type": "live.signed_out", "session": session_mark(request.session.session_key)})


User = get_user_model()
for signal in (post_save, post_delete):
    signal.connect(_on_grant, sender=Grant, dispatch_uid=f"live-grant-{id(signal)}")
    signal.connect(_on_server, sender=Server, dispatch_uid=f"live-server-{id(signal)}")
    signal.connect(_on_user, sender=User, dispatch_uid=f"live-user-{id(signal)}")
m2m_changed.connect(_on_groups, sender=User.groups.through, dispatch_uid="live-groups")
on_access_changed.connect(_on_access, dispatch_uid="live-access")
user_logged_out.connect(_on_logout, dispatch_uid="live-logout")
