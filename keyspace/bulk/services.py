"""What people do: look first, then let it be done. Both are jobs; what is done is exactly what was looked at."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.bulk.choice import Choice, choice_of
from keyspace.errors import BadInput, Conflict, NotFound
from keyspace.jobs import find_job, start_job
from keyspace.models import Job, Server
from keyspace.servers import Connection, open_connection
from keyspace.ttl import CONDITIONS, MAX_MS, format_ms

DO = {
    "delete": "delete them",
    "set": "set their TTL",
    "extend": "extend their TTL",
    "persist": "take their TTL away",
}
RATES = {1000: "1 000 keys/s", 10_000: "10 000 keys/s", 50_000: "50 000 keys/s", 0: "as fast as it goes"}
GOOD_FOR = timedelta(hours=1)


@dataclass(frozen=True)
class Order:
    """What to do: `do` of DO. `ttl` ms from the start of the job (for extend: added), or `at` a moment in Unix ms; up to `jitter` ms
    are added, other for each key. `condition` of ttl.CONDITIONS. `trash`: deleted keys go there, those too large stay. `rate` in
    keys/s, 0 for no limit."""

    do: str
    ttl: int = 0
    at: int = 0
    jitter: int = 0
    condition: str = ""
    trash: bool = True
    rate: int = 10_000

    def check(self) -> None:
        """Raises BadInput."""
        if self.do not in DO or self.condition not in CONDITIONS:
            raise BadInput("There is no such bulk work.", "Choose from the list.")
        if self.do in ("set", "extend") and not (self.ttl > 0 or (self.do == "set" and self.at > 0)):
            raise BadInput("No time was given.", "Write it like 90s, 2h30m or 7d.")
        now = timezone.now().timestamp() * 1000
        if self.do == "set" and self.at and self.at < now + 60_000:
            raise BadInput(
                "This time is less than a minute away, or has passed.",
                "Choose a later one, or delete the keys.",
            )
        if max(self.ttl, self.at - now, self.jitter) > MAX_MS:
            raise BadInput("This is more than a hundred years away.", "Take the TTL away instead.")
        if not 0 <= self.rate <= 1_000_000 or self.jitter < 0:
            raise BadInput("This is no possible speed or jitter.")

    @property
    def words(self) -> str:
        """For a title, with the keys behind it."""
        if self.do == "delete":
            return "Delete" if self.trash else "Delete for good"
        if self.do == "persist":
            return "Take the TTL away from"
        jitter = f" + up to {format_ms(self.jitter)}" if self.jitter else ""
        return ("Extend the TTL of" if self.do == "extend" else "Set the TTL of") + (
            f" (by {format_ms(self.ttl)}{jitter})" if self.do == "extend" else ""
        )

    @property
    def told(self) -> dict[str, Any]:
        """What the audit says of it: only what was asked for."""
        facts = {"ttl": self.ttl, "expires_at": self.at, "jitter": self.jitter, "condition": self.condition}
        asked = {fact: value for fact, value in facts.items() if value}
        return (
            asked
            | {"rate": self.rate or "no limit"}
            | ({"trash_used": self.trash} if self.do == "delete" else {})
        )

    @property
    def doing(self) -> str:
        return {
            "delete": "deleting",
            "set": "setting TTLs",
            "extend": "extending TTLs",
            "persist": "taking TTLs away",
        }[self.do]


@dataclass(frozen=True)
class Confirmation:
    """What has to be typed: the number of keys, the server's name."""

    number: bool
    name: bool


@dataclass(frozen=True)
class LookedAt:
    """A dry run. `result` as `Look.as_dict` has it, empty while it is running; `old`: too long ago to go by;
    `target`: of a copy."""

    job: Job
    choice: Choice
    result: dict[str, Any]
    confirmation: Confirmation
    old: bool
    trash_bytes: int
    target: Connection | None = None

    @property
    def count(self) -> int:
        return int(self.result.get("count", 0))

    @property
    def expected(self) -> int:
        """Keys that a run will have to account for: also those it may not touch."""
        return self.count + int(self.result.get("foreign", 0))


