"""Checking that nobody rewrote the audit: a walk along its chain of hashes.

Where retention has let old entries go, the chain begins at its anchor: the last entry that went. An entry of the purge, further up the
same chain, says which that was, so that nobody can move the anchor to hide what they took out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from keyspace.errors import Problem
from keyspace.models import AuditChain, AuditEntry

PURGE = "purge_audit"
PAGE = 2000


class Broken(Problem):
    """The chain does not hold at this entry."""

    status = 409

    def __init__(self, entry_id: int, sentence: str) -> None:
        super().__init__(
            sentence,
            "Compare the database with its backups: somebody changed it by other ways than the console.",
        )
        self.entry_id = entry_id


@dataclass(frozen=True)
class Place:
    """Where a walk is: behind the entry `id`, whose hash is `hash`, and `walked` entries after it began."""

    id: int = 0
    hash: str = ""
    walked: int = 0


@dataclass(frozen=True)
class Verdict:
    """`entries` looked at, the id of the first broken one (None: whole), what is wrong with it, and where the walk ended."""

    entries: int
    broken_id: int | None = None
    sentence: str = "The chain is whole."
    at: Place = field(default=Place(), compare=False)


def chain_of() -> AuditChain:
    return AuditChain.objects.filter(pk=1).first() or AuditChain()


def beginning() -> Place:
    """The anchor. Raises Broken when no purge has put it there."""
    while True:
        chain = chain_of()
        if not chain.anchor_id or _is_vouched_for(chain):
            return Place(chain.anchor_id, chain.anchor_hash)
        if chain_of().anchor_id == chain.anchor_id:
            raise Broken(chain.anchor_id, "Entries were taken from the beginning without a purge.")


def _is_vouched_for(chain: AuditChain) -> bool:
    purge = AuditEntry.objects.filter(operation=PURGE, outcome="done").order_by("-id").first()
    return purge is not None and (purge.detail.get("last"), purge.detail.get("hash")) == (
        chain.anchor_id,
        chain.anchor_hash,
    )


def walk(start: Place) -> Iterator[Place]:
    """The places reached, PAGE entries at a time, up to the chain's end; entries written meanwhile are walked as well.

    Raises Broken. Where a purge overtakes it, it goes on from the new anchor: what went was checked before it went.
    """
    chain, at = chain_of(), start
    met_end = at.hash == chain.last_hash
    while rows := list(AuditEntry.objects.filter(id__gt=at.id).order_by("id")[:PAGE]):
        try:
            at = _walk_page(rows, at)
        except Broken:
            now = chain_of()
            if now.anchor_id <= at.id:
                raise
            at = Place(now.anchor_id, now.anchor_hash, at.walked)
            continue
        met_end = met_end or any(row.hash == chain.last_hash for row in rows)
        yield at
    if not met_end and chain_of().anchor_id <= at.id:
        raise Broken(at.id + 1, "The newest entries are missing.")


def _walk_page(rows: list[AuditEntry], at: Place) -> Place:
    for row in rows:
        if row.previous != at.hash:
            raise Broken(
                row.pk, f"Entry {row.pk} does not follow the one before it: an entry was taken out or moved."
            )
        if row.digest() != row.hash:
            raise Broken(row.pk, f"Entry {row.pk} was changed after it was written.")
        at = Place(row.pk, row.hash, at.walked + 1)
    return at


def verify_chain() -> Verdict:
    """Walk all of the chain, from its anchor on."""
    at = Place()
    try:
        at = beginning()
        for reached in walk(at):
            at = reached
    except Broken as broken:
        return Verdict(at.walked, broken.entry_id, broken.sentence, at)
    return Verdict(at.walked, at=at)
