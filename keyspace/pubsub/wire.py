"""A socket to Redis that hands over replies as fast as hiredis parses them (RESP2, which every server speaks)."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import redis

from keyspace.servers import Endpoint, connection_options
from keyspace.wire import pack, reply_error

Replies = list[Any]  # each a list of bytes, bytes, an int, None or a hiredis.ReplyError


class Wire(asyncio.Protocol):
    """One connection. Replies go to whoever awaits `ask`, and once `stream` was called to its callback, a list a chunk read."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._on_replies: Callable[[Replies], None] | None = None
        self._transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        replies: Replies = []
        add, gets = replies.append, self._reader.gets
        try:
            while (reply := gets()) is not False:
                add(reply)
        except hiredis.ProtocolError as error:
            self.abort(error)
        if self._on_replies is not None:
            self._on_replies(replies)
        else:
            self._answer(replies)

    def _answer(self, replies: Replies) -> None:
        for reply in replies:
            waiting = self._waiting.popleft() if self._waiting else None
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)

    def connection_lost(self, error: BaseException | None) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(redis.ConnectionError("the connection was closed"))
        if not self.closed.done():
            self.closed.set_result(error)

    def send(self, *command: bytes | str | int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(command))

    async def ask(self, *command: bytes | str | int) -> Any:
        """One reply, before `stream`. Raises redis-py's ResponseError and ConnectionError."""
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self.send(*command)
        reply = await waiting
        if isinstance(reply, hiredis.ReplyError):
            raise reply_error(str(reply))
        return reply

    def stream(self, on_replies: Callable[[Replies], None]) -> None:
        self._on_replies = on_replies

    def abort(self, error: BaseException | None = None) -> None:
        if not self.closed.done():
            self.closed.set_result(error)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def open_wire(endpoint: Endpoint) -> Wire:
    """Connect and sign in, within the endpoint's timeouts (seconds). Raises OSError, TimeoutError and redis-py's errors."""
    async with asyncio.timeout(endpoint.connect_timeout + endpoint.timeout):
        async with asyncio.timeout(endpoint.connect_timeout):
            wire = await _connect(endpoint)
        try:
            await _sign_in(wire, endpoint)
        except BaseException:
            wire.abort()
            raise
    return wire


async def _connect(endpoint: Endpoint) -> Wire:
    loop = asyncio.get_running_loop()
    if endpoint.socket:
        return (await loop.create_unix_connection(Wire, endpoint.socket))[1]
    context = tls_context(endpoint) if endpoint.tls else None
    return (await loop.create_connection(Wire, endpoint.host, endpoint.port, ssl=context))[1]


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """What redis-py would make of the same endpoint."""
    options = connection_options(endpoint)
    context = ssl.create_default_context(cadata=options["ssl_ca_data"])
    context.check_hostname = endpoint.tls_check_hostname
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options["ssl_keyfile"])
    return context


async def _sign_in(wire: Wire, endpoint: Endpoint) -> None:
    if endpoint.username or endpoint.password:
        credentials = [endpoint.username, endpoint.password] if endpoint.username else [endpoint.password]
        await wire.ask("AUTH", *credentials)
    try:
        await wire.ask("CLIENT", "SETNAME", "keyspace-console-live")
    except redis.AuthenticationError:
        raise
    except redis.ResponseError:
        pass  # a name is a courtesy
