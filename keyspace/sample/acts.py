"""What applications do to the sample data, one act at a time: each gives the commands of one occasion."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgpack

from keyspace.sample import figures, ledger, queues, web
from keyspace.sample.world import CITIES, DAY, Command, Kind, World, iso

_ADDRESSES = 400
_STREAM_LENGTH = 5000
_LIST_LENGTH = 400


@dataclass
class Stage:
    """What the acts know: the world, how many keys there are to be, how many lack, who is signed in."""

    world: World
    keys: int
    script: str
    missing: int = 0
    sessions: deque[str] = field(default_factory=lambda: deque(maxlen=300))

    def one_of(self, share: float) -> int:
        """The number of a key of the kind with this share of all keys, about."""
        return self.world.below(max(1, int(self.keys * share * 0.9)))


def move_money(stage: Stage) -> Iterator[Command]:
    world = stage.world
    first, second = (ledger.balance_name(world, stage.one_of(0.18)) for _ in range(2))
    due = f"{world.now + 5 + world.below(300):.3f}"
    yield "EVALSHA", stage.script, 3, first, second, ledger.SCHEDULE, world.money(40), due


def record_transaction(stage: Stage) -> Iterator[Command]:
    world, number = stage.world, stage.one_of(0.18)
    identity = world.time_uuid(world.now)
    field_name = f"transaction:{{transactions}}:{ledger.ledger_of(world, number).tag}:{identity}"
    yield "HSET", ledger.BACKUP_QUEUE, field_name, json.dumps(ledger.transaction(world, number, identity))
    for kind in ("idempotency", "idempotency reverse"):
        yield from ledger.KINDS[kind].write(world, number)


def of_kind(name: str, kinds: dict[str, Kind], share: float) -> Callable[[Stage], Iterator[Command]]:
    """An act that writes one key of a kind, a new one or the same anew, as its name goes."""

    def write(stage: Stage) -> Iterator[Command]:
        yield from kinds[name].write(stage.world, stage.one_of(share))

    return write


def limit_rate(stage: Stage) -> Iterator[Command]:
    number = stage.world.below(_ADDRESSES)
    yield from web.rate_limit(stage.world, f"203.0.{number // 100 + 113}.{number % 100}")


def sign_in(stage: Stage) -> Iterator[Command]:
    for command in web.KINDS["session"].write(stage.world, stage.one_of(0.08)):
        if command[0] == "HSET":
            stage.sessions.append(str(command[1]))
        yield command


def renew_session(stage: Stage) -> Iterator[Command]:
    if stage.sessions:
        name = stage.sessions[stage.world.below(len(stage.sessions))]
        yield "PEXPIRE", name, 7 * DAY * 1000
        yield "HGET", name, "user_id"


def queue_job(stage: Stage) -> Iterator[Command]:
    kind = queues.JOBS[stage.world.below(4)]
    yield "RPUSH", f"queue:{kind}", queues.job(stage.world, kind)
    yield "LTRIM", f"queue:{kind}", 0, _LIST_LENGTH - 1


def work_on_job(stage: Stage) -> Iterator[Command]:
    kind = queues.JOBS[stage.world.below(4)]
    yield "LMOVE", f"queue:{kind}", f"queue:{kind}:processing", "LEFT", "RIGHT"
    yield "LTRIM", f"queue:{kind}:processing", -3, -1


def add_event(stage: Stage) -> Iterator[Command]:
    stream = tuple(queues.STREAMS)[stage.world.below(len(queues.STREAMS))]
    yield "XADD", stream, "MAXLEN", "~", _STREAM_LENGTH, "*", *queues.event(stage.world, stream)


def visit_page(stage: Stage) -> Iterator[Command]:
    page = stage.world.below(8)
    name = figures.visitors_name(stage.world, page, 0)
    yield "PFADD", name, stage.world.below(10**9)
    yield "EXPIRE", name, 61 * DAY
    yield "INCR", f"views:article:{stage.one_of(0.03)}"


def play(stage: Stage) -> Iterator[Command]:
    game = ("chess", "trivia", "sales")[stage.world.below(3)]
    player = stage.world.person(stage.world.below(200))
    yield "ZINCRBY", f"leaderboard:{game}:week-0", stage.world.below(50), player
    yield "ZREMRANGEBYRANK", f"leaderboard:{game}:week-0", 0, -201


def drive(stage: Stage) -> Iterator[Command]:
    city, (east, north) = tuple(CITIES.items())[stage.world.below(10)]
    east, north = (mean + stage.world.random.gauss(0, 0.05) for mean in (east, north))
    yield "GEOADD", f"geo:couriers:{city}", f"{east:.6f}", f"{north:.6f}", f"courier-{stage.world.below(40)}"


def read(stage: Stage) -> Iterator[Command]:
    """What most commands of an application are: reads, some of them of nothing."""
    yield "GET", ledger.balance_name(stage.world, stage.one_of(0.18))
    yield "HGETALL", f"user:{stage.one_of(0.08)}"
    yield "GET", f"cache:api:v2:/accounts?page={stage.world.below(40)}&user={stage.one_of(0.002) * 5}"


def use_account(stage: Stage) -> Iterator[Command]:
    number, world = stage.one_of(0.08), stage.world
    yield "HSET", f"user:{number}", "last_login", iso(world.now)
    yield "LPUSH", f"user:{stage.one_of(0.02)}:feed", f"post:{world.below(900_000)}"
    yield "LTRIM", f"user:{stage.one_of(0.02)}:feed", 0, 29


def speak(stage: Stage) -> Iterator[Command]:
    """A message to one of the channels that applications listen to."""
    world, number = stage.world, stage.one_of(0.18)
    which = world.random.random()
    if which < 0.35:
        identity = world.time_uuid(world.now)
        body: object = ledger.transaction(world, number, identity)
        yield "PUBLISH", "ledger.transactions.created", json.dumps(body)
    elif which < 0.65:
        body = {"alias": ledger.alias(world, number), "available": world.money(250_000), "at": iso(world.now)}
        yield "PUBLISH", "ledger.balances.updated", json.dumps(body)
    elif which < 0.85:
        user = world.below(40)
        body = {
            "user": user,
            "title": world.sentence(3).capitalize(),
            "unread": world.below(9),
            "at": iso(world.now),
        }
        yield "PUBLISH", f"notify:user:{user}", json.dumps(body)
    elif which < 0.95:
        body = {
            "keys": [f"user:{number}:profile", f"cache:api:v2:/accounts?page={number % 40}"],
            "by": "api-2",
        }
        yield "PUBLISH", "cache.invalidate", json.dumps(body)
    else:
        body = {"device": number, "t": int(time.time()), "raw": world.random.randbytes(12)}
        yield "PUBLISH", "telemetry.raw", msgpack.packb(body)


# How often a second, and what.
ACTS: tuple[tuple[float, Callable[[Stage], Iterator[Command]]], ...] = (
    (10, speak),
    (3, move_money),
    (2, read),
    (2, limit_rate),
    (2, queue_job),
    (2, work_on_job),
    (2, add_event),
    (2, of_kind("telemetry", figures.KINDS, 0.02)),
    (1, record_transaction),
    (1, renew_session),
    (1, visit_page),
    (0.5, use_account),
    (0.5, play),
    (0.5, drive),
    (0.25, of_kind("one-time code", web.KINDS, 1)),
    (0.2, of_kind("access token", web.KINDS, 1)),
    (0.1, of_kind("pending", ledger.KINDS, 1)),
    (0.05, of_kind("settings", ledger.KINDS, 0.0012)),
    (0.02, sign_in),
)
