"""Recordings: started, stopped, listed, opened again. Each belongs to the person who made it; admins of the server see all."""

import asyncio
import atexit
import contextlib
import functools
import os
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.errors import Conflict, Denied, NotFound, Problem
from keyspace.pubsub.filters import Filter
from keyspace.pubsub.guard import guard_of
from keyspace.pubsub.hub import Hub, hub_of
from keyspace.pubsub.limits import limit, recordings_directory
from keyspace.pubsub.link import now_ms
from keyspace.pubsub.recorder import FileRecorder
from keyspace.pubsub.recording_file import Header, RecordingFile, read_header, read_messages, write_header
from keyspace.pubsub.subscriptions import Subscription, pairs_of, text_of
from keyspace.pubsub.views import View
from keyspace.servers import Connection, endpoint_of, open_connection

_ID = re.compile(r"[0-9a-z]{16}")


@dataclass
class Running:
    """A recording of this process."""

    recorder: FileRecorder
    hub: Hub
    view: View
    connection: Connection
    recheck: "asyncio.Task[None] | None" = None

    def stop(self, why: str) -> None:
        """In the loop of the hub: everything that had arrived is written."""
        if self.recorder in self.view.recorders:
            self.hub.leave(self.recorder, self.view)
            self.recorder.stop(why)
        if self.recheck is not None:
            self.recheck.cancel()


_running: dict[str, Running] = {}


@performs(Permission.SUBSCRIBE, audited=True)
async def start_recording(connection: Connection, subscriptions: frozenset[Subscription], *, wanted: Filter,
                          seconds: int | None = None, size: int | None = None) -> Header:  # fmt: skip
    """Record what these select, whole, for at most `seconds` and `size` bytes on disk. Raises Conflict with too many running."""
    guard = guard_of(connection.access)
    for subscription in subscriptions:
        guard.check(subscription)
    if not subscriptions:
        raise Conflict("There is nothing to record yet.", "Subscribe to something first.")
    mine = [one for one in _running.values() if one.recorder.header.person == connection.actor.name]
    if len(mine) >= limit("RECORDINGS_PER_PERSON"):
        raise Conflict(f"You have {len(mine)} recordings running already.", "Stop one of them first.")
    header = _new_header(connection, subscriptions, wanted)
    file = await asyncio.to_thread(RecordingFile, recordings_directory(), header)
    hub = hub_of(endpoint_of(connection.server))
    longest, biggest = limit("RECORDING_SECONDS"), limit("RECORDING_BYTES")
    recorder = FileRecorder(
        file,
        seconds=min(seconds or longest, longest),
        size=min(size or biggest, biggest),
        on_end=functools.partial(_tell_end, asyncio.get_running_loop(), header.id),
    )
    running = Running(recorder, hub, hub.join(recorder, (subscriptions, wanted, guard)), connection)
    running.recheck = asyncio.create_task(_recheck(running))
    _running[header.id] = running
    audit.tell(recording=header.id, subscriptions=header.subscriptions)
    return header


def _new_header(connection: Connection, subscriptions: frozenset[Subscription], wanted: Filter) -> Header:
    filtered = asdict(wanted) | {"channel": text_of(wanted.channel)}
    return Header(
        secrets.token_hex(8),
        connection.server.name,
        connection.actor.name,
        pairs_of(subscriptions),
        filtered,
        now_ms(),
        process=os.getpid(),
    )


