"""What an edit is about to replace is in the trash before it is written: in doubt, until the server's answer tells what became of it.

A console that dies in between, or loses the connection, leaves the entry behind. Once no edit can be under way any more it is looked at:
where the key still is what it was, nothing was done and the entry goes; else it stays, and says that nobody knows who changed the key.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import redis
import zstandard
from django.db import DatabaseError
from django.utils import timezone

from keyspace import audit, trash
from keyspace.access import Actor
from keyspace.errors import Problem
from keyspace.images import Image, digest_of, digest_of_answer
from keyspace.job_runs import connect
from keyspace.models import TrashEntry
from keyspace.parts import question_of
from keyspace.servers import Connection

log = logging.getLogger(__name__)
IN_DOUBT = timedelta(minutes=1)
"""Longer than any edit takes from its entry to the server's answer."""
AWAY_SECONDS = 60.0
"""A server that does not answer is asked again after that."""
_away_until: dict[str, float] = {}


class WayBack:
    """Of one edit, however often it is tried: `prepare` before each write, then `confirm`, or `withdraw` where nothing was written."""

    def __init__(self, connection: Connection, name: bytes, operation: str) -> None:
        self._connection, self._name, self._operation = connection, name, operation
        self._image: Image | None = None
        self.entry: TrashEntry | None = None

    def prepare(self, image: Image | None) -> None:
        """With the key watched. Tried again the entry of the first time does: others write this key, and each moment counts."""
        if image is None or self.entry is not None:
            return
        self.entry, self._image = self._keep(image, image.before, in_doubt=True), image

    def confirm(self, image: Image, left: str) -> str | None:
        """It was written, and left `left` behind: the id of the entry. Whatever fails here must not say otherwise."""
        try:
            if image is not self._image:
                kept = self._keep(image, left)
                self.withdraw()
                return str(kept.pk)
            assert self.entry is not None
            mine = TrashEntry.objects.filter(pk=self.entry.pk)
            return str(self.entry.pk) if mine.update(left=left, in_doubt=None) else None
        except DatabaseError:
            log.exception("an edit was done, and its entry in the trash stays in doubt")
            return str(self.entry.pk) if self.entry else None

    def withdraw(self) -> None:
        """Where the trash cannot be written, the entry stays in doubt and is looked at later."""
        entry, self.entry = self.entry, None
        if entry is not None:
            try:
                TrashEntry.objects.filter(pk=entry.pk).delete()
            except DatabaseError:
                log.exception("an entry in the trash stays in doubt")

    def _keep(self, image: Image, left: str, *, in_doubt: bool | None = None) -> TrashEntry:
        return trash.keep(
            self._connection, self._name, image, why=TrashEntry.Why.EDITED, operation=self._operation, left=left, in_doubt=in_doubt
        )  # fmt: skip


@contextmanager
def way_back(connection: Connection, name: bytes, operation: str) -> Iterator[WayBack]:
    """What fails has written nothing, but where the connection broke: then nobody knows, and the entry stays in doubt."""
    way = WayBack(connection, name, operation)
    try:
        yield way
    except (redis.ConnectionError, redis.TimeoutError):
        if way.entry is not None:
            audit.tell(change=operation, trash=str(way.entry.pk))
        raise
    except Exception:
        way.withdraw()
        raise


def settle_pending(*, older_than: timedelta = IN_DOUBT) -> int:
    """What a clock may ask often: look at the keys whose edits nobody has heard the end of. How many were settled."""
    unsettled = TrashEntry.objects.filter(in_doubt=True, at__lt=timezone.now() - older_than).exclude(left="")
    settled = 0
    for server, db, pk in list(unsettled.values_list("server", "db", "pk")):
        if _away_until.get(server, 0) > time.monotonic():
            continue
        try:
            _settle(connect(Actor(None, "trash"), server, db), TrashEntry.objects.get(pk=pk))
            settled += 1
        except TrashEntry.DoesNotExist:
            continue
        except (redis.RedisError, OSError, Problem):
            _away_until[server] = time.monotonic() + AWAY_SECONDS
    return settled


def _settle(connection: Connection, entry: TrashEntry) -> None:
    mine = TrashEntry.objects.filter(pk=entry.pk, in_doubt=True, left=entry.left)
    if _digest_now(connection, entry) == entry.left:
        mine.delete()
    else:
        mine.update(left="")


def _digest_now(connection: Connection, entry: TrashEntry) -> str:
    """Of the key, or of the part of it, as it is."""
    if not entry.part:
        return digest_of(connection.redis.execute_command("DUMP", bytes(entry.name)))
    payload = zstandard.decompress(bytes(entry.payload), max_output_size=entry.dump_size)
    try:
        answer: Any = connection.redis.execute_command(*question_of(payload))
    except redis.ResponseError as refused:
        if not str(refused).startswith("WRONGTYPE"):
            raise
        return ""
    return digest_of_answer(answer)
