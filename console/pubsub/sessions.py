"""Who is behind a socket, asked again while it is open."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.utils.crypto import constant_time_compare

from console.actors import client_address
from keyspace.access import Actor
from keyspace.errors import Problem
from keyspace.servers import Connection, open_connection


class SignedOut(Problem):
    """The session behind a socket is over."""

    status = 401


def read_actor(scope: Mapping[str, Any]) -> Actor:
    """The person behind the handshake. Raises SignedOut."""
    session_key = scope["session"].session_key
    if not session_key:
        raise SignedOut("You are not signed in.", "Sign in and come back.")
    user = read_user(import_module(settings.SESSION_ENGINE).SessionStore(session_key))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    meta = {
        "HTTP_X_FORWARDED_FOR": headers.get("x-forwarded-for", ""),
        "REMOTE_ADDR": (scope.get("client") or [""])[0],
    }
    return Actor(user, user.get_username(), client_address(meta), headers.get("x-request-id", "")[:64])


def read_user(session: SessionBase) -> Any:
    """The active user of a session as the store has it now. Raises SignedOut: ended, expired, password changed, person removed."""
    facts = session.load()
    known = facts.get(BACKEND_SESSION_KEY) and facts.get(SESSION_KEY)
    user = get_user_model().objects.filter(pk=known, is_active=True).first() if known else None
    mark = facts.get(HASH_SESSION_KEY, "")
    if user is None or not constant_time_compare(mark, user.get_session_auth_hash()):
        raise SignedOut("Your session has ended.", "Sign in again.")
    return user


@database_sync_to_async
def connect_again(scope: Mapping[str, Any], server: str) -> Connection:
    """The person's connection to `server` as session, account and grants are now. Raises SignedOut, NotFound."""
    return open_connection(read_actor(scope), server)
