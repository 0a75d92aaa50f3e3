"""The hub of a server in this process: one connection whatever the number of viewers, frames made once for all of them."""

import asyncio
import functools
import gc
import sys
import time
import weakref

from keyspace.pubsub.kept import Kept
from keyspace.pubsub.link import now_ms
from keyspace.pubsub.pace import BEHIND, Pace
from keyspace.pubsub.routes import Routes
from keyspace.pubsub.viewers import Viewer
from keyspace.pubsub.views import Recorder, View, ViewKey
from keyspace.servers import Endpoint

FLUSH_EVERY = 0.06  # seconds
FLUSH_AT = 12 * 1024 * 1024  # bytes that came since the last flush
PROBE_AT = 1024 * 1024  # bytes between two flushes, from which on the links are probed
TICK_EVERY = 1.0  # seconds
SWITCH_EVERY = 0.001  # seconds after which a page's thread hands the interpreter back to the loop that reads
YOUNG = 50_000  # objects made and not yet gone, at which the collector looks at the young ones
LINGER = 0.5  # seconds that an unused connection stays


class Hub:
    """Viewers and recorders join with what they want to see, and leave. Runs in the event loop that made it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.kept = Kept()
        self.views: dict[ViewKey, View] = {}
        self.routes = Routes(endpoint, self._arrived)
        self._bytes = 0
        self._pace = Pace()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.TimerHandle | None = None

    def join(self, who: Viewer | Recorder, key: ViewKey) -> View:
        """From the next message on `who` gets what `key` selects."""
        view = self.views.get(key)
        if view is None:
            view = self.views[key] = View(key, self.kept.keep)
            self.routes.add(view)
        view.flush(seconds=1.0)
        if isinstance(who, Viewer):
            view.viewers.add(who)
            who.offer(self.routes.state_frame(view))
        else:
            view.recorders.add(who)
        self._start()
        return view

    def leave(self, who: Viewer | Recorder, view: View) -> None:
        """What had arrived until now is still delivered."""
        view.flush(seconds=1.0)
        view.viewers.discard(who)
        view.recorders.discard(who)
        if view.idle and self.views.get(view.key) is view:
            del self.views[view.key]
            self.routes.remove(view)
        if not self.views and self._closing is None:
            self._closing = asyncio.get_running_loop().call_later(LINGER, self._close_if_unused)

    def _arrived(self, size: int) -> None:
        at = now_ms()
        for view in self.views.values():
            view.mark(at)
        self._bytes += size
        if self._bytes > FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Give every view its part of the time there is; what they do not use is saved up for later."""
        seconds, self._bytes = self._pace.earn(), 0
        for view in self.views.values():
            view.flush(seconds=max(0.001, seconds / len(self.views)))
        views = self.views.values()
        self._pace.spend(sum(view.demand for view in views), sum(view.wanted for view in views))

    def _start(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._task is None:
            make_way()
            self._pace = Pace()  # the last stream's says nothing of the next
            self._task = asyncio.create_task(self._beat(), name=f"live hub {self.endpoint.address}")

    async def _beat(self) -> None:
        ticked = time.monotonic()
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            if self._bytes > PROBE_AT or self.routes.delay > BEHIND:  # also to learn that a delay is over
                self.routes.probe()
            self._pace.adapt(self.routes.delay, every=FLUSH_EVERY)
            self.flush()
            if time.monotonic() - ticked >= TICK_EVERY:
                ticked = time.monotonic()
                self._tick()

    def _tick(self) -> None:
        at, totals = now_ms(), self.routes.totals()
        for view in self.views.values():
            view.tick(at, totals)

    def _close_if_unused(self) -> None:
        self._closing = None
        if not self.views:
            self.close()

    def close(self) -> None:
        self.routes.close()
        if self._task is not None:
            self._task.cancel()
            self._task = None


@functools.cache
def make_way() -> None:
    """Once a process: streams and pages share one interpreter, and neither may stop the other for long.

    A hundred thousand messages a second are as many lists, which are gone by the next flush. The collector takes them for garbage
    in the making and walks everything there is, again and again, for 50 ms and more at a time: so what the process has loaded is
    put aside, and a collection waits until more lists live at once than a flush leaves behind.
    """
    sys.setswitchinterval(SWITCH_EVERY)
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 20)


_hubs: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Endpoint, Hub]]" = (
    weakref.WeakKeyDictionary()
)


def hub_of(endpoint: Endpoint) -> Hub:
    """The hub of this process (of the running loop) for a server."""
    hubs = _hubs.setdefault(asyncio.get_running_loop(), {})
    hub = hubs.get(endpoint)
    if hub is None:
        hub = hubs[endpoint] = Hub(endpoint)
    return hub
