"""`open_live(user)` opens the live socket as a browser of `user` would; what it says arrives as dicts."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers

from tests.people import sign_in

ORIGIN = b"http://localhost"
PATIENCE = 40.0  # seconds that a loaded machine may take over anything


class LiveSocket:
    """A browser's end. Frames that `until` passes over are kept in `seen`."""

    def __init__(self, communicator: ApplicationCommunicator) -> None:
        self.communicator = communicator
        self.accepted = self.left = False
        self.seen: list[dict[str, Any]] = []
        self.counts = dict.fromkeys(("received", "matched", "shown", "buffer", "browser", "slow_filter"), 0)

    async def connect(self) -> None:
        await self.communicator.send_input({"type": "websocket.connect"})
        self.accepted = (await self.communicator.receive_output(PATIENCE))["type"] == "websocket.accept"

    async def leave(self) -> None:
        """As a tab that is closed."""
        if not self.left:
            self.left = True
            await self.communicator.send_input({"type": "websocket.disconnect", "code": 1001})
            await self.communicator.wait(PATIENCE)

    async def send(self, op: str, **content: Any) -> None:
        await self.send_text(json.dumps({"op": op, **content}))

    async def send_text(self, text: str) -> None:
        await self.communicator.send_input({"type": "websocket.receive", "text": text})

    async def next(self, timeout: float = PATIENCE) -> dict[str, Any]:  # noqa: ASYNC109
        output = await self.communicator.receive_output(timeout)
        if output["type"] == "websocket.close":
            frame = {"t": "closed", "code": output["code"], "reason": output.get("reason")}
        else:
            frame = json.loads(output.get("bytes") or output["text"])
        self._count(frame)
        self.seen.append(frame)
        return frame

    def _count(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "batch":
            for name in ("received", "matched", "buffer", "slow_filter"):
                self.counts[name] += frame[name]
            self.counts["shown"] += len(frame["p"])
        if frame["t"] == "missed":
            for name in self.counts:
                self.counts[name] += frame["counts"][name]

    async def until(self, kind: str, timeout: float = PATIENCE, **content: Any) -> dict[str, Any]:  # noqa: ASYNC109
        """The next frame of this kind with this content."""
        async with asyncio.timeout(timeout):
            while True:
                frame = await self.next(timeout)
                if frame["t"] == kind and all(frame.get(name) == value for name, value in content.items()):
                    return frame

    async def watch(self, *pairs: tuple[str, str], filter: dict[str, Any] | None = None) -> None:
        """Subscribe, and wait until the server has confirmed or refused each."""
        await self.send("watch", subscriptions=[list(pair) for pair in pairs], filter=filter)
        wanted = sorted(list(pair) for pair in pairs)
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.until("subscriptions")
                settled = [row[:2] for row in frame["state"] if row[2] or row[3]]
                if settled == wanted:
                    return

    async def messages(self, number: int, timeout: float = PATIENCE) -> list[str]:  # noqa: ASYNC109
        """Payloads of the next `number` messages, in order."""
        payloads: list[str] = []
        async with asyncio.timeout(timeout):
            while len(payloads) < number:
                frame = await self.next(timeout)
                if frame["t"] == "batch":
                    payloads += frame["p"]
        return payloads

    async def is_quiet(self, seconds: float = 0.3) -> bool:
        """Whether no message arrives for a while."""
        try:
            async with asyncio.timeout(seconds):
                while (await self.next())["t"] != "batch":
                    pass
        except TimeoutError:
            return True
        return False


OpenLive = Callable[..., Any]


@pytest.fixture
async def open_live(transactional_db: None) -> AsyncIterator[OpenLive]:
    """`await open_live(user, server="test", headers=..., signed_in=True)` -> LiveSocket."""
    from console.asgi import application

    channel_layers.backends.clear()
    sockets: list[LiveSocket] = []

    async def open_socket(
        user: Any, *, server: str = "test", origin: bytes = ORIGIN, client: Any = None
    ) -> LiveSocket:
        client = client or (await sync_to_async(sign_in)(user) if user is not None else None)
        cookies = (
            "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items()) if client else ""
        )
        scope = {
            "type": "websocket", "path": f"/servers/{server}/live/", "query_string": b"", "subprotocols": [], "client": ["10.1.2.3", 4321],
            "headers": [(b"origin", origin), (b"host", b"localhost"), (b"cookie", cookies.encode())],
        }  # fmt: skip
        socket = LiveSocket(ApplicationCommunicator(application, scope))
        await socket.connect()
        sockets.append(socket)
        return socket

    yield open_socket
    for socket in sockets:
        await socket.leave()
    await asyncio.sleep(0)
