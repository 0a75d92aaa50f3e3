"""Filling a scratch server from an export: an archive by RESTORE, a readable one by the commands of its types, many keys at once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import redis

from keyspace.backups import store
from keyspace.backups.archive import ArchiveReader, Block
from keyspace.backups.dumps import Dump
from keyspace.backups.rdb import Damaged
from keyspace.backups.readable import read_readable
from keyspace.backups.restore import Policy, restore_pages
from keyspace.backups.restore_typed import write_typed
from keyspace.backups.scratch import DATABASES, NotReadable, Scratch, watch_memory
from keyspace.backups.surroundings import EMPTY_DUMP, Around, Library, lacks_of, library_names
from keyspace.backups.typed import TypedPiece
from keyspace.backups.typed_writing import write_commands
from keyspace.encoding import to_text
from keyspace.servers import Client
from keyspace.wire import Command, open_wire, pack

_BATCH, _BATCH_BYTES = 250, 1024 * 1024
_MOST_TOLD = 3
_PLAIN = ("string", "list", "set", "zset", "hash")
_UNDERSTOOD = (ValueError, TypeError, KeyError, IndexError, AttributeError)
Progress = Callable[[int, int | None], None]


@dataclass
class Loaded:
    """What an export said of itself as it was loaded: keys by db, of which `twice` came a second time (see `dumps.read_dumps`), and
    how many values the server refused. `libraries` are the function libraries it holds, `foreign` says which the server did not take, and
    `lacks` what its maker was not shown."""

    keys: dict[int, int]
    twice: int = 0
    refused: int = 0
    libraries: int = 0
    foreign: list[str] = field(default_factory=list)
    lacks: str = ""

    def refuse(self, library: str, error: Exception) -> None:
        if len(self.foreign) < _MOST_TOLD:
            self.foreign.append(f"{library[:80]}: {error}"[:200])


def load_export(scratch: Scratch, stored: dict[str, Any], progress: Progress) -> Loaded:
    """Fill an empty scratch server from an archive or a readable export. Raises Damaged, NotReadable."""

    def tell(done: int) -> None:
        watch_memory(scratch.process.pid)
        progress(done, None)

    with store.open_file(stored["name"]) as source:
        if stored["name"].endswith(".jsonl.zst"):
            return _load_readable(scratch, source, tell)
        return _load_archive(scratch, ArchiveReader(source, size=stored["size"]), tell)


def _load_archive(scratch: Scratch, reader: ArchiveReader, tell: Callable[[int], None]) -> Loaded:
    loaded, client = Loaded(reader.counts.keys, lacks=lacks_of(reader.header)), scratch.client()

    def load_libraries(block: Block) -> None:
        if block.kind != b"F" or len(block.data) <= EMPTY_DUMP:
            return
        try:
            client.execute_command("FUNCTION", "RESTORE", block.data, "REPLACE")
        except redis.ResponseError as error:
            loaded.refuse("the dump of them", error)
        tell(reader.position)

    report = restore_pages(
        scratch.client, _known_dbs(reader.pages(load_libraries)), Policy("skip", "original", expired=True, keep_past=True),
        progress=lambda report: tell(reader.position),
    )  # fmt: skip
    loaded.twice, loaded.refused, loaded.libraries = report.skipped, report.failed, len(library_names(client))
    return loaded


def _known_dbs(pages: Iterable[tuple[int, list[Dump]]]) -> Iterator[tuple[int, list[Dump]]]:
    for db, page in pages:
        _check_db(db)
        yield db, page


def _check_db(db: int) -> None:
    if not 0 <= db < DATABASES:
        raise NotReadable(f"it has a db {db}, and a server here has {DATABASES}")


def _load_readable(scratch: Scratch, source: Any, tell: Callable[[int], None]) -> Loaded:
    loaded = Loaded({})
    batch = _Batch(scratch, loaded)

    def load_library(library: Library) -> None:
        _load_library(scratch.client(), library, loaded)
        tell(sum(loaded.keys.values()))

    around = Around(load_library)
    for first, pieces in read_readable(source, around):
        _check_db(first.db)
        loaded.keys[first.db] = loaded.keys.get(first.db, 0) + 1
        if first.part == 0 and first.last and first.type in _PLAIN:
            if not batch.takes(first.db):
                batch.write()
                tell(sum(loaded.keys.values()))
            batch.add(first)
            continue
        batch.write()
        _load_large(scratch, first, pieces, loaded)
        tell(sum(loaded.keys.values()))
    batch.write()
    loaded.libraries, loaded.lacks = len(around.names), lacks_of(around.header)
    return loaded


def _load_library(client: Client, library: Library, loaded: Loaded) -> None:
    """Another shard may have brought one of this name."""
    try:
        name: bytes = client.execute_command("FUNCTION", "LOAD", "REPLACE", library.code)
    except redis.ResponseError as error:
        loaded.refuse(library.name, error)
        return
    if name != library.name.encode():
        raise Damaged(f"the function library {library.name[:80]} has another name in its code")


def _load_large(scratch: Scratch, first: TypedPiece, pieces: Iterable[TypedPiece], loaded: Loaded) -> None:
    with open_wire(scratch.client(first.db)) as wire:
        loaded.twice += wire.call("EXISTS", first.name)
        try:
            problem = write_typed(wire, first.name, pieces, first.expires or 0, replace=True)
        except _UNDERSTOOD as error:
            raise _not_understood(first, error) from None
        loaded.refused += problem is not None


def _not_understood(piece: TypedPiece, error: Exception) -> Damaged:
    return Damaged(f"the key {to_text(piece.name)[:80]} has a value that is not understood ({error})")


class _Batch:
    """Keys of one db that are whole in one piece each, written in one go."""

    def __init__(self, scratch: Scratch, loaded: Loaded) -> None:
        self._scratch, self._loaded = scratch, loaded
        self._db = 0
        self._packed: list[bytes] = []
        self._replies: list[int] = []
        self._size = 0

    def takes(self, db: int) -> bool:
        return not self._replies or (
            db == self._db and len(self._replies) < _BATCH and self._size < _BATCH_BYTES
        )

    def add(self, piece: TypedPiece) -> None:
        self._db = piece.db
        commands: list[Command] = [("EXISTS", piece.name), ("UNLINK", piece.name)]
        try:
            commands += write_commands(piece.name, piece.type, piece.piece)
            commands += [("PEXPIREAT", piece.name, piece.expires)] if piece.expires else []
            packed = [pack(command) for command in commands]
        except _UNDERSTOOD as error:
            raise _not_understood(piece, error) from None
        self._packed += packed
        self._replies.append(len(commands))
        self._size += sum(map(len, packed))

    def write(self) -> None:
        """Send what was added, and count the answers."""
        if not self._replies:
            return
        with open_wire(self._scratch.client(self._db)) as wire:
            replies = iter(wire.exchange(b"".join(self._packed), sum(self._replies)))
        for count in self._replies:
            there, *written = [next(replies) for _ in range(count)]
            self._loaded.twice += there == 1
            self._loaded.refused += any(isinstance(reply, Exception) for reply in written)
        self._packed, self._replies, self._size = [], [], 0
