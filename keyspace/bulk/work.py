"""One run of bulk work: its connection, its pace, what it has done, and how it goes on after a break.

Keys are done page by page, and a page is counted when it is whole. One that was cut off comes by again, so that of it only those
keys count that will not be met again. A search whose server restarted begins anew (the cursors of another run lead nowhere), and
the same holds for all of it.
"""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import redis

from keyspace.access import Permission, Right, check_permission
from keyspace.bulk.away import Away, is_away, is_demoted
from keyspace.bulk.choice import Choice, choice_of, still_there
from keyspace.bulk.copying import Copier, check_copy, target_of
from keyspace.bulk.pace import Pace
from keyspace.bulk.tally import NO_ANSWER, Tally, tally_of
from keyspace.encoding import from_key_id, key_id
from keyspace.jobs import Run
from keyspace.servers import Client, endpoint_of, open_client
from keyspace.wire import Wire, open_wire

RIGHTS_SECONDS = 5.0
SOCKET_SECONDS = 60.0
NOT_FOUND = "not found any more: it expired, was deleted, or is not like that any more"
STOPPED = "gone: done before the console stopped and not counted yet, or deleted meanwhile"


class RightsChanged(Exception):
    """Other keys than before are the person's: the search goes on where it is, by what they may now."""


class Work:
    """`tally` counts the whole pages, `here` the page under way; `place` is where it goes on, as the checkpoint keeps it."""

    def __init__(self, run: Run) -> None:
        self.run, self.connection = run, run.connection
        self.choice: Choice = choice_of(run.params["choice"])
        self.tally, self.here = tally_of(run.checkpoint.get("tally")), Tally()
        self.place: dict[str, Any] = {k: v for k, v in run.checkpoint.items() if k != "tally"}
        self.again = bool(run.checkpoint)
        if self.again and not self.place.pop("settled", False):
            self.place["died"] = True  # what it did after its last checkpoint was not counted
        self._unanswered = [from_key_id(each) for each in self.place.pop("unanswered", ())]
        self.client = self._open()
        self.copies = run.params["do"] == "copy"
        self.pace: Pace | None = None
        self._rights_seen = 0.0
        self._held: frozenset[Right] | None = None
        self._away, self._broken = Away(run), False

    @property
    def permission(self) -> Permission:
        """What the person needs for a key here."""
        return Permission.REVEAL_VALUES if self.copies else Permission.BULK

    @cached_property
    def copier(self) -> Copier:
        return Copier(self.run, self.connection, self.client, target_of(self.run))

    def _open(self) -> Client:
        endpoint = endpoint_of(self.connection.server)
        return open_client(endpoint, db=self.connection.db, socket_timeout=SOCKET_SECONDS)

    def close(self) -> None:
        self.client.close()

    def check_rights(self) -> None:
        """The person's rights as they are now: who lost them does not go on deleting. Raises Denied, NotFound, RightsChanged."""
        if time.monotonic() - self._rights_seen < RIGHTS_SECONDS:
            return
        self.connection, held = self.run.connection, self._held
        self._held = frozenset(self.connection.access.rights)
        if self.copies:
            target = target_of(self.run)
            check_copy(self.connection, target)
            self._held |= frozenset(target.access.rights)
        else:
            check_permission(self.connection, Permission.BULK)
        self._rights_seen = time.monotonic()
        if held is not None and held != self._held:
            raise RightsChanged

    def end_page(self, **place: Any) -> None:
        """All of a page is done: count it, and remember where the next one begins. Raises Cancelled."""
        if self.here.handled:  # reading alone says nothing of a server that takes no writes
            self._away.answered()
        self.tally.add(self.here)
        self.here = Tally()
        self.place |= place
        if self.pace is None or self.pace.time_to_tell():
            self.tell()
        self.run.check()

    def tell(self) -> None:
        run, tally = self.run, self.tally
        tally.yielded = self.pace.yielded if self.pace else tally.yielded
        counts = (("skipped", tally.skipped), ("failed", tally.failed), ("unknown", tally.unknown))
        parts = [run.params["doing"], *(f"{n} {word}" for word, n in counts if n)]
        total = max(run.job.total or 0, tally.handled)
        run.report(
            done=tally.handled, total=total, phase=", ".join(parts), checkpoint=self._checkpoint(), now=True
        )

    def _checkpoint(self) -> dict[str, Any]:
        unanswered = {"unanswered": [key_id(name) for name in self._unanswered]} if self._unanswered else {}
        return self.place | unanswered | {"tally": self.tally.brief()}

    def settle(self) -> Tally:
        """However it ends, the row says what was done, and where it would go on. What was done."""
        done = Tally()
        done.add(self.tally)
        done.add(self.here)
        done.yielded = self.pace.yielded if self.pace else self.tally.yielded
        done.lose(self.here.waiting + self._unanswered, NO_ANSWER)
        self._break_off()
        job = self.run.job
        job.result, job.done = done.as_dict(), done.handled
        job.checkpoint = self._checkpoint() | {"settled": True}
        return done

    def _break_off(self) -> None:
        """The page under way will come by again."""
        self._unanswered += self.here.waiting
        self.tally.add(self._not_met_again(self.here))
        self.here, self.again = Tally(), True

    def begin_anew(self) -> None:
        """All of it will come by again."""
        self.tally = self._not_met_again(self.tally)

    def _not_met_again(self, tally: Tally) -> Tally:
        """The part of a tally whose keys the search will not find again."""
        do, ttl = self.run.params["do"], self.choice.filter.ttl
        drops_out = do == "delete" or (do == "persist" and ttl) or (do == "set" and ttl == "none")
        return tally.of_gone() if drops_out else Tally()

    def _ask_unanswered(self, wire: Wire) -> None:
        """What became of the keys that were being deleted as the connection broke: those still there are met again."""
        if self._unanswered:
            there = set(still_there(wire, self._unanswered))
            self.tally.lose([name for name in self._unanswered if name not in there], NO_ANSWER)
            self._unanswered = []

    def count_missing(self) -> None:
        """At the end: what the dry run had and nothing else accounts for."""
        missing = self.run.params.get("expected", 0) - self.tally.handled
        if missing > 0 and self.place.get("died"):
            self.tally.count_unknown(missing, STOPPED)
        elif missing > 0:
            self.tally.count_skipped(missing, NOT_FOUND)

    def until_done(self, step: Callable[[Wire, Pace], None]) -> None:
        """Run `step`, again and again while the server is away; it goes on from the checkpoint. Raises Interrupted in the end."""
        while True:
            try:
                self.check_rights()
                if self._broken:
                    self._reach_anew()
                self.pace = self.pace or self._new_pace()
                with open_wire(self.client) as wire:
                    self._ask_unanswered(wire)
                    step(wire, self.pace)
                return
            except RightsChanged:
                self.__dict__.pop("copier", None)  # it knows which keys the person may write
            except redis.RedisError as error:
                # What was no primary from the beginning does not become one.
                if not (is_away(error) or (is_demoted(error) and self.tally.done + self.here.done)):
                    raise
                self._break_off()
                self._broken, self._rights_seen = True, 0.0
                self._away.wait(error, checkpoint=self._checkpoint())

    def _reach_anew(self) -> None:
        """By the address that is configured, and the name that is resolved now: after a failover it may be another server."""
        self.client.close()
        self.client, self._broken = self._open(), False
        self.__dict__.pop("copier", None)
        if self.pace is not None:
            self.tally.yielded, self.pace = self.pace.yielded, None
        self.pace = self._new_pace()

    def _new_pace(self) -> Pace:
        others = (self.copier.target_client,) if self.copies else ()
        pace = Pace(self.run, self.client, *others, rate=self.run.params["rate"])
        pace.yielded = self.tally.yielded
        return pace
