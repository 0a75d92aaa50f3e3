"""Many commands in one write, their replies read with hiredis: a third of the time of a redis-py pipeline.

For reading only. The replies are as the protocol has them: no callbacks, bytes everywhere, and a refused command is an
exception in its place of the list, so that one refusal never hides the others.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hiredis
import redis
from redis._parsers.base import BaseParser

from keyspace.frozen import FrozenClient, ask_end, left_at
from keyspace.servers import Client

Command = tuple[bytes | str | int, ...]
pack: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]
"""A command as the protocol writes it."""
_AT_ONCE = 64 * 1024


class Wire:
    """One connection of a client's pool, held for a while; use `open_wire`."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._reader = hiredis.Reader(notEnoughData=self, replyError=reply_error)

    def call(self, *command: bytes | str | int) -> Any:
        """One command's reply; raises what the server refused it with."""
        reply = self.exchange(pack(command), 1)[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def call_many(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to all of them, in order, refusals as exceptions in their places."""
        return self.exchange(b"".join(map(pack, commands)), len(commands))

    def exchange(self, packed: bytes, replies: int) -> list[Any]:
        """Send packed commands and read that many replies. Raises redis-py's ConnectionError and TimeoutError."""
        self.send(packed)
        return self.receive(replies)

    def send(self, packed: bytes) -> None:
        """Only send; each reply has to be received before anything else is asked."""
        try:
            self._connection._sock.sendall(packed)
        except TimeoutError as error:
            raise redis.TimeoutError("Timeout writing to the server") from error
        except OSError as error:
            raise redis.ConnectionError("The connection broke") from error

    def receive(self, replies: int) -> list[Any]:
        """The next replies to what was sent, in order."""
        socket, gets = self._connection._sock, self._reader.gets
        found: list[Any] = []
        try:
            while len(found) < replies:
                reply = gets()
                if reply is not self:
                    found.append(reply)
                    continue
                data = socket.recv(_AT_ONCE)
                if not data:
                    raise redis.ConnectionError("Connection closed by server.")
                self._reader.feed(data)
        except TimeoutError as error:
            raise redis.TimeoutError("Timeout reading from the server") from error
        except OSError as error:
            raise redis.ConnectionError("The connection broke") from error
        return found


class FrozenWire(Wire):
    """A Wire to an opened backup: lives are told as of the backup's moment."""

    def __init__(self, connection: Any, moment: int) -> None:
        super().__init__(connection)
        self._moment = moment

    def call_many(self, commands: Sequence[Command]) -> list[Any]:
        replies = super().call_many([ask_end(command) for command in commands])
        pairs = zip(commands, replies, strict=True)
        return [left_at(command, reply, self._moment) for command, reply in pairs]


def reply_error(message: str) -> Exception:
    """The exception that redis-py has for an error reply."""
    return BaseParser.parse_error(message)  # type: ignore[no-any-return]


@contextmanager
def open_wire(client: Client) -> Iterator[Wire]:
    """A Wire on a connection of the client's pool; the connection is dropped when the block fails, so no reply is left over."""
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        yield (
            FrozenWire(connection, client.frozen_at) if isinstance(client, FrozenClient) else Wire(connection)
        )
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def read_many(client: Client, commands: Sequence[Command]) -> list[Any]:
    """The replies to `commands` in one round trip."""
    if not commands:
        return []
    with open_wire(client) as wire:
        return wire.call_many(commands)
