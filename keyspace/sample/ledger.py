"""The keys of a ledger service, named and shaped as FACTS of its operators say: balances, transactions, locks, schedules."""

import json
from collections.abc import Iterator

import msgpack

from keyspace.sample.world import ASSETS, DAY, HOUR, MINUTE, Command, Kind, Ledger, World, iso

SCHEDULE = "schedule:{transactions}:balance-sync-v2"
BACKUP_QUEUE = "backup_queue:{transactions}"
CYCLE_LOCK = "lock:{transactions}:backup-consumer-cycle"
_KEYS = ("default", "default", "default", "default", "default", "savings", "asset-freeze")
_STATES = ("APPROVED", "APPROVED", "APPROVED", "PENDING", "CANCELED")

# Moves an amount (ARGV[1]) from the balance KEYS[1] to KEYS[2], both or neither, and schedules both for the database.
MOVE_SCRIPT = """
local from, to = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if not from or not to then return redis.error_reply('0019 balance not found') end
from, to = cjson.decode(from), cjson.decode(to)
local amount = tonumber(ARGV[1])
if tonumber(from.Available) < amount then return redis.error_reply('0018 insufficient funds') end
from.Available = string.format('%.2f', tonumber(from.Available) - amount)
to.Available = string.format('%.2f', tonumber(to.Available) + amount)
from.Version, to.Version = from.Version + 1, to.Version + 1
redis.call('SET', KEYS[1], cjson.encode(from), 'KEEPTTL')
redis.call('SET', KEYS[2], cjson.encode(to), 'KEEPTTL')
redis.call('ZADD', KEYS[3], ARGV[2], KEYS[1], ARGV[2], KEYS[2])
return from.Version
"""


def ledger_of(world: World, number: int) -> Ledger:
    return world.ledgers[number % len(world.ledgers)]


def alias(world: World, number: int) -> str:
    return (
        f"@{world.person(number).replace('.', '_')}"
        if number % 50
        else f"@external/{ASSETS[number // 50 % 8]}"
    )


def balance_name(world: World, number: int) -> str:
    """The name of the n-th balance: the same in a later run with the same seed and number of keys."""
    mark = f"{alias(world, number)}#{_KEYS[number % len(_KEYS)]}"
    ledger = ledger_of(world, number)
    unique = mark if number % 50 else f"{mark}-{number}"
    return f"balance:{{transactions}}:{ledger.tag}:{unique}"


def _balance(world: World, number: int) -> Iterator[Command]:
    value = {
        "ID": world.time_uuid(world.ago(400 * DAY)), "AccountID": world.hex_uuid(), "Alias": alias(world, number),
        "Key": _KEYS[number % len(_KEYS)], "AssetCode": ASSETS[number % len(ASSETS)],
        "Available": world.money(250_000), "OnHold": "0" if number % 9 else world.money(900),
        "Version": world.below(4000), "AccountType": ("deposit", "savings", "creditCard", "external")[number % 4],
        "AllowSending": int(number % 97 > 0), "AllowReceiving": 1,
    }  # fmt: skip
    yield "SET", balance_name(world, number), json.dumps(value)


def _operation(world: World, number: int) -> dict[str, object]:
    return {
        "accountAlias": alias(world, number), "balanceKey": "default", "type": ("DEBIT", "CREDIT")[number % 2],
        "amount": {"value": world.money(5_000), "asset": ASSETS[number % 8]}, "chartOfAccounts": f"1{number % 900:03d}",
    }  # fmt: skip


def transaction(world: World, number: int, identity: str) -> dict[str, object]:
    """A transaction as its service would show it: two legs, a state, metadata."""
    ledger = ledger_of(world, number)
    return {
        "id": identity, "organizationId": ledger.organization, "ledgerId": ledger.ledger,
        "description": world.sentence(4), "assetCode": ASSETS[number % 8], "amount": world.money(5_000),
        "status": {"code": _STATES[number % len(_STATES)]},
        "operations": [_operation(world, number), _operation(world, number + 1)],
        "metadata": {"channel": ("pix", "card", "boleto", "ted")[number % 4], "batch": number % 300},
        "createdAt": iso(world.ago(DAY)),
    }  # fmt: skip