def _tell_end(loop: asyncio.AbstractEventLoop, number: str) -> None:
    """From the recorder's thread; a loop that is closed has nobody to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_ended, number)


def _ended(number: str) -> None:
    running = _running.pop(number, None)
    if running is not None:
        running.stop("")


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
async def stop_recording(connection: Connection, number: str) -> Header:
    """End a running recording of this process and wait until it is on disk. Raises NotFound, Conflict."""
    header = await asyncio.to_thread(find_recording, connection, number)
    running = _running.get(number)
    audit.tell(recording=number)
    if running is None:
        if header.state == "recording":
            raise Conflict(
                "This recording runs in another process of the console.",
                "Stop it where it was started, or wait for its limit.",
            )
        return header
    running.stop("it was stopped")
    await asyncio.to_thread(running.recorder.join, 10)
    return running.recorder.header


@atexit.register
def _finish_all() -> None:
    """The process ends: what had arrived is written, and the header says why there is no more."""
    for running in list(_running.values()):
        running.recorder.stop("the console stopped")
    for running in list(_running.values()):
        running.recorder.join(5)


@performs(Permission.SUBSCRIBE)
def list_recordings(connection: Connection) -> list[Header]:
    """The recordings of this server that the person may open, newest first."""
    headers = [_read(path) for path in recordings_directory().glob("*.json")]
    return sorted((one for one in headers if one and _is_theirs(connection, one)), key=lambda one: -one.began)


@performs(Permission.SUBSCRIBE)
def get_recording(connection: Connection, number: str) -> Header:
    """Raises NotFound."""
    return find_recording(connection, number)


def find_recording(connection: Connection, number: str) -> Header:
    header = _read(recordings_directory() / f"{number}.json") if _ID.fullmatch(number) else None
    if header is None or not _is_theirs(connection, header):
        raise NotFound("There is no such recording here.", "It may have been deleted.")
    return header


def _is_theirs(connection: Connection, header: Header) -> bool:
    if header.server != connection.server.name:
        return False
    return header.person == connection.actor.name or connection.access.may(Permission.MANAGE_ACCESS)


def _read(path: Path) -> Header | None:
    """One whose process is gone was interrupted; what its header names is on disk."""
    try:
        header = read_header(path)
    except (OSError, ValueError, TypeError):
        return None
    if header.state == "recording" and header.id not in _running and not _is_alive(header.process):
        header.state, header.why, header.ended = (
            "interrupted",
            "the console stopped while it ran",
            header.blocks[-1][1] if header.blocks else header.began,
        )
        write_header(path.parent, header)
    return header


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@performs(Permission.SUBSCRIBE, audited=True)
def open_recording_file(connection: Connection, number: str) -> Path:
    """The file to download. Raises NotFound, and Denied for a person whose grant does not cover all channels."""
    header = find_recording(connection, number)
    if not guard_of(connection.access).open:
        raise Denied(
            "Your grant covers only some channels, a recording may hold others.",
            "Replay it here: it shows what the grant covers.",
        )
    audit.tell(recording=header.id)
    return recordings_directory() / f"{header.id}.jsonl.zst"


@performs(Permission.SUBSCRIBE, audited=True)
def delete_recording(connection: Connection, number: str) -> None:
    """Raises NotFound, and Conflict while it runs."""
    header = find_recording(connection, number)
    if header.state == "recording":
        raise Conflict("This recording is still running.", "Stop it first.")
    audit.tell(recording=header.id)
    for name in (f"{header.id}.json", f"{header.id}.jsonl.zst"):
        (recordings_directory() / name).unlink(missing_ok=True)


def _read_block(header: Header, block: int) -> list[tuple[int, Any]]:
    return list(read_messages(recordings_directory(), header, block=block))


async def read_recording(
    connection: Connection, header: Header, *, since: int
) -> AsyncIterator[list[tuple[int, Any]]]:
    """Blocks of (ms, message or gap) from the first message at or after `since` (ms) on; only what the person's grant covers now."""
    guard = guard_of(connection.access)
    for block in range(len(header.blocks)):
        if block + 1 < len(header.blocks) and header.blocks[block + 1][1] < since:
            continue
        rows = await asyncio.to_thread(_read_block, header, block)
        rows = [
            (at, row)
            for at, row in rows
            if at >= since and (isinstance(row, dict) or guard.open or guard.lets_through(row))
        ]
        if rows:
            yield rows
