"""A recording on disk: JSON Lines in zstd, and beside it what is needed to list it, seek in it and know where it has gaps.

``<id>.jsonl.zst`` is a row of zstd frames, one a block of lines (any zstd reads the whole). A line is
``{"at": ms, "channel": text, "payload": text}``, with ``"via": [kind, name]`` for what came by a pattern or a
shard channel, ``channel_base64`` or ``payload_base64`` where the bytes are no UTF-8; or
``{"gap": why, "since": ms, "until": ms or null, "messages": n or null}``. ``<id>.json`` is a Header.
"""

import base64
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import zstandard

from keyspace.pubsub.filters import Message
from keyspace.pubsub.frames import Runs

LEVEL = 3
MAX_BLOCK = 256 * 1024 * 1024  # bytes a block may unpack to
_VIA = {b"pmessage": "pattern", b"smessage": "shard"}


@dataclass
class Header:
    """`state`: recording, finished or interrupted; `why` it ended. Times in ms.

    `blocks` are [offset in the file, ms of the first message, messages] each.
    """

    id: str
    server: str
    person: str
    subscriptions: list[list[str]]
    filter: dict[str, Any]
    began: int
    ended: int | None = None
    state: str = "recording"
    why: str = ""
    messages: int = 0
    size: int = 0  # bytes on disk
    raw: int = 0  # bytes unpacked
    missed: int = 0  # messages known to be missing
    gaps: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[list[int]] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.gaps


class RecordingFile:
    """Appends blocks; every block is on disk before the header names it."""

    def __init__(self, directory: Path, header: Header) -> None:
        self.header = header
        self.path = directory / f"{header.id}.jsonl.zst"
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._zstd = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        self.save()

    def add(self, runs: Runs) -> None:
        """One block of these messages."""
        lines: list[str] = []
        channels: dict[bytes, str] = {}
        count = 0
        for at, messages in runs:
            count += len(messages)
            lines += [_line(at, message, channels) for message in messages]
        if count:
            self.header.messages += count
            self._write("".join(lines), next(at for at, messages in runs if messages), count)

    def add_gap(self, gap: dict[str, Any]) -> None:
        self.header.gaps.append(gap)
        self.header.missed += gap["messages"] or 0
        self._write(json.dumps(gap) + "\n", gap["since"], 0)

    def _write(self, text: str, at: int, count: int) -> None:
        raw = text.encode()
        packed = self._zstd.compress(raw)
        self.header.blocks.append([self.header.size, at, count])
        self._file.write(packed)
        self.header.size += len(packed)
        self.header.raw += len(raw)

    def save(self) -> None:
        """Make the header say what the file holds now, or leave the older header."""
        self._file.flush()
        write_header(self.path.parent, self.header)

    def close(self) -> None:
        self.save()
        self._file.close()


def _line(at: int, message: Message, channels: dict[bytes, str]) -> str:
    start = channels.get(message[-2])
    if start is None:
        start = channels[message[-2]] = _part("channel", message[-2])
    via = _VIA.get(message[0])
    by = f',"via":["{via}",{encode_basestring(message[1].decode("utf-8", "replace"))}]' if via else ""
    return f'{{"at":{at},{start},{_part("payload", message[-1])}{by}}}\n'


def _part(name: str, data: bytes) -> str:
    try:
        return f'"{name}":{encode_basestring(data.decode())}'
    except UnicodeDecodeError:
        return f'"{name}_base64":"{base64.b64encode(data).decode()}"'


def write_header(directory: Path, header: Header) -> None:
    """Whole or not at all; two at once, in one process or several, do not meet in one draft."""
    draft = directory / f"{header.id}.json.{os.getpid()}-{threading.get_ident()}"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(header), file)
    draft.replace(directory / f"{header.id}.json")


def read_header(path: Path) -> Header:
    """Raises OSError, ValueError, TypeError for what is no header; what another version of the console wrote besides is left out."""
    facts = json.loads(path.read_text())
    return Header(**{name: value for name, value in facts.items() if name in Header.__dataclass_fields__})


def read_messages(directory: Path, header: Header, *, block: int) -> Iterator[tuple[int, Any]]:
    """(ms, message as the hub had it) of one block; a gap comes as (ms, dict)."""
    start = header.blocks[block][0]
    end = header.blocks[block + 1][0] if block + 1 < len(header.blocks) else header.size
    with (directory / f"{header.id}.jsonl.zst").open("rb") as file:
        file.seek(start)
        packed = file.read(end - start)
    raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=MAX_BLOCK)
    for line in raw.splitlines():
        yield _message(json.loads(line))


def _message(line: dict[str, Any]) -> tuple[int, Any]:
    if "gap" in line:
        return line["since"], line
    channel, payload = _bytes(line, "channel"), _bytes(line, "payload")
    kind, name = line.get("via", ("", ""))
    if kind == "pattern":
        return line["at"], [b"pmessage", name.encode(), channel, payload]
    return line["at"], [b"smessage" if kind == "shard" else b"message", channel, payload]


def _bytes(line: dict[str, Any], name: str) -> bytes:
    return line[name].encode() if name in line else base64.b64decode(line[name + "_base64"])
