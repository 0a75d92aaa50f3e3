"""Which primaries of a cluster have keys: asked again and again while somebody wants the events of all of them."""

import asyncio
import contextlib
from collections.abc import Callable

from keyspace.pubsub.link import now_ms
from keyspace.pubsub.nodes import Primary, find_primaries
from keyspace.servers import Endpoint

ASK_EVERY = 2.0  # seconds
ASK_AGAIN = 0.3  # seconds, after a connection was lost or nobody answered


class Topology:
    """Calls `on_answer` with when (ms) it last knew, None the first time; `primaries` is empty where there is no cluster."""

    def __init__(self, endpoint: Endpoint, on_answer: Callable[[int | None], None]) -> None:
        self.endpoint, self.on_answer = endpoint, on_answer
        self.primaries: tuple[Primary, ...] = ()
        self.known_at: int | None = None
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._keep_asking(), name=f"live topology {endpoint.address}")

    def ask_now(self) -> None:
        """Something was lost: its keys may be served elsewhere soon."""
        self._wake.set()

    def close(self) -> None:
        self._task.cancel()

    async def _keep_asking(self) -> None:
        while True:
            asked_at = now_ms()
            known = [primary.endpoint for primary in self.primaries]
            found = await asyncio.to_thread(find_primaries, self.endpoint, known)
            if found is not None:
                self.primaries, before, self.known_at = found, self.known_at, asked_at
                self.on_answer(before)
                if not found:
                    return
            pause = ASK_EVERY if found and not self._wake.is_set() else ASK_AGAIN
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
                await asyncio.sleep(ASK_AGAIN)
