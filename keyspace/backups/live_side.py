"""The live side of a comparison: a server with its dbs, or every shard of a cluster, read from where it is written."""

from collections.abc import Iterator
from contextlib import ExitStack

from keyspace.backups.dumps import Dump, read_dumps
from keyspace.backups.judging import Clients, hold_keys
from keyspace.backups.sources import dbs_of, find_nodes, info_of
from keyspace.models import Server
from keyspace.servers import Client, client_of, endpoint_of, open_client
from keyspace.wire import read_many

AT_ONCE = 100


class LiveSide:
    """`entry` is a client of the server itself; what is opened beside it goes with `stack`."""

    def __init__(self, stack: ExitStack, server: Server) -> None:
        self._stack, self._server = stack, server
        self.entry = client_of(server, db=0)
        self._info = info_of(self.entry)
        self._nodes: list[Client] = []
        if self._info.get("cluster_enabled"):
            nodes = find_nodes(self.entry, endpoint_of(server), replicas=False)
            self._nodes = [stack.enter_context(open_client(node.endpoint)) for node in nodes]

    def pages(self) -> Iterator[tuple[int, list[Dump]]]:
        """(db, keys) of all of it."""
        for node in self._nodes:
            for page in read_dumps(node):
                yield 0, page
        if not self._nodes:
            for db in dbs_of(self.entry, self._info):
                for page in read_dumps(client_of(self._server, db=db)):
                    yield db, page

    def holding(self, names: tuple[bytes, ...]) -> Clients | None:
        """db -> a client that can be asked for these keys: of the server; of a cluster a scratch server that gets just them."""
        if not self._nodes:
            return lambda db: client_of(self._server, db=db)
        return hold_keys(self._stack, self._dumps(names))

    def _dumps(self, names: tuple[bytes, ...]) -> Iterator[tuple[int, list[Dump]]]:
        """Every node is asked for all of them: one has a key, the others answer that it is elsewhere."""
        for node in self._nodes:
            for at in range(0, len(names), AT_ONCE):
                asked = names[at : at + AT_ONCE]
                payloads = read_many(node, [("DUMP", name) for name in asked])
                found = zip(asked, payloads, strict=True)
                yield 0, [Dump(name, None, data) for name, data in found if isinstance(data, bytes)]
