"""Recordings on disk: listed, opened again, deleted. Each belongs to the person who made it; admins of the server see all."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.errors import Conflict, Denied, NotFound
from keyspace.pubsub.guard import guard_of
from keyspace.pubsub.limits import recordings_directory
from keyspace.pubsub.recording_file import Header, read_header, read_messages, write_header
from keyspace.pubsub.uses import is_alive
from keyspace.servers import Connection

_ID = re.compile(r"[0-9a-z]{16}")


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
    header = _parse(path)
    if header is None or header.state != "recording" or is_alive(header.id):
        return header
    header = _parse(path)  # it may have ended between the two looks
    if header is not None and header.state == "recording":
        header.state, header.why = "interrupted", "the console stopped while it ran"
        header.ended = header.blocks[-1][1] if header.blocks else header.began
        write_header(path.parent, header)
    return header


def _parse(path: Path) -> Header | None:
    try:
        return read_header(path)
    except (OSError, ValueError, TypeError):
        return None


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
    for path in recordings_directory().glob(f"{header.id}.*"):
        path.unlink(missing_ok=True)


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
