"""What a bulk copy wrote over, put back: each key whose copy still is as it was left, and no other."""

from typing import Any

import zstandard

from keyspace.backups.restore_target import Target
from keyspace.bulk.tally import Tally
from keyspace.bulk.watched import execute, in_halves
from keyspace.images import digest_of
from keyspace.models import TrashEntry
from keyspace.servers import Connection
from keyspace.wire import Command, Wire, open_wire

CHANGED = "it was written since the copy; the trash still has the earlier value"
GONE = "it was deleted since the copy; the trash still has the earlier value"


class Over:
    """Onto one server, or each key's shard of a cluster."""

    def __init__(self, connection: Connection) -> None:
        self._target, self._db = Target(connection), connection.db

    def put(self, entries: list[TrashEntry], tally: Tally) -> list[TrashEntry]:
        """Those that are back."""
        back: list[TrashEntry] = []
        for part in [[each] for each in entries] if self._target.shards else [entries]:
            with open_wire(self._target.at(self._db, bytes(part[0].name))) as wire:
                in_halves(
                    part,
                    lambda some, wire=wire: self._try(wire, some, back, tally),  # type: ignore[misc]
                    lambda one: tally.skip([bytes(one.name)], CHANGED),
                )
        return back

    def _try(self, wire: Wire, entries: list[TrashEntry], back: list[TrashEntry], tally: Tally) -> bool:
        here = Tally()
        wire.call("WATCH", *(bytes(entry.name) for entry in entries))
        commands, done = self._decide(entries, _dumps(wire, entries), here)
        if commands:
            replies = execute(wire, [command for _, command in commands])
            if replies is None:
                return False
            for (entry, _), reply in zip(commands, replies, strict=True):
                if isinstance(reply, Exception):
                    here.fail([bytes(entry.name)], str(reply)[:200])
                else:
                    done.append(entry)
        else:
            wire.call("UNWATCH")
        back += done
        tally.add(here)
        return True

    def _decide(
        self, entries: list[TrashEntry], dumps: list[bytes | None], tally: Tally
    ) -> tuple[list[tuple[TrashEntry, Command]], list[TrashEntry]]:
        """(what to send for which entry, those that are back already: by an earlier try whose answer was lost)."""
        commands: list[tuple[TrashEntry, Command]] = []
        done: list[TrashEntry] = []
        for entry, now in zip(entries, dumps, strict=True):
            name, payload = bytes(entry.name), payload_of(entry)
            if now is None:
                tally.skip([name], GONE)
            elif digest_of(now) == entry.left:
                commands.append(
                    (entry, ("RESTORE", name, entry.expires_at or 0, payload, "REPLACE", "ABSTTL"))
                )
            elif digest_of(now) == digest_of(payload):
                done.append(entry)
            else:
                tally.skip([name], CHANGED)
        return commands, done


def _dumps(wire: Wire, entries: list[TrashEntry]) -> list[Any]:
    replies = wire.call_many([("DUMP", bytes(entry.name)) for entry in entries])
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def payload_of(entry: TrashEntry) -> bytes:
    return zstandard.decompress(bytes(entry.payload), max_output_size=entry.dump_size)
