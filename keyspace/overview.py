"""What a server says of itself, panel by panel; a panel that cannot be read says why and leaves the others alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis._parsers.helpers import parse_info

from keyspace.access import Permission, performs
from keyspace.errors import Denied, Problem, explain
from keyspace.servers import Connection
from keyspace.wire import read_many

Info = Mapping[str, Any]


@dataclass(frozen=True)
class Fact:
    """One line: `kind` is text, number, size (bytes), duration (ms) or moment (Unix ms), which says how `value` is shown."""

    label: str
    value: Any
    kind: str = "text"


@dataclass(frozen=True)
class Panel:
    """`problem` is set instead of `facts` where the server did not tell."""

    title: str
    facts: list[Fact] = field(default_factory=list)
    problem: Problem | None = None


@dataclass(frozen=True)
class Db:
    """`ttl` is the average life in ms of the keys that expire; None where it is not known."""

    number: int
    keys: int | None
    expiring: int | None = None
    ttl: int | None = None


@dataclass(frozen=True)
class Dbs:
    dbs: list[Db] = field(default_factory=list)
    problem: Problem | None = None


@dataclass(frozen=True)
class Overview:
    """`problem` is set when nothing could be read at all."""

    panels: list[Panel] = field(default_factory=list)
    dbs: Dbs = field(default_factory=Dbs)
    problem: Problem | None = None


def _server(info: Info) -> list[Fact]:
    product = "Valkey" if "valkey_version" in info else "Redis"
    return [
        Fact("Version", f"{product} {info.get('valkey_version') or info.get('redis_version', '')}"),
        *_facts(
            info, ("Mode", "redis_mode"), ("System", "os"), ("Process id", "process_id"), ("Port", "tcp_port")
        ),
        *_facts(info, ("Configuration", "config_file")),
        Fact("Up for", _times(info.get("uptime_in_seconds"), 1000), "duration"),
    ]


def _memory(info: Info) -> list[Fact]:
    limit = info.get("maxmemory")
    return [
        *_facts(info, ("Used", "used_memory"), ("Peak", "used_memory_peak"), kind="size"),
        Fact("Limit", limit, "size") if limit else Fact("Limit", "none" if limit == 0 else None),
        *_facts(info, ("Eviction", "maxmemory_policy")),
        *_facts(info, ("Data", "used_memory_dataset"), ("Resident", "used_memory_rss"), kind="size"),
        *_facts(info, ("Fragmentation", "mem_fragmentation_ratio")),
    ]


def _clients(info: Info) -> list[Fact]:
    wanted = (
        ("Connected", "connected_clients"),
        ("Most allowed", "maxclients"),
        ("Blocked", "blocked_clients"),
    )
    return _facts(info, *wanted, ("Tracking", "tracking_clients"), kind="number")


def _persistence(info: Info) -> list[Fact]:
    saving, rewriting = info.get("rdb_bgsave_in_progress"), info.get("aof_rewrite_in_progress")
    return [
        Fact("Last save", _times(info.get("rdb_last_save_time"), 1000), "moment"),
        *_facts(info, ("Outcome", "rdb_last_bgsave_status")),
        *_facts(info, ("Changes since", "rdb_changes_since_last_save"), kind="number"),
        Fact("Now", "saving" if saving else "rewriting the AOF" if rewriting else "idle"),
        Fact("AOF", "on" if info.get("aof_enabled") else "off"),
        *(_facts(info, ("AOF size", "aof_current_size"), kind="size") if info.get("aof_enabled") else ()),
        *(_facts(info, ("AOF writes", "aof_last_write_status")) if info.get("aof_enabled") else ()),
    ]


def _activity(info: Info) -> list[Fact]:
    hits, misses = info.get("keyspace_hits", 0), info.get("keyspace_misses", 0)
    rate = f"{hits * 100 / (hits + misses):.1f} %" if hits + misses else None
    counts = (
        ("Commands a second", "instantaneous_ops_per_sec"),
        ("Commands so far", "total_commands_processed"),
    )
    more = (
        ("Expired", "expired_keys"),
        ("Evicted", "evicted_keys"),
        ("Refused clients", "rejected_connections"),
    )
    return [
        *_facts(info, *counts, kind="number"),
        Fact("Reads that hit", rate),
        *_facts(info, *more, kind="number"),
        *_facts(
            info,
            ("Read from clients", "total_net_input_bytes"),
            ("Sent", "total_net_output_bytes"),
            kind="size",
        ),
    ]


def _replication(info: Info) -> list[Fact]:
    role = {"master": "primary", "slave": "replica"}.get(info.get("role", ""), info.get("role"))
    if role == "replica":
        link = f"{info.get('master_host')}:{info.get('master_port')}"
        since = Fact("Last heard", _times(info.get("master_last_io_seconds_ago"), 1000), "duration")
        return [
            Fact("Role", role),
            Fact("Primary", link),
            *_facts(info, ("Link", "master_link_status")),
            since,
        ]
    replicas = [info[f"slave{n}"] for n in range(info.get("connected_slaves", 0)) if f"slave{n}" in info]
    return [
        Fact("Role", role),
        Fact("Replicas", info.get("connected_slaves"), "number"),
        *(
            Fact(f"{one.get('ip')}:{one.get('port')}", f"{one.get('state')}, lag {one.get('lag')} s")
            for one in replicas
        ),
    ]


def _processor(info: Info) -> list[Fact]:
    """Seconds of processor time since the start."""
    wanted = (("System", "used_cpu_sys"), ("User", "used_cpu_user"), ("Children", "used_cpu_user_children"))
    return [Fact(label, info[name] * 1000, "duration") for label, name in wanted if name in info]


def _errors(info: Info) -> list[Fact]:
    """How often the server answered with each kind of error, the most frequent six."""
    counts = {
        name.removeprefix("errorstat_"): told for name, told in info.items() if name.startswith("errorstat_")
    }
    often = sorted(counts.items(), key=lambda one: -int(one[1].get("count", 0)))[:6]
    return [Fact(name, told.get("count"), "number") for name, told in often] or [Fact("None so far", "")]


# title, section of INFO, what is shown of it
_PANELS: tuple[tuple[str, str, Callable[[Info], list[Fact]]], ...] = (
    ("Server", "server", _server),
    ("Memory", "memory", _memory),
    ("Persistence", "persistence", _persistence),
    ("Activity", "stats", _activity),
    ("Clients", "clients", _clients),
    ("Replication", "replication", _replication),
    ("Processor time", "cpu", _processor),
    ("Errors answered", "errorstats", _errors),
)


def _facts(info: Info, *wanted: tuple[str, str], kind: str = "text") -> list[Fact]:
    """Label and field of INFO each; a field the server does not have is left out, an empty one shown as nothing."""
    return [
        Fact(label, info[name] if info[name] != "" else None, kind) for label, name in wanted if name in info
    ]


def _times(value: Any, factor: int) -> int | None:
    return value * factor if isinstance(value, int) and value >= 0 else None


@performs(Permission.SEE_SERVER)
def read_overview(connection: Connection) -> Overview:
    """Every panel and the dbs in one round trip."""
    commands = [("INFO", section) for _, section, _ in _PANELS]
    try:
        replies = read_many(connection.redis, [*commands, ("INFO", "keyspace"), ("DBSIZE",)])
    except Exception as error:
        return Overview(problem=explain(error))
    panels = [_panel(title, reply, show) for (title, _, show), reply in zip(_PANELS, replies, strict=False)]
    return Overview(panels, _dbs(connection, *replies[-2:]))


def _panel(title: str, reply: Any, show: Callable[[Info], list[Fact]]) -> Panel:
    if isinstance(reply, Exception):
        return Panel(title, problem=explain(reply))
    return Panel(title, show(parse_info(reply)))


def _dbs(connection: Connection, keyspace: Any, size: Any) -> Dbs:
    """Where INFO is refused, the db that is looked at by DBSIZE."""
    if connection.access.patterns:
        return Dbs(
            problem=Denied("Your grant shows some keys only, so the counts of all keys are not shown.")
        )
    if not isinstance(keyspace, Exception):
        found = parse_info(keyspace)
        return Dbs([_db(int(name[2:]), counts) for name, counts in found.items() if name[2:].isdigit()])
    if isinstance(size, int):
        return Dbs([Db(connection.db, size)], explain(keyspace))
    return Dbs(problem=explain(keyspace))


def _db(number: int, counts: Info) -> Db:
    return Db(number, counts.get("keys"), counts.get("expires"), counts.get("avg_ttl") or None)