def _transaction(world: World, number: int) -> Iterator[Command]:
    identity = world.time_uuid(world.ago(DAY))
    name = f"transaction:{{transactions}}:{ledger_of(world, number).tag}:{identity}"
    yield "SET", name, json.dumps(transaction(world, number, identity))


def _written_behind(world: World, number: int) -> Iterator[Command]:
    identity = world.time_uuid(world.ago(DAY))
    name = f"wb_transaction:{{{ledger_of(world, number).tag}:{identity}}}"
    yield "SET", name, msgpack.packb(transaction(world, number, identity))


def _pending(world: World, number: int) -> Iterator[Command]:
    name = f"pending_transaction:{{transaction}}:{ledger_of(world, number).tag}:{world.time_uuid(world.now)}"
    yield "SET", name, "1"


def _idempotency(world: World, number: int) -> Iterator[Command]:
    identity = world.time_uuid(world.now)
    name = f"idempotency:{{{ledger_of(world, number).tag}:{world.hex_token(64)}}}"
    yield "SET", name, json.dumps(transaction(world, number, identity))


def _idempotency_reverse(world: World, number: int) -> Iterator[Command]:
    name = f"idempotency_reverse:{{{ledger_of(world, number).tag}}}:{world.time_uuid(world.now)}"
    yield "SET", name, world.hex_token(64)


def _route(world: World, number: int) -> Iterator[Command]:
    name = f"accounting_routes:{{{ledger_of(world, number).tag}:{world.hex_uuid()}}}"
    rule = {"ruleType": "alias", "validIf": [alias(world, number)]}
    sides = {world.hex_uuid(): {"account": rule, "operationType": side} for side in ("source", "destination")}
    yield "SET", name, msgpack.packb({"title": world.sentence(2), "source": sides, "version": number % 5})


def _settings(world: World, number: int) -> Iterator[Command]:
    value = {"accounting": {"validateAccountType": number % 2 == 0, "validateRoutes": number % 3 == 0}}
    yield "SET", f"ledger_settings:{{{ledger_of(world, number).tag}}}", json.dumps(value)


def _sync_lock(world: World, number: int) -> Iterator[Command]:
    name = f"lock:{{transactions}}:balance-sync:{balance_name(world, number)}"
    yield "SET", name, world.hex_uuid()


def one_of_each(world: World) -> Iterator[Command]:
    """The keys there is one of: the schedule, the queue of what to back up, the lock of its cycle."""
    for number in range(0, 2000, 50):
        due = (
            word
            for n in range(number, number + 50)
            for word in (world.now + n / 7, balance_name(world, n * 3))
        )
        yield "ZADD", SCHEDULE, *due
    for number in range(240):
        identity = world.time_uuid(world.ago(HOUR))
        field = f"transaction:{{transactions}}:{ledger_of(world, number).tag}:{identity}"
        yield "HSET", BACKUP_QUEUE, field, json.dumps(transaction(world, number, identity))
    yield "SET", CYCLE_LOCK, world.hex_uuid(), "PX", 20_000
    yield "SCRIPT", "LOAD", MOVE_SCRIPT


KINDS = {
    "balance": Kind(0.18, _balance),
    "transaction": Kind(0.05, _transaction, life=DAY),
    "written behind": Kind(0.04, _written_behind, life=DAY),
    "pending": Kind(0.002, _pending, life=10 * MINUTE, at_most=60),
    "idempotency": Kind(0.01, _idempotency, life=300, at_most=400),
    "idempotency reverse": Kind(0.01, _idempotency_reverse, life=300, at_most=400),
    "route": Kind(0.01, _route),
    "settings": Kind(0.0012, _settings, life=HOUR, at_most=200),
    "sync lock": Kind(0.0005, _sync_lock, life=30, at_most=12),
}
