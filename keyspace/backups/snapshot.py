"""Saves that stay on the server: BGSAVE and BGREWRITEAOF, watched by the server's own counters, never by the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import redis
from redis.exceptions import NoPermissionError

from keyspace.errors import Conflict, Problem, Unavailable
from keyspace.servers import Client

_LOOK_SECONDS = 0.25
_LOST_SECONDS = 60.0
_MOVING = ("rdb_saves", "rdb_last_save_time", "rdb_last_bgsave_status")
_STOPPED = "The save was stopped on the server before its end (cancelled there, or the data was flushed)."


@dataclass(frozen=True)
class Saved:
    """How a save ended: `ok` as the server says, `seconds` it took by its own clock (None: not told), what the fork cost (ms)."""

    ok: bool
    seconds: float | None
    fork_ms: float | None
    sentence: str = ""


Progress = Callable[[float | None, int | None, int | None, str], None]


def save_snapshot(client: Client, progress: Progress) -> Saved:
    """BGSAVE to its end. `progress` gets (share 0..1, keys done, keys in all, phase). Raises Conflict when one is running."""
    before = client.info("persistence")
    if before.get("rdb_bgsave_in_progress"):
        raise Conflict("The server is saving a snapshot already.", "Wait until it is done.")
    _await_next_second(client, before)
    behind = bool(before.get("aof_rewrite_in_progress"))
    _ask(client, ["BGSAVE", "SCHEDULE"] if behind else ["BGSAVE"])
    _await(client, progress, _saves(before), "rdb_bgsave_in_progress")
    info = client.info("persistence")
    ok = info.get("rdb_last_bgsave_status") == "ok"
    saved = _outcome(info, client, ok, info.get("rdb_last_bgsave_time_sec"))
    if ok and info.get("rdb_last_save_time") == before.get("rdb_last_save_time"):
        return replace(saved, ok=False, sentence=_STOPPED)
    return saved


def _await_next_second(client: Client, before: dict[str, Any]) -> None:
    """The time of the last save is in whole seconds and moves for a save that went well alone: with a new second it tells how ours went."""
    try:
        seconds, micros = client.time()
    except redis.ResponseError:
        seconds, micros = before.get("rdb_last_save_time", 0), 0
    if int(seconds) <= before.get("rdb_last_save_time", 0):
        time.sleep(1 - int(micros) / 1e6)


def cancel_save(client: Client) -> tuple[bool, str]:
    """Ask the server to stop the snapshot that runs or is scheduled: whether it did, and a sentence. Valkey can since 8.1."""
    try:
        client.execute_command("BGSAVE", "CANCEL")
    except NoPermissionError:
        return False, "The server's user may not cancel a save: it goes on there."
    except redis.ResponseError as error:
        if "not in progress" in str(error):
            return False, "The save had ended already."
        return False, "This server cannot cancel a save: it goes on there, and is no longer watched."
    except (redis.ConnectionError, redis.TimeoutError):
        return False, "The server does not answer: a save that it began goes on."
    return True, "The server cancelled the save: its last snapshot is the one before."


def _saves(before: dict[str, Any]) -> Callable[[dict[str, Any]], bool]:
    """Whether a save that began after `before` has ended: it was seen, or the counter of saves begun or the time of the last one moved."""
    seen = [False]

    def ended(info: dict[str, Any]) -> bool:
        running = bool(info.get("rdb_bgsave_in_progress"))
        moved = [info.get(name) != before.get(name) for name in _MOVING]
        seen[0] = seen[0] or running or any(moved)
        return seen[0] and not running

    return ended


def rewrite_aof(client: Client, progress: Progress) -> Saved:
    """BGREWRITEAOF to its end; as `save_snapshot`."""
    before = client.info("persistence")
    if before.get("aof_rewrite_in_progress"):
        raise Conflict("An AOF rewrite is running already.", "Wait until it is done.")
    _ask(client, ["BGREWRITEAOF"])
    counted, seen = before.get("aof_rewrites"), [False]

    def ended(info: dict[str, Any]) -> bool:
        running = bool(info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled"))
        seen[0] = seen[0] or running
        if counted is not None and not running and info.get("aof_rewrites", 0) > counted:
            return True
        failed = info.get("aof_last_bgrewrite_status") != "ok" and not running
        return failed or (not running and (seen[0] or counted is None))

    _await(client, progress, ended, "aof_rewrite_in_progress")
    info = client.info("persistence")
    return _outcome(
        info, client, info.get("aof_last_bgrewrite_status") == "ok", info.get("aof_last_rewrite_time_sec")
    )


def _ask(client: Client, words: list[str]) -> None:
    try:
        client.execute_command(*words)
    except redis.ResponseError as error:
        if "in progress" in str(error).lower():
            raise Conflict(
                f"The server refused: {error}.", "Wait until what is running has ended."
            ) from error
        raise


def _await(client: Client, progress: Progress, ended: Callable[[dict[str, Any]], bool], running: str) -> None:
    lost: float | None = None
    while True:
        try:
            info = client.info("persistence")
            lost = None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            lost = lost or time.monotonic()
            if time.monotonic() - lost > _LOST_SECONDS:
                raise Unavailable(
                    "The server went away while it was saving; how the save ended is not known."
                ) from error
            info = {}
        if info and ended(info):
            return
        _tell(info, progress, running)
        time.sleep(_LOOK_SECONDS)


def _tell(info: dict[str, Any], progress: Progress, running: str) -> None:
    if not info:
        return progress(None, None, None, "the server does not answer")
    if not info.get(running):
        return progress(None, None, None, "waiting for the server to begin")
    done, total = info.get("current_save_keys_processed"), info.get("current_save_keys_total")
    share = done / total if total else float(info.get("current_fork_perc", 0)) / 100 or None
    return progress(share, done, total, "saving")


def _outcome(info: dict[str, Any], client: Client, ok: bool, seconds: Any) -> Saved:
    try:
        fork = float(client.info("stats").get("latest_fork_usec", 0)) / 1000
    except redis.ResponseError:
        fork = None
    took = float(seconds) if seconds is not None and int(seconds) >= 0 else None
    sentence = "" if ok else "The server says that the save failed; its log tells why."
    return Saved(ok, took, fork, sentence)


def where_saved(client: Client, kind: str) -> str:
    """Where the file lies on the server, for volume backups to find it."""
    names = ("dir", "dbfilename") if kind == "snapshot" else ("dir", "appenddirname", "appendfilename")
    try:
        facts: dict[str, str] = {}
        for name in names:
            facts |= cast(dict[str, str], client.config_get(name))
    except (redis.ResponseError, Problem):
        return "on the server (it does not tell where: CONFIG is denied)"
    return "/".join(facts[name].rstrip("/") for name in names if facts.get(name))
