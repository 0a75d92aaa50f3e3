"""The keys of a backup, wherever they have to be read from."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import redis

from keyspace.backups import store
from keyspace.backups.archive import ArchiveReader, Block
from keyspace.backups.dumps import Dump, Selection, payload_version, read_dumps, type_of, type_of_payload
from keyspace.backups.opening import reading
from keyspace.backups.releases import readers_of
from keyspace.backups.scratch import NotReadable, start_scratch
from keyspace.backups.surroundings import Libraries, Library, read_libraries
from keyspace.backups.typed import TypedPiece, read_typed
from keyspace.encoding import from_key_id
from keyspace.globs import compile_glob, escape_glob
from keyspace.models import Backup
from keyspace.servers import Client
from keyspace.wire import read_many

Pages = Iterator[tuple[int, list[Dump]]]


@dataclass(frozen=True)
class Wanted:
    """Which keys of a backup: a glob and a type, or exactly these names and what is in these folders; of one db or (None) of all."""

    match: bytes = b"*"
    type: str = ""
    names: tuple[bytes, ...] | None = None
    db: int | None = None
    folders: tuple[bytes, ...] = ()

    @property
    def picked(self) -> bool:
        return self.names is not None or bool(self.folders)

    @property
    def everything(self) -> bool:
        return self.match in (b"", b"*") and not self.type and not self.picked and self.db is None

    def selections(self) -> list[Selection]:
        """To be asked from a server, one after the other; a key may be in two."""
        if not self.picked:
            return [Selection(self.match, self.type)]
        named = [Selection(names=self.names)] if self.names else []
        return named + [Selection(escape_glob(folder) + b"*") for folder in self.folders]


def wanted_of(params: dict[str, Any]) -> Wanted:
    names = params.get("names")
    chosen = tuple(from_key_id(name) for name in names) if names is not None else None
    folders = tuple(from_key_id(folder) for folder in params.get("folders") or ())
    match = from_key_id(params.get("match", "Kg"))
    return Wanted(match, params.get("type", ""), chosen, params.get("db"), folders)


@dataclass
class Source:
    """The keys of a backup as pages, and the typed form of one of them; its function libraries once the pages were read."""

    pages: Pages
    typed: Callable[[int, Dump], Iterable[TypedPiece]]
    holding: Callable[[int, list[Dump]], Client | None]
    """A client of a db that holds these keys (those that a server here reads), until the next of either is asked for."""
    libraries: Libraries = Libraries()


@contextmanager
def source_of(
    backup: Backup, wanted: Wanted, progress: Callable[[int, int | None], None]
) -> Iterator[Source]:
    """An archive is streamed; of an RDB the keys are asked from a server that has loaded it."""
    with ExitStack() as stack:
        name = backup.files[0]["name"]
        if name.endswith(".ksarch"):
            lazily, dumps = LazyScratch(stack), list[bytes]()
            libraries = Libraries(lambda: next(iter(dumps), b""), lambda: lazily.libraries(dumps[0]))
            yield Source(_archive_pages(backup, wanted, dumps), lazily.typed, lazily.holding, libraries)
            return
        client = stack.enter_context(reading(backup, progress))
        yield Source(
            _server_pages(client, wanted),
            lambda db, dump: _typed(client(db), db, dump),
            lambda db, dumps: client(db),
            Libraries(lambda: _dump_functions(client(0)), lambda: read_libraries(client(0))),
        )


def _dump_functions(client: Client) -> bytes:
    try:
        return cast(bytes, client.execute_command("FUNCTION", "DUMP"))
    except redis.ResponseError:
        return b""


def _server_pages(client: Callable[[int], Client], wanted: Wanted) -> Pages:
    dbs = [int(name[2:]) for name in client(0).info("keyspace")]
    for db in dbs if wanted.db is None else [wanted.db]:
        for selection in wanted.selections():
            for page in read_dumps(client(db), selection):
                yield db, page


def _archive_pages(backup: Backup, wanted: Wanted, libraries: list[bytes]) -> Pages:
    def keep(block: Block) -> None:
        if block.kind == b"F":
            libraries.append(block.data)

    for stored in backup.files:
        with store.open_file(stored["name"]) as source:
            for db, page in ArchiveReader(source, size=stored["size"]).pages(keep):
                kept = page if wanted.everything else chosen(wanted, db, page)
                if kept:
                    yield db, kept


def chosen(wanted: Wanted, db: int, page: list[Dump]) -> list[Dump]:
    if wanted.db not in (None, db):
        return []
    if wanted.picked:
        names = set(wanted.names or ())
        return [dump for dump in page if dump.name in names or dump.name.startswith(wanted.folders)]
    glob = compile_glob(wanted.match or b"*")
    return [
        dump for dump in page
        if glob.fullmatch(dump.name)
        and (not wanted.type or type_of_payload(dump.payload) == wanted.type)
    ]  # fmt: skip


def _typed(client: Client, db: int, dump: Dump) -> Iterator[TypedPiece]:
    return read_typed(client, db, dump.name, type_of(client, dump.name), dump.expires)


class LazyScratch:
    """A scratch server, started when the first payload has to be read by a server."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._client: Client | None = None

    def _reader_of(self, payload: bytes) -> Client:
        if self._client is None:
            able = readers_of(payload_version(payload))
            self._client = self._stack.enter_context(start_scratch(frozen=False, among=able)).client(0)
        return self._client

    def typed(self, db: int, dump: Dump) -> Iterable[TypedPiece]:
        try:
            client = self._reader_of(dump.payload)
            client.flushdb()
            client.restore(dump.name, 0, dump.payload)
        except (redis.ResponseError, NotReadable):
            return []
        return _typed(client, db, dump)

    def holding(self, db: int, dumps: list[Dump]) -> Client | None:
        try:
            client = self._reader_of(dumps[0].payload)
            client.flushdb()
        except (redis.ResponseError, NotReadable):
            return None
        read_many(client, [("RESTORE", dump.name, 0, dump.payload, "REPLACE") for dump in dumps])
        return client

    def libraries(self, dump: bytes) -> list[Library] | None:
        """What a dump of function libraries holds; None where no server here reads it."""
        try:
            client = self._reader_of(dump)
            client.execute_command("FUNCTION", "RESTORE", dump, "FLUSH")
        except (redis.ResponseError, NotReadable):
            return None
        return read_libraries(client)
