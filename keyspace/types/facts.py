"""What the server tells of one key beside its value: type, TTL, encoding, memory, idle time or frequency, length, slot."""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from keyspace.errors import Problem, explain
from keyspace.types import type_of
from keyspace.types.reading import gone
from keyspace.wire import Command, read_many

if TYPE_CHECKING:
    from keyspace.servers import Connection
    from keyspace.types.base import KeyType

T = TypeVar("T")
SLOTS = 16384


@dataclass(frozen=True)
class Fact(Generic[T]):
    """One thing the server told, or the `problem` it refused it with. Neither: there is nothing to tell."""

    value: T | None = None
    problem: Problem | None = None


@dataclass(frozen=True)
class KeyFacts:
    """`type` as TYPE answers. `ttl` in milliseconds, without a value: it has none. `memory` in bytes; `idle` in seconds or
    `frequency` (logarithmic, 0 to 255), whichever the eviction policy keeps; `slot` on a cluster."""

    name: bytes
    type: str
    ttl: Fact[int]
    encoding: Fact[str]
    memory: Fact[int]
    idle: Fact[int]
    frequency: Fact[int]
    length: Fact[int]
    slot: int | None

    @property
    def key_type(self) -> "KeyType":
        return type_of(self.type)

    @property
    def problems(self) -> dict[str, Problem]:
        """What was refused, by fact."""
        named = {
            name: getattr(self, name) for name in ("ttl", "encoding", "memory", "idle", "frequency", "length")
        }
        return {name: fact.problem for name, fact in named.items() if fact.problem}


def read_facts(connection: "Connection", name: bytes, *, measure: bool = False) -> KeyFacts:
    """The facts of a key, in two round trips. What is refused is a problem in its own fact; the rest is there.

    `measure` asks for the memory even of a large module value, of which MEMORY USAGE visits every part.
    Raises NotFound when the key is gone, and what redis-py raises when not even TYPE is allowed.
    """
    asked: list[Command] = [("TYPE", name), ("PTTL", name), ("OBJECT", "ENCODING", name)]
    asked += [("CONFIG", "GET", "maxmemory-policy"), ("INFO", "cluster")]
    kind, ttl, encoding, policy, cluster = read_many(connection.redis, asked)
    if isinstance(kind, Exception):
        raise kind
    if kind == b"none":
        raise gone(name)
    key_type = type_of(kind.decode(errors="replace"))
    idle, frequency, memory, length = _costlier(connection, name, key_type, _counts_use(policy), measure)
    return KeyFacts(
        name=name,
        type=kind.decode(errors="replace"),
        ttl=_fact(ttl, lambda answer: answer if answer >= 0 else None),
        encoding=_fact(encoding, lambda answer: answer.decode() if answer else None),
        memory=memory,
        idle=idle,
        frequency=frequency,
        length=length,
        slot=key_slot(name) if _is_cluster(cluster) else None,
    )


def _costlier(
    connection: "Connection", name: bytes, key_type: "KeyType", counts_use: bool | None, measure: bool
) -> tuple[Fact[int], Fact[int], Fact[int], Fact[int]]:
    """(idle, frequency, memory, length). Use is read first: the length command counts as use of the key."""
    client = connection.redis
    use: dict[str, Any] = {}
    if counts_use is not True:
        use["idle"] = ("OBJECT", "IDLETIME", name)
    if counts_use is not False:
        use["frequency"] = ("OBJECT", "FREQ", name)
    # Finding out whether a document is small reads it, so its use is asked before that, in a round trip of its own.
    answers = _ask(client, use) if key_type.memory_walks else {}
    cheap = measure or key_type.may_measure(connection, name)
    rest: dict[str, Any] = {} if key_type.memory_walks else use
    if cheap:
        rest["memory"] = ("MEMORY", "USAGE", name)
    if command := key_type.length_command(name):
        rest["length"] = command
    answers |= _ask(client, rest)
    if counts_use is None:
        _drop_the_other(answers)
    memory: Fact[int] = _fact(answers.get("memory")) if cheap else Fact(problem=_NOT_MEASURED)
    return (
        _fact(answers.get("idle")),
        _fact(answers.get("frequency")),
        memory,
        _fact(answers.get("length"), key_type.length_of),
    )


def _ask(client: Any, commands: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(commands, read_many(client, list(commands.values())), strict=True))


_NOT_MEASURED = Problem(
    "The memory is not measured: the module would walk the whole value.", "Ask for it.", status=413
)


def _drop_the_other(answers: dict[str, Any]) -> None:
    """With the policy unknown both were asked, and the server has one of them: the other's refusal says nothing."""
    for name in ("idle", "frequency"):
        if isinstance(answers.get(name), Exception) and "maxmemory policy" in str(answers[name]):
            answers[name] = None


def _counts_use(policy: Any) -> bool | None:
    """Whether the eviction policy counts use (LFU) instead of keeping times; None when CONFIG does not tell."""
    if not policy or isinstance(policy, Exception):
        return None
    told = list(policy.values()) if isinstance(policy, dict) else policy[1::2]
    return b"lfu" in told[0]


def _is_cluster(info: Any) -> bool:
    return isinstance(info, bytes) and b"cluster_enabled:1" in info


def _fact(answer: Any, turn: Callable[[Any], T | None] = lambda answer: answer) -> Fact[T]:
    if isinstance(answer, Exception):
        return Fact(problem=explain(answer))
    return Fact(None if answer is None else turn(answer))


def key_slot(name: bytes) -> int:
    """The slot of a key in a cluster: CRC16 (XMODEM) of its hash tag, or of the whole name where it has none."""
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    tagged = start >= 0 and end > start + 1
    return binascii.crc_hqx(name[start + 1 : end] if tagged else name, 0) % SLOTS
