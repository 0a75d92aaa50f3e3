"""What a server says of itself: its state in a word, its facts, and how many keys each db holds."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import NoPermissionError

from keyspace.access import Permission, performs
from keyspace.errors import Problem, explain
from keyspace.models import Server
from keyspace.servers import Client, Connection, client_of, endpoint_of

FRESH_SECONDS = 5.0


@dataclass(frozen=True)
class State:
    """`word` is up, down, loading, busy or unknown (not heard of yet); `keys` maps a db to its number
    of keys; `at` is monotonic.
    """

    word: str = "unknown"
    problem: Problem | None = None
    product: str = ""
    version: str = ""
    role: str = ""
    replicas: int = 0
    used_memory: int | None = None
    maxmemory: int | None = None
    clients: int | None = None
    ops: int | None = None
    policy: str = ""
    uptime: int | None = None
    cluster: bool = False
    keys: dict[int, int] | None = None
    at: float = 0.0

    @property
    def total(self) -> int | None:
        """The number of keys in all dbs."""
        return None if self.keys is None else sum(self.keys.values())

    @property
    def facts(self) -> str:
        """`Valkey 8.1.3 · primary · 2 replicas`."""
        if self.word != "up":
            return self.problem.sentence if self.problem else ""
        parts = [f"{self.product} {self.version}".strip(), self.role]
        if self.replicas:
            parts.append(f"{self.replicas} replica{'s' if self.replicas > 1 else ''}")
        return " · ".join(part for part in parts if part)


def state_from_info(info: dict[str, Any]) -> State:
    """The State in a parsed INFO."""
    dbs = {
        int(name[2:]): section["keys"]
        for name, section in info.items()
        if name[:2] == "db" and name[2:].isdigit()
    }
    valkey = "valkey_version" in info
    role = {"master": "primary", "slave": "replica"}.get(info.get("role", ""), info.get("role", ""))
    return State(
        "loading" if info.get("loading") else "up", None, "Valkey" if valkey else "Redis",
        str(info.get("valkey_version") or info.get("redis_version", "")), role, info.get("connected_slaves", 0),
        info.get("used_memory"), info.get("maxmemory"), info.get("connected_clients"), info.get("instantaneous_ops_per_sec"),
        info.get("maxmemory_policy", ""), info.get("uptime_in_seconds"), bool(info.get("cluster_enabled")), dbs, time.monotonic(),
    )  # fmt: skip


def ask_state(client: Client) -> State:
    """One INFO; where the ACL denies it a PING, so that a server with a narrow user is not called down."""
    try:
        return state_from_info(client.info())
    except NoPermissionError:
        client.ping()
        return State("up", at=time.monotonic())


_WORDS = {"The server is loading": "loading", "A script": "busy"}


def _look(server: Server) -> State:
    try:
        return ask_state(client_of(server))
    except Exception as error:
        problem = explain(error)
        word = next(
            (word for beginning, word in _WORDS.items() if problem.sentence.startswith(beginning)), "down"
        )
        return State(word, problem, at=time.monotonic())


_states: dict[str, State] = {}
_looking: dict[str, Future[State]] = {}
_lock = threading.Lock()
_lookers = ThreadPoolExecutor(24, thread_name_prefix="state")


def state_of(server: Server, *, patience: float = 0.3) -> State:
    """The state as of the last 5 s; asked in the background, so that a server which is away never
    holds up a page.

    Waits at most `patience` seconds for the first answer, then says what was known before.
    """
    key = f"{server.name} {server.changed_at}"
    known = _states.get(key, State())
    if time.monotonic() - known.at < FRESH_SECONDS and known.word != "unknown":
        return known
    with _lock:
        future = _looking.get(key)
        if future is None:
            future = _looking[key] = _lookers.submit(_remember, key, server)
    if known.word == "up" and time.monotonic() - known.at < 60:
        patience = min(patience, 0.03)
    try:
        return future.result(timeout=patience)
    except NotYet:
        return known


def states_of(servers: Sequence[Server], *, patience: float = 1.0) -> dict[str, State]:
    """The states of many servers by name, asked side by side: `patience` seconds for all of them together."""
    deadline = time.monotonic() + patience
    for server in servers:
        state_of(server, patience=0)
    return {
        server.name: state_of(server, patience=max(0.0, deadline - time.monotonic())) for server in servers
    }


def known_state(server: Server) -> State:
    """The last known state, without asking."""
    return _states.get(f"{server.name} {server.changed_at}", State())


def _remember(key: str, server: Server) -> State:
    try:
        state = _look(server)
        _states[key] = state
        return state
    finally:
        _looking.pop(key, None)


def forget_states() -> None:
    """For tests: know nothing of any server."""
    _states.clear()


@performs(Permission.SEE_SERVER)
def get_state(connection: Connection, *, patience: float = 2.5) -> State:
    """The state of the server now. Key counts are those the person may know: none where grants have patterns."""
    return _as_seen(connection, state_of(connection.server, patience=patience))


@performs(Permission.SEE_SERVER)
def get_known_state(connection: Connection) -> State:
    """`get_state` as last heard, without asking."""
    return _as_seen(connection, known_state(connection.server))


def _as_seen(connection: Connection, state: State) -> State:
    return replace(state, keys=None) if connection.access.patterns else state


@performs(Permission.SEE_SERVER)
def list_dbs(connection: Connection, *, patience: float = 0.3) -> list[tuple[int, int | None]]:
    """(db, keys) of every db that holds keys, the one looked at and db 0; keys None where they may not be known."""
    state = state_of(connection.server, patience=patience)
    counts = state.keys or {}
    dbs = sorted({0, connection.db, *counts})
    if state.keys is None or connection.access.patterns:
        return [(db, None) for db in dbs]
    return [(db, counts.get(db, 0)) for db in dbs]


__all__ = [
    "State", "ask_state", "endpoint_of", "get_known_state", "get_state", "known_state", "list_dbs", "state_of",
]  # fmt: skip
