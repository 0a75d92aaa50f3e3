"""Writing the audit. `audit_chain` checks that nobody rewrote it."""

from asyncio import CancelledError
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from keyspace.encoding import to_text
from keyspace.errors import explain


@dataclass(frozen=True)
class Call:
    """A call of a service: who and where (`subject`), which key; `loud` records success too; `check`
    raises when it is not allowed.
    """

    subject: Any
    operation: str
    key: bytes | None
    loud: bool
    check: Callable[[], None]


@dataclass
class Told:
    """What the running service adds to its entry; `allowed` turns true once the check has passed."""

    allowed: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


_told: ContextVar[Told | None] = ContextVar("told", default=None)


def tell(**detail: Any) -> None:
    """Add facts (lengths, old and new TTL, counts; never values) to the entry of the running service."""
    told = _told.get()
    if told is not None:
        told.detail.update(detail)


@contextmanager
def _telling(told: Told) -> Iterator[None]:
    mark = _told.set(told)
    try:
        yield
    finally:
        _told.reset(mark)


@contextmanager
def entry(call: Call) -> Iterator[None]:
    """Check, run the block, and record how it ends: "done" or "failed" where `loud`, "denied" always."""
    told = Told()
    try:
        call.check()
        told.allowed = True
        with _telling(told):
            yield
    except BaseException as error:
        _record_end(call, told, error)
        raise
    else:
        _record_end(call, told, None)


@asynccontextmanager
async def async_entry(call: Call) -> AsyncIterator[None]:
    """`entry` for an async service: the database is written off the event loop."""
    told = Told()
    try:
        call.check()
        told.allowed = True
        with _telling(told):
            yield
    except BaseException as error:
        await _record_end_off_loop(call, told, error)
        raise
    else:
        await _record_end_off_loop(call, told, None)


def watch(call: Call, items: Iterator[Any]) -> Iterator[Any]:
    """The items of a service that passed its check; recorded when they end, fail, or are no longer wanted.

    The context is set around each step alone: between two steps other code runs in it.
    """
    told = Told(allowed=True)
    try:
        while True:
            with _telling(told):
                item = next(items, _END)
            if item is _END:
                break
            yield item
    except BaseException as error:
        items.close()  # type: ignore[attr-defined]
        _record_end(call, told, error)
        raise
    else:
        _record_end(call, told, None)


async def async_watch(call: Call, items: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """`watch` for an async generator."""
    told = Told(allowed=True)
    try:
        while True:
            with _telling(told):
                item = await anext(items, _END)
            if item is _END:
                break
            yield item
    except BaseException as error:
        await items.aclose()  # type: ignore[attr-defined]
        await _record_end_off_loop(call, told, error)
        raise
    else:
        await _record_end_off_loop(call, told, None)


_END: Any = object()


def _record_end(call: Call, told: Told, error: BaseException | None) -> None:
    if not call.loud and told.allowed:
        return
    outcome = "done" if error is None else "failed" if told.allowed else "denied"
    detail = told.detail if error is None else told.detail | {"problem": _sentence(error)}
    record(call.subject, call.operation, key=call.key, outcome=outcome, detail=detail)


async def _record_end_off_loop(call: Call, told: Told, error: BaseException | None) -> None:
    if call.loud or not told.allowed:
        await sync_to_async(_record_end)(call, told, error)


def _sentence(error: BaseException) -> str:
    if isinstance(error, GeneratorExit | CancelledError | KeyboardInterrupt):
        return "It was stopped before its end."
    return explain(error).sentence


def _as_kept(value: Any) -> Any:
    """`value` as it comes back from the database, on SQLite and Postgres alike, so that its hash is the
    same then.
    """
    if isinstance(value, dict):
        return {str(name): _as_kept(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_kept(part) for part in value]
    if isinstance(value, bytes):
        return to_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and abs(value) < 1e15 and value == round(value, 6):
        return value
    return str(value).replace("\0", "")


def record(subject: Any, operation: str, *, key: bytes | None, outcome: str, detail: dict[str, Any]) -> None:
    """Append one entry to the chain; writers queue up behind the chain's single row."""
    from keyspace.models import AuditChain, AuditEntry

    actor, server = subject.actor, getattr(subject, "server", None)
    with transaction.atomic():
        AuditChain.objects.get_or_create(pk=1)
        chain = AuditChain.objects.select_for_update().get(pk=1)
        new = AuditEntry(
            at=timezone.now(), person=actor.name, address=actor.address, request_id=actor.request_id,
            server=server.name if server else "", db=getattr(subject, "db", None), operation=operation,
            key=key, outcome=outcome, detail=_as_kept(detail), previous=chain.last_hash,
        )  # fmt: skip
        new.hash = new.digest()
        new.save(force_insert=True)
        chain.last_hash, chain.entries = new.hash, chain.entries + 1
        chain.save(update_fields=["last_hash", "entries"])
