"""Which releases of Redis and Valkey read which RDB versions, and which of the server binaries here read an export."""

import functools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyspace.backups import store
from keyspace.backups.archive import ArchiveReader
from keyspace.backups.dumps import payload_version
from keyspace.backups.scratch import binaries

Version = tuple[int, int]
_RDB = ((("redis", (7, 4)), 12), (("redis", (7, 2)), 11), (("redis", (7, 0)), 10), (("redis", (0, 0)), 9),
        (("valkey", (9, 0)), 80), (("valkey", (0, 0)), 11))  # fmt: skip
"""From which release of a family on which RDB version is read."""


@dataclass(frozen=True)
class Release:
    """Of a server: `family` is redis or valkey."""

    family: str
    version: Version

    def __str__(self) -> str:
        return f"{self.family.capitalize()} {self.version[0]}.{self.version[1]}"

    def reads(self, rdb: int) -> bool:
        limit = next(
            limit for (family, since), limit in _RDB if family == self.family and self.version >= since
        )
        return rdb <= limit and not (self.family == "valkey" and 11 < rdb < 80)

    def follows(self, other: "Release") -> bool:
        """Whether it understands what such a primary sends."""
        return self.family == other.family and self.version >= other.version


def release_in(info: dict[str, Any]) -> Release:
    """What INFO says."""
    family = "valkey" if "valkey_version" in info else "redis"
    return Release(family, _version(str(info.get("valkey_version") or info.get("redis_version", ""))))


@functools.lru_cache(maxsize=32)
def release_of(binary: Path) -> Release:
    """As it says itself: `Valkey server v=9.1.2 ...`."""
    asked = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
    found = re.search(r"(Redis|Valkey) server v=(\S+)", asked.stdout)
    return Release(found[1].lower(), _version(found[2])) if found else Release("redis", (0, 0))


def _version(text: str) -> Version:
    numbers = [int(part) for part in re.findall(r"\d+", text)[:2]]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)


def readers_of(rdb: int) -> list[Path]:
    """The binaries here that read payloads of this version; all of them where none does, so that they say why."""
    if len(found := binaries()) == 1:
        return found
    return [each for each in found if release_of(each).reads(rdb)] or found


def readers_of_export(name: str) -> list[Path]:
    """The binaries for an export in the store, by its first payload. Raises Damaged."""
    if name.endswith(".ksarch") and len(binaries()) > 1:
        with store.open_file(name) as source:
            payload = _first_payload(ArchiveReader(source))
            return readers_of(payload_version(payload)) if payload else binaries()
    return binaries()


def _first_payload(reader: ArchiveReader) -> bytes:
    """Of a key; of a library where there is no key."""
    libraries: list[bytes] = []
    pages = reader.pages(lambda block: libraries.append(block.data) if block.kind == b"F" else None)
    page = next((page for _, page in pages if page), None)
    return page[0].payload if page else b"".join(libraries[:1])
