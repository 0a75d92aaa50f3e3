"""The references: loops over a bare socket and hiredis, with nothing of ours in between."""

import socket
from typing import Any

import hiredis

from tests.servers import RunningServer


class Bare:
    """One bare connection over the unix socket."""

    def __init__(self, server: RunningServer) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(server.socket)
        self.reader = hiredis.Reader()

    def ask(self, packed: bytes, replies: int = 1) -> list[Any]:
        self.socket.sendall(packed)
        found: list[Any] = []
        while len(found) < replies:
            reply = self.reader.gets()
            if reply is False:
                self.reader.feed(self.socket.recv(65536))
            else:
                found.append(reply)
        return found

    def scan(self, *arguments: bytes | str | int) -> int:
        """A full SCAN; how many keys it named."""
        at, named = b"0", 0
        while True:
            at, names = self.ask(hiredis.pack_command(("SCAN", at, *arguments)))[0]
            named += len(names)
            if at == b"0":
                return named

    def names(self, most: int) -> list[bytes]:
        found: list[bytes] = []
        at = b"0"
        while len(found) < most:
            at, names = self.ask(hiredis.pack_command(("SCAN", at, "COUNT", 1000)))[0]
            found += names
        return found[:most]
