"""The listening socket and the server behind it."""

import errno
import socket
import warnings
from collections.abc import Callable
from typing import Any

import uvicorn

GRACE_SECONDS = 5
LARGEST_FRAME = 256 * 1024  # bytes a browser may send at once: its frames ask and steer, data go over HTTP


class CannotListen(Exception):
    """The address cannot be used; the message is one sentence."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that nobody else can take any more. Raises CannotListen."""
    if not 0 < port < 65536:
        raise CannotListen(f"PORT must be a number from 1 to 65535, not {port}.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError, OverflowError):
        raise CannotListen(f"HOST={host} is not an address of this machine.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # At once, for two sockets may be bound to one port until one of them listens.
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise CannotListen(_reason(error, host, port)) from None
    return listener


def _reason(error: Exception, host: str, port: int) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program: stop it, or choose another with PORT={port + 1}."
    if number == errno.EACCES:
        return f"Port {port} may not be used by this user: choose one above 1023 with PORT=8000."
    if number == errno.EADDRNOTAVAIL:
        return f"HOST={host} is not an address of this machine."
    return f"{host}:{port} cannot be listened on: {getattr(error, 'strerror', None) or error}."


class ConsoleServer(uvicorn.Server):
    """uvicorn with our limits; `on_started` is called once it accepts connections."""

    def __init__(self, application: Any, *, on_started: Callable[[], None]) -> None:
        self._on_started = on_started
        # WhiteNoise reads files synchronously; Django says so once a process.
        warnings.filterwarnings("ignore", "StreamingHttpResponse must consume", Warning)
        super().__init__(
            uvicorn.Config(
                application, lifespan="off", log_config=None, access_log=False, server_header=False, proxy_headers=False,
                # A frame is encoded once for all viewers; compressing it once for each would undo that.
                ws_per_message_deflate=False, ws_max_size=LARGEST_FRAME,
                timeout_keep_alive=20, timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )  # fmt: skip

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()
