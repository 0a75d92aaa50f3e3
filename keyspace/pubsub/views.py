"""A view: one set of subscriptions, one filter and one guard, whoever looks. Its frames are encoded once for all its viewers."""

import time
from collections import Counter
from operator import itemgetter
from typing import Protocol

from keyspace.pubsub.filters import Filter, Message
from keyspace.pubsub.frames import Keep, Runs, batch_frame
from keyspace.pubsub.guard import Guard
from keyspace.pubsub.subscriptions import Kind, Subscription
from keyspace.pubsub.viewers import Counts, Frame, Viewer, control_frame

Totals = dict[Subscription, tuple[int, int]]  # messages and bytes since the subscription began
ViewKey = tuple[frozenset[Subscription], Filter, Guard]
TOO_SLOW = "the filter had no time for them"
TOP_CHANNELS = 8  # that a tick names; the others are summed


_CHANNEL = itemgetter(-2)


class Recorder(Protocol):
    """Takes every matching message of a view, whole, whatever the viewers get."""

    def take(self, runs: Runs) -> None: ...

    def gap(self, what: str, *, since: int, until: int | None = None, messages: int = 0) -> None: ...


class View:
    """Fed by the hub through `inbox` and `mark`, emptied by `flush`."""

    def __init__(self, key: ViewKey, keep: Keep) -> None:
        self.key = key
        self.subscriptions, self.filter, self.guard = key
        self.viewers: set[Viewer] = set()
        self.recorders: set[Recorder] = set()
        self.inbox: list[Message] = []
        self._marks: list[tuple[int, int]] = []  # (ms, length of the inbox then)
        self._keep = keep
        self._by_channel: Counter[bytes] = Counter()
        self._guarded = not self.guard.open
        self.cost = 1e-6  # seconds that encoding a message took lately
        self.demand = 0.0  # seconds that encoding all of the last flush would have taken
        self.wanted = 0  # messages of the last flush that viewers were to see

    @property
    def idle(self) -> bool:
        return not self.viewers and not self.recorders

    def mark(self, at: int) -> None:
        """What came into the inbox since the last mark arrived at `at` (ms)."""
        if len(self.inbox) > (self._marks[-1][1] if self._marks else 0):
            self._marks.append((at, len(self.inbox)))

    def flush(self, *, seconds: float) -> None:
        """Turn the inbox into a frame that should not cost more than `seconds`; what does not fit is dropped and counted."""
        self.demand, self.wanted = 0.0, 0
        if not self._marks:
            return
        runs, counts = self._select(time.perf_counter() + seconds)
        for recorder in self.recorders:
            recorder.take(runs)
            if counts.slow_filter:
                recorder.gap(TOO_SLOW, since=runs[0][0], until=runs[-1][0], messages=counts.slow_filter)
        if self.viewers and counts.received:
            self.demand, self.wanted = counts.matched * self.cost, counts.matched
            self._shed(runs, counts, self.quota(seconds, self.cost))
            self._show(runs, counts)

    def _show(self, runs: Runs, counts: Counts) -> None:
        began = time.thread_time()
        frame = batch_frame(runs, counts, self._keep)
        for viewer in self.viewers:
            viewer.offer(frame)
        if counts.shown > 50:
            self.cost = 0.7 * self.cost + 0.3 * (time.thread_time() - began) / counts.shown

    def _select(self, deadline: float) -> tuple[Runs, Counts]:
        """Empty the inbox through guard and filter, keeping the order; what the filter has no time for is counted."""
        messages, marks = self.inbox[:], self._marks
        self.inbox.clear()
        self._marks = []
        counts, runs, start = Counts(), [], 0
        for at, stop in marks:
            part = messages[start:stop]
            start = stop
            if self._guarded:
                part = [message for message in part if self.guard.lets_through(message)]
            counts.received += len(part)
            self._by_channel.update(map(_CHANNEL, part))
            if self.filter:
                part, slow = self.filter.select(part) if time.perf_counter() < deadline else ([], len(part))
                counts.slow_filter += slow
            counts.matched += len(part)
            runs.append((at, part))
        counts.shown = counts.matched
        return runs, counts

    @staticmethod
    def quota(seconds: float, cost: float) -> int:
        """How many messages may be encoded now."""
        return max(100, int(seconds / cost))

    @staticmethod
    def _shed(runs: Runs, counts: Counts, quota: int) -> None:
        for place, (at, part) in enumerate(runs):
            if len(part) > quota:
                runs[place] = (at, part[:quota])
            quota -= min(quota, len(part))
        counts.shown = sum(len(part) for _, part in runs)
        counts.buffer = counts.matched - counts.shown

    def tick(self, at: int, totals: Totals) -> None:
        """Once a second: messages by channel since the last tick, totals by subscription, and that the stream is alive."""
        top = self._by_channel.most_common(TOP_CHANNELS)
        rest = self._by_channel.total() - sum(count for _, count in top)
        by = [[channel.decode("utf-8", "surrogateescape"), count] for channel, count in top]
        others = len(self._by_channel) - len(top)
        self._by_channel = Counter()
        self.tell(
            control_frame(
                "tick", droppable=True, at=at, by=by, rest=rest, others=others, subs=self._told(totals)
            )
        )

    def _told(self, totals: Totals) -> list[list[object]]:
        """[kind, name, messages, bytes] a subscription; a pattern's not where the guard leaves out some of what it matched."""
        return [
            [*one.pair, *totals[one]]
            for one in self.subscriptions
            if one in totals and not (self._guarded and one.kind is Kind.PATTERN)
        ]

    def tell(self, frame: Frame) -> None:
        for viewer in self.viewers:
            viewer.offer(frame)

    def gap(self, what: str, *, since: int, until: int | None = None) -> None:
        """Mark in the stream that the server could not be heard since `since` (ms); a second time with `until` when it is back."""
        self.flush(seconds=1.0)
        counts = Counts(gaps=1) if until is None else None
        frame = control_frame("gap", what=what, since=since, until=until)
        for viewer in self.viewers:
            viewer.offer(Frame(frame.data))
            if counts:
                viewer.counts.add(counts)
        for recorder in self.recorders:
            recorder.gap(what, since=since, until=until)
