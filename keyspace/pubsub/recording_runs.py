"""Recordings that run: started in the process of the page that asked, stopped from any process of the console."""

import asyncio
import atexit
import contextlib
import functools
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from asgiref.sync import sync_to_async

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.errors import Conflict, Problem
from keyspace.pubsub.filters import Filter
from keyspace.pubsub.guard import guard_of
from keyspace.pubsub.hub import Hub, hub_of
from keyspace.pubsub.limits import limit, recordings_directory
from keyspace.pubsub.link import now_ms
from keyspace.pubsub.recorder import FileRecorder
from keyspace.pubsub.recording_file import Header, RecordingFile
from keyspace.pubsub.recordings import find_recording
from keyspace.pubsub.subscriptions import Subscription, pairs_of, text_of
from keyspace.pubsub.uses import RECORDING, Use, ask_to_stop, keeper
from keyspace.pubsub.views import View
from keyspace.servers import Connection, endpoint_of, open_connection

STOPPED = "it was stopped"
STOPS_WITHIN = 6.0  # seconds: its process looks once a second, and then writes what had arrived
Told = Callable[[Header], None]


@dataclass
class Running:
    """A recording of this process."""

    recorder: FileRecorder
    hub: Hub
    view: View
    connection: Connection
    on_end: Told | None
    loop: asyncio.AbstractEventLoop
    recheck: "asyncio.Task[None] | None" = None

    def stop(self, why: str) -> None:
        """In the loop of the hub: everything that had arrived is written."""
        if self.recorder in self.view.recorders:
            self.hub.leave(self.recorder, self.view)
            self.recorder.stop(why)
        if self.recheck is not None:
            self.recheck.cancel()


_running: dict[str, Running] = {}
_endings: set["asyncio.Task[None]"] = set()


@performs(Permission.SUBSCRIBE, audited=True)
async def start_recording(connection: Connection, subscriptions: frozenset[Subscription], *, wanted: Filter,
                          seconds: int | None = None, size: int | None = None, on_end: Told | None = None) -> Header:  # fmt: skip
    """Record what these select, whole, for at most `seconds` and `size` bytes on disk. `on_end` is called in the loop, once.

    Raises Conflict without subscriptions, TooMany with too many running.
    """
    guard = guard_of(connection.access)
    for subscription in subscriptions:
        guard.check(subscription)
    if not subscriptions:
        raise Conflict("There is nothing to record yet.", "Subscribe to something first.")
    header = _new_header(connection, subscriptions, wanted)
    use = Use(header.id, RECORDING, connection.actor.user.pk, functools.partial(_stop, header.id))
    await keeper().begin(use, most=limit("RECORDINGS_PER_PERSON"))
    try:
        recorder = await asyncio.to_thread(_open_recorder, header, seconds, size, asyncio.get_running_loop())
    except OSError:
        await keeper().end(header.id)
        raise
    hub = hub_of(endpoint_of(connection.server))
    view = hub.join(recorder, (subscriptions, wanted, guard))
    running = _running[header.id] = Running(
        recorder, hub, view, connection, on_end, asyncio.get_running_loop()
    )
    running.recheck = asyncio.create_task(_recheck(running))
    audit.tell(recording=header.id, subscriptions=header.subscriptions)
    return header


def _open_recorder(
    header: Header, seconds: int | None, size: int | None, loop: asyncio.AbstractEventLoop
) -> FileRecorder:
    longest, biggest = limit("RECORDING_SECONDS"), limit("RECORDING_BYTES")
    return FileRecorder(
        RecordingFile(recordings_directory(), header),
        seconds=min(seconds or longest, longest),
        size=min(size or biggest, biggest),
        on_end=functools.partial(_tell_end, loop, header.id),
    )


def _new_header(connection: Connection, subscriptions: frozenset[Subscription], wanted: Filter) -> Header:
    filtered = asdict(wanted) | {"channel": text_of(wanted.channel)}
    return Header(
        secrets.token_hex(8),
        connection.server.name,
        connection.actor.name,
        pairs_of(subscriptions),
        filtered,
        now_ms(),
    )


def _stop(number: str, why: str) -> None:
    if number in _running:
        _running[number].stop(why)


def _tell_end(loop: asyncio.AbstractEventLoop, number: str) -> None:
    """From the recorder's thread; a loop that is closed has nobody to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_ended, number)


def _ended(number: str) -> None:
    running = _running.pop(number, None)
    if running is None:
        return
    running.stop("")
    ending = asyncio.create_task(keeper().end(number))
    _endings.add(ending)
    ending.add_done_callback(_endings.discard)
    if running.on_end is not None:
        running.on_end(running.recorder.header)


async def _recheck(running: Running) -> None:
    """A recording ends with the right to watch, whether or not a page is open."""
    connection = running.connection
    while True:
        await asyncio.sleep(limit("RECHECK_SECONDS"))
        try:
            now = await sync_to_async(open_connection)(connection.actor, connection.server.name)
        except Problem as problem:
            return running.stop(problem.sentence)
        if guard_of(now.access) != running.view.guard:
            return running.stop("the grant of the person who made it was changed")


@performs(Permission.SUBSCRIBE, audited=True)
def stop_recording(connection: Connection, number: str) -> Header:
    """End a running recording, in whichever process it runs, and wait until it is on disk: up to STOPS_WITHIN seconds, off the loop.

    Raises NotFound, and Conflict when its process does not answer.
    """
    header = find_recording(connection, number)
    audit.tell(recording=number)
    running = _running.get(number)
    if running is not None:
        running.loop.call_soon_threadsafe(running.stop, STOPPED)
    elif header.state == "recording":
        ask_to_stop(number, STOPPED)
    until = time.monotonic() + STOPS_WITHIN
    while header.state == "recording":
        if time.monotonic() > until:
            raise Conflict(
                "The process of the console that records does not answer.", "Try again in half a minute."
            )
        time.sleep(0.1)
        header = find_recording(connection, number)
    return header


@atexit.register
def _finish_all() -> None:
    """The process ends: what had arrived is written, and the header says why there is no more."""
    for running in list(_running.values()):
        running.recorder.stop("the console stopped")
    for running in list(_running.values()):
        running.recorder.join(5)
