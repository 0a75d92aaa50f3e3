"""Writing the audit, and checking that nobody rewrote it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from keyspace.errors import explain


@dataclass
class Told:
    """What the running service adds to its entry; `allowed` turns true once the permission check has passed."""

    allowed: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


_told: ContextVar[Told | None] = ContextVar("told", default=None)


def tell(**detail: Any) -> None:
    """Add facts (lengths, old and new TTL, counts; never values) to the entry of the service that is running."""
    told = _told.get()
    if told is not None:
        told.detail.update(detail)


@contextmanager
def entry(subject: Any, operation: str, *, key: bytes | None, loud: bool) -> Iterator[Told]:
    """Record how the block ends: "done" or "failed" where `loud`, "denied" always."""
    told = Told()
    mark = _told.set(told)
    try:
        yield told
    except BaseException as error:
        if loud or not told.allowed:
            record(subject, operation, key=key, outcome=_outcome(told), detail=told.detail | _problem(error))
        raise
    else:
        if loud:
            record(subject, operation, key=key, outcome="done", detail=told.detail)
    finally:
        _told.reset(mark)


@asynccontextmanager
async def async_entry(subject: Any, operation: str, *, key: bytes | None, loud: bool) -> AsyncIterator[Told]:
    """`entry` for an async service."""
    told = Told()
    mark = _told.set(told)
    write = sync_to_async(record)
    try:
        yield told
    except BaseException as error:
        if loud or not told.allowed:
            await write(subject, operation, key=key, outcome=_outcome(told), detail=told.detail | _problem(error))
        raise
    else:
        if loud:
            await write(subject, operation, key=key, outcome="done", detail=told.detail)
    finally:
        _told.reset(mark)


def _outcome(told: Told) -> str:
    return "failed" if told.allowed else "denied"


def _problem(error: BaseException) -> dict[str, str]:
    return {"problem": explain(error).sentence}


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
            key=key, outcome=outcome, detail=detail, previous=chain.last_hash,
        )  # fmt: skip
        new.hash = new.digest()
        new.save(force_insert=True)
        chain.last_hash, chain.entries = new.hash, chain.entries + 1
        chain.save(update_fields=["last_hash", "entries"])


@dataclass(frozen=True)
class Verdict:
    """`entries` looked at, the id of the first broken one (None: whole), and what is wrong with it."""

    entries: int
    broken_id: int | None = None
    sentence: str = "The chain is whole."


def verify_chain() -> Verdict:
    """Walk the chain from its anchor to its end."""
    from keyspace.models import AuditChain, AuditEntry

    chain = AuditChain.objects.filter(pk=1).first() or AuditChain()
    previous, seen = chain.anchor_hash, 0
    for row in AuditEntry.objects.filter(id__gt=chain.anchor_id).order_by("id").iterator(2000):
        seen += 1
        if row.previous != previous:
            return Verdict(seen, row.id, f"Entry {row.id} does not follow the one before it: an entry was taken out or moved.")
        if row.digest() != row.hash:
            return Verdict(seen, row.id, f"Entry {row.id} was changed after it was written.")
        previous = row.hash
    if previous != chain.last_hash:
        return Verdict(seen, seen + 1, "The newest entries are missing.")
    return Verdict(seen)
