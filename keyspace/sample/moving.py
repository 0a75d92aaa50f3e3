"""Keep sample data moving as applications would: about 50 commands and 10 messages a second, at under 1 % of a core."""

import hashlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import redis as redis_py

from keyspace.sample import ledger, queues
from keyspace.sample.acts import ACTS, Stage
from keyspace.sample.filling import KINDS, Client, send_all
from keyspace.sample.world import Command, World

_TICK = 0.1
_PAUSE_AFTER_FAILURE = 1.0
_NEW_KEYS_A_TICK = 2
_BACKUP_LENGTH, _PENDING = 240, 40
_IDLE_MILLISECONDS = 600_000


def traffic(redis: Client, stop: threading.Event, *, keys: int, seed: int = 1) -> None:
    """Act until `stop` is set. A server that is away, loading or refusing is waited for.

    `keys` is the number of keys to keep up: what expires is replaced, gently.
    """
    stage = Stage(World(seed, keys=keys), keys, hashlib.sha1(ledger.MOVE_SCRIPT.encode()).hexdigest())
    stage.world.random.seed()
    ticks = 0
    while not stop.wait(_TICK):
        stage.world.now = time.time()
        try:
            _step(redis, stage, ticks)
        except (redis_py.RedisError, OSError):
            stop.wait(_PAUSE_AFTER_FAILURE)
        ticks += 1


def _step(redis: Client, stage: Stage, ticks: int) -> None:
    commands = [
        command for rate, act in ACTS if stage.world.random.random() < rate * _TICK for command in act(stage)
    ]
    if ticks % 10 == 0:
        stage.missing = stage.keys - int(redis.dbsize())
    commands += _replacements(stage)
    for reply in send_all(redis, commands):
        if isinstance(reply, redis_py.exceptions.NoScriptError):
            redis.script_load(ledger.MOVE_SCRIPT)
    for every, offset, chore in CHORES:
        if ticks % every == offset:
            chore(redis, stage)


def _replacements(stage: Stage) -> Iterator[Command]:
    """Sessions, tokens, cached answers and so on for those that expired, as often as each kind expires."""
    for _ in range(min(_NEW_KEYS_A_TICK, stage.missing)):
        name = stage.world.random.choices(_LIVING, _WEIGHTS)[0]
        yield from KINDS[name].write(stage.world, stage.world.below(10**7))
        stage.missing -= 1


_LIVING = [name for name, kind in KINDS.items() if kind.life >= 3600]
_WEIGHTS = [KINDS[name].share / KINDS[name].life for name in _LIVING]


def _sync_balances(redis: Client, stage: Stage) -> None:
    """Take what is due off the schedule, each under its lock."""
    due: Any = redis.zrangebyscore(ledger.SCHEDULE, "-inf", stage.world.now, start=0, num=25)
    commands: list[Command] = []
    for member in due:
        lock = b"lock:{transactions}:balance-sync:" + member
        commands += [("SET", lock, stage.world.hex_uuid(), "NX", "PX", 1000 + stage.world.below(12_000))]
        commands += [("ZREM", ledger.SCHEDULE, member)]
    send_all(redis, commands)


def _run_backup_cycle(redis: Client, stage: Stage) -> None:
    """Take the lock of the cycle, and what has been backed up out of the queue."""
    redis.set(ledger.CYCLE_LOCK, stage.world.hex_uuid(), px=20_000)
    surplus = int(redis.hlen(ledger.BACKUP_QUEUE)) - _BACKUP_LENGTH
    if surplus > 0:
        done: Any = redis.hrandfield(ledger.BACKUP_QUEUE, surplus)
        redis.hdel(ledger.BACKUP_QUEUE, *done)


def _consume(redis: Client, stage: Stage) -> None:
    """A worker reads a few entries of a stream and acknowledges most of them."""
    stream = stage.world.random.choice(_CONSUMED)
    group = stage.world.random.choice(queues.STREAMS[stream])
    consumer = queues.CONSUMERS[stage.world.below(len(queues.CONSUMERS))]
    read: Any = redis.execute_command(
        "XREADGROUP", "GROUP", group, consumer, "COUNT", 5, "STREAMS", stream, ">"
    )
    entries = dict(read or {}).get(stream.encode(), [])
    entries = entries[0] if entries and isinstance(entries[0], list) else entries
    done = [entry[0] for entry in entries if stage.world.random.random() < 0.97]
    if done:
        redis.xack(stream, group, *done)


def _claim_what_was_left(redis: Client, stage: Stage) -> None:
    """Acknowledge what has been pending for long, so that it does not pile up for ever."""
    for stream in _CONSUMED:
        for group in queues.STREAMS[stream]:
            pending: Any = redis.xpending(stream, group)
            if pending["pending"] > _PENDING:
                many = pending["pending"] - _PENDING
                old: Any = redis.xpending_range(
                    stream, group, "-", "+", min(many, 100), idle=_IDLE_MILLISECONDS
                )
                if old:
                    redis.xack(stream, group, *(entry["message_id"] for entry in old))


_CONSUMED = [stream for stream, groups in queues.STREAMS.items() if groups]
# Every so many ticks, at which of them, and what.
CHORES = (
    (10, 3, _consume),
    (10, 8, _consume),
    (20, 5, _sync_balances),
    (190, 1, _run_backup_cycle),
    (600, 7, _claim_what_was_left),
)
