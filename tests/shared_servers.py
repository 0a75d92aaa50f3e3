"""One server of each generation a session, as if new for each test."""

from typing import Any

import redis

from tests.servers import RunningServer, start_server
from tests.topologies import wait_until

_shared: dict[tuple[str, bool], RunningServer] = {}
_original: dict[tuple[str, bool], dict[bytes, bytes]] = {}


def shared_server(kind: str, *, module_json: bool = False) -> RunningServer:
    """The session's server of a generation, as if it had just been started."""
    key = (kind, module_json)
    server = _shared.get(key)
    if server is None or server.process.poll() is not None:
        server = _shared[key] = start_server(kind, module_json=module_json)
        with server.client() as client:
            _original[key] = _read_config(client)
        return server
    server.resume()
    with server.client() as client:
        _reset(client, server, _original[key])
    return server


def _read_config(client: "redis.Redis") -> dict[bytes, bytes]:
    flat = _raw(client, "CONFIG", "GET", "*")
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def _raw(client: "redis.Redis", *command: str) -> Any:
    """The reply as the protocol has it."""
    client.response_callbacks.clear()
    return client.execute_command(*command)


def _saves(client: "redis.Redis") -> bool:
    text = _raw(client, "INFO", "persistence")
    return any(b"%s_in_progress:1" % name in text for name in (b"rdb_bgsave", b"aof_rewrite"))


def _reset(client: "redis.Redis", server: RunningServer, original: dict[bytes, bytes]) -> None:
    """Undo what an earlier test did: data, scripts, users, settings, roles, statistics, connections."""
    for name in [name for name in _raw(client, "ACL", "USERS") if name != b"default"]:
        client.execute_command("ACL", "DELUSER", name)
    client.execute_command("REPLICAOF", "NO", "ONE")
    wait_until(lambda: not _saves(client), "what it saves for a test before to be saved")
    now = _read_config(client)
    for name, value in original.items():
        if now.get(name) != value:
            client.execute_command("CONFIG", "SET", name, value)
    commands = [
        "FLUSHALL SYNC",
        "SCRIPT FLUSH SYNC",
        "CONFIG RESETSTAT",
        "SLOWLOG RESET",
        "LATENCY RESET",
        "ACL LOG RESET",
    ]
    commands += ["CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE pubsub SKIPME yes"]
    commands += [] if server.kind == "redis6" else ["FUNCTION FLUSH SYNC", "CLIENT UNPAUSE"]
    for command in commands:
        client.execute_command(*command.split())
