"""The processes around the console in the live benches: a publisher, a bare subscriber, and browsers that only count.

    python -m tests.bench.live_parts publish  <redis socket> <channel> <rate> <seconds>
    python -m tests.bench.live_parts listen   <redis socket> <channel>                       until SIGTERM
    python -m tests.bench.live_parts watch    <port> <cookie> <server> <channel> <sockets>   until SIGTERM

Each prints one JSON object at its end; the last two print "ready" first.
"""

import base64
import json
import os
import re
import selectors
import signal
import socket
import struct
import sys
import time
from typing import Any

import hiredis

SIZE = 200
BATCH_SECONDS = 0.005
_COUNTS = re.compile(rb'"received":(\d+),"matched":(\d+),"buffer":(\d+),"slow_filter":(\d+)')
_STAMP = re.compile(rb'\{\\"at\\":(\d+)')
stopped = False


def stop(*_: Any) -> None:
    global stopped
    stopped = True


def publish(path: str, channel: str, rate: str, seconds: str) -> dict[str, Any]:
    """Messages of SIZE bytes at an even rate; the server's replies are switched off and its having taken all is checked at the end."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(hiredis.pack_command(("CLIENT", "REPLY", "OFF")))
    a_second, total, sent = int(rate), int(int(rate) * float(seconds)), 0
    began = time.perf_counter()
    while sent < total:
        due = min(total, int((time.perf_counter() - began + BATCH_SECONDS) * a_second))
        if due > sent:
            connection.sendall(packed(channel) * (due - sent))
            sent = due
        time.sleep(BATCH_SECONDS)
    connection.sendall(hiredis.pack_command(("CLIENT", "REPLY", "ON")) + hiredis.pack_command(("PING",)))
    while b"PONG" not in connection.recv(4096):
        pass
    return {"sent": sent, "seconds": time.perf_counter() - began}


def packed(channel: str) -> bytes:
    payload = (
        b'{"at":%d,"asset":"BRL","alias":"@external/BRL","amount":"965.38","id":"019a2c5741' % time.time_ns()
    )
    return bytes(hiredis.pack_command(("PUBLISH", channel, payload.ljust(SIZE - 2, b"x") + b'"}')))


def listen(path: str, channel: str) -> dict[str, Any]:
    """The reference: a loop over a socket and hiredis."""
    connection, reader, received = socket.socket(socket.AF_UNIX), hiredis.Reader(), 0
    connection.connect(path)
    connection.sendall(hiredis.pack_command(("SUBSCRIBE", channel)))
    connection.settimeout(0.2)
    print("ready", flush=True)
    while not stopped:
        try:
            data = connection.recv(262144)
        except TimeoutError:
            continue
        if not data:
            break
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            received += reply[0] == b"message"
    return {"received": received}


class Browser:
    """A WebSocket's end that reads frames as they come and looks at their counts alone."""

    def __init__(self, port: int, cookie: str, server: str, channel: str) -> None:
        self.counts = {"received": 0, "shown": 0, "dropped": 0, "frames": 0, "bytes": 0}
        self.latencies: list[float] = []
        self.buffer = bytearray()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /servers/{server}/live/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Cookie: keyspace_session={cookie}\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(4096)
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        assert b" 101 " in head, head
        self.buffer = bytearray(rest)
        self._until(b'"hello"')
        self.send({"op": "watch", "subscriptions": [["channel", channel]] if channel else []})
        self._until(b",true," if channel else b'"watching"')

    def _until(self, mark: bytes) -> None:
        while True:
            for frame in self.frames():
                if mark in frame:
                    return
            self.buffer += self.socket.recv(65536)

    def send(self, content: dict[str, Any]) -> None:
        data, mask = json.dumps(content).encode(), b"\0\0\0\0"
        assert len(data) < 126
        self.socket.sendall(bytes([0x81, 0x80 | len(data)]) + mask + data)

    def frames(self) -> list[bytes]:
        """The complete frames in the buffer (servers do not mask, nor split what is sent in one piece)."""
        found, at, buffer = [], 0, self.buffer
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1] & 127, at + 2
            if length == 126 and len(buffer) >= start + 2:
                length, start = struct.unpack_from(">H", buffer, start)[0], start + 2
            elif length == 127 and len(buffer) >= start + 8:
                length, start = struct.unpack_from(">Q", buffer, start)[0], start + 8
            elif length > 125:
                break
            if len(buffer) < start + length:
                break
            found.append(bytes(memoryview(buffer)[start : start + min(length, 4096)]))
            self.counts["bytes"] += length
            at = start + length
        del buffer[:at]
        return found

    def read(self) -> bool:
        try:
            data = self.socket.recv(1024 * 1024)
        except OSError:
            return False
        self.buffer += data
        for frame in self.frames():
            self._count(frame)
        return bool(data)

    def _count(self, frame: bytes) -> None:
        counts = self.counts
        counts["frames"] += 1
        if frame.startswith(b'{"t":"batch"'):
            received, matched, buffer, slow = map(int, _COUNTS.search(frame).groups())  # type: ignore[union-attr]
            counts["received"] += received
            counts["dropped"] += buffer + slow
            counts["shown"] += matched - buffer
            if stamp := _STAMP.search(
                frame
            ):  # of the first message of the frame, the one that waited longest
                self.latencies.append((time.time_ns() - int(stamp[1])) / 1e6)
        elif frame.startswith(b'{"t":"missed"'):
            missed = json.loads(frame)["counts"]
            counts["received"] += missed["received"]
            counts["dropped"] += missed["buffer"] + missed["browser"] + missed["slow_filter"]
        elif frame.startswith(b'{"t":"gap"'):
            counts["gaps"] = counts.get("gaps", 0) + 1


def watch(port: str, cookie: str, server: str, channel: str, sockets: str) -> dict[str, Any]:
    selector, browsers = selectors.DefaultSelector(), []
    for _ in range(int(sockets)):
        browser = Browser(int(port), cookie, server, channel)
        browsers.append(browser)
        selector.register(browser.socket, selectors.EVENT_READ, browser)
    print("ready", flush=True)
    while not stopped:
        for key, _ in selector.select(0.2):
            if not key.data.read():
                selector.unregister(key.fileobj)
    latencies = sorted(latency for browser in browsers for latency in browser.latencies)
    p95 = latencies[int(len(latencies) * 0.95)] if latencies else 0.0
    return {"viewers": [browser.counts for browser in browsers], "p95_ms": p95}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    parts = {"publish": publish, "listen": listen, "watch": watch}
    print(json.dumps(parts[sys.argv[1]](*sys.argv[2:])))