def confirmation_for(server: Server, choice: Choice, found: dict[str, Any]) -> Confirmation:
    """On a production server the number is typed; everything in a db takes the server's name as well: `*`, or a pattern without a
    beginning, such as `?*`, that turned out to match all there is."""
    open_pattern = not choice.selected and choice.filter.match[:1] in (b"*", b"?", b"[")
    all_there_is = open_pattern and 0 < found.get("count", 0) == found.get("of")
    production = server.environment == Server.Environment.PRODUCTION
    return Confirmation(production, choice.everything or all_there_is)


@performs(Permission.BULK)
def start_look(connection: Connection, *, choice: Choice, once: str | None = None) -> Job:
    """Begin the dry run; `get_look` has its result. Raises BadInput for a choice that may not be."""
    choice.check()
    audit.tell(keys=choice.words, dry=True)
    return start_job(
        connection.actor, "look_bulk", title=f"Dry run: {choice.words}", server=connection.server.name, db=connection.db,
        params=choice.params(), once=once,
    )  # fmt: skip


@performs(Permission.READ_KEYS)
def get_look(connection: Connection, *, look_id: uuid.UUID) -> LookedAt:
    """A dry run of the person's own on this db. Raises NotFound."""
    found = find_job(connection.actor, look_id)
    same_place = (found.server, found.db) == (connection.server.name, connection.db)
    mine = found.user_id == getattr(connection.actor.user, "pk", None)
    if found.kind != "look_bulk" or not same_place or not mine:
        raise NotFound("There is no such dry run here.", "Look again.")
    choice = choice_of(found.params)
    result = found.result if found.state == Job.State.DONE else {}
    old = found.finished_at is not None and timezone.now() - found.finished_at > GOOD_FOR
    to = found.params.get("copy")
    target = open_connection(connection.actor, to["server"], to["db"]) if to else None
    confirmation = confirmation_for((target or connection).server, choice, result)
    return LookedAt(found, choice, result, confirmation, old, settings.TRASH_BYTES, target)


@performs(Permission.BULK)
def start_bulk(
    connection: Connection, *, look_id: uuid.UUID, order: Order, number: str = "", name: str = ""
) -> Job:  # fmt: skip
    """Do it to what the dry run `look_id` chose. `number` and `name` are what was typed where Confirmation asks for it.

    Raises BadInput, Conflict for a dry run that is not done, found nothing or is too old.
    """
    order.check()
    look = ready_look(connection, look_id)
    audit.tell(keys=look.choice.words, what=order.doing, count=look.count, dry=False, **order.told)
    check_typed(look, number, name, connection.server)
    job = start_job(
        connection.actor, "run_bulk", title=f"{order.words} {look.count} keys: {look.choice.words}", server=connection.server.name,
        db=connection.db, total=look.count, once=f"bulk-{look.job.pk}",
        params={
            "choice": look.choice.params(), "look": str(look.job.pk), "doing": order.doing, "expected": look.expected, **vars(order)
        },
    )  # fmt: skip
    audit.tell(job=str(job.pk))
    return job


def ready_look(connection: Connection, look_id: uuid.UUID) -> LookedAt:
    """A dry run that may be acted on. Raises Conflict."""
    look = get_look(connection, look_id=look_id)
    if not look.result:
        raise Conflict("The dry run has not ended.", "Wait for it, or look again.")
    if look.old:
        raise Conflict("The dry run was more than an hour ago: the keys may be others by now.", "Look again.")
    if not look.count:
        raise Conflict("No key was chosen, so there is nothing to do.", "Look again with another pattern.")
    return look


def check_typed(look: LookedAt, number: str, name: str, server: Server) -> None:
    """What had to be typed, on this server. Raises BadInput."""
    typed = "".join(number.split()).replace(",", "").replace(".", "")
    if look.confirmation.number and typed != str(look.count):
        raise BadInput(f"To confirm, type the number of keys: {look.count}.", "Nothing was changed.")
    if look.confirmation.name and name.strip() != server.name:
        raise BadInput(
            "These are all keys of the db: type the server's name to confirm.", "Nothing was changed."
        )
