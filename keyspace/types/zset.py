"""Sorted sets: by rank both ways, by score, by name, by pattern, and as positions on earth.

A range of scores or names is first turned into ranks (ZCOUNT, ZLEXCOUNT: logarithmic), so that its thousandth page costs
what its first does; LIMIT with an offset would walk there.
"""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from keyspace.errors import BadInput, NotFound
from keyspace.types.base import Face, KeyType, Page
from keyspace.types.bounds import WHOLE
from keyspace.types.elements import Element, element, figures
from keyspace.types.reading import BytesField, Reading, StartForm, pairs
from keyspace.types.scanning import ScanForm, exact, onward, scan
from keyspace.types.zset_edits import ZSET_EDITS
from keyspace.types.zset_scores import score_text
from keyspace.wire import Command

if TYPE_CHECKING:
    from keyspace.servers import Connection

ORDERS = [("low", "Lowest first"), ("high", "Highest first")]
_SCORE = re.compile(r"\(?[+-]?(inf(inity)?|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?)\Z", re.IGNORECASE)
GEO_LOW, GEO_HIGH = 2**44, 2**52
"""Scores of positions: 52 interleaved bits. Below 2^44 lies only the sea off Antarctica, and times in milliseconds."""


class RankForm(StartForm):
    """`start` members are passed over, from the end that `order` begins with."""

    order = forms.ChoiceField(choices=ORDERS, required=False)

    defaults: ClassVar[dict[str, Any]] = {"start": 0, "order": "low"}


class ScoreField(forms.CharField):
    """One end of a range as Redis writes it: ``5``, ``(5`` (excluded), ``-inf``, ``+inf``."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if text and not _SCORE.match(text):
            raise forms.ValidationError(
                "A score is a number, inf or -inf, with a ( in front to leave it out."
            )
        return text


class ScoreForm(RankForm):
    min = ScoreField(max_length=400, required=False)
    max = ScoreField(max_length=400, required=False)

    defaults: ClassVar[dict[str, Any]] = {"start": 0, "order": "low", "min": "-inf", "max": "+inf"}


class LexForm(RankForm):
    """Names as ``[a`` (included, as is a bare ``a``), ``(a`` (left out), ``-`` and ``+`` (the ends)."""

    min = BytesField(max_length=1024)
    max = BytesField(max_length=1024)

    defaults: ClassVar[dict[str, Any]] = {"start": 0, "order": "low", "min": b"-", "max": b"+"}


@dataclass(frozen=True)
class ZsetRow:
    """`rank` counts from the lowest. `score` is exact. `position`: (longitude, latitude) in degrees, on the face that has it."""

    rank: int | None
    member: Element
    score: Element
    position: tuple[float, float] | None = None


def read_by_rank(reading: Reading) -> Page:
    total, rows, _ = _window(reading)
    return _page(reading, total, total, rows)


def read_by_score(reading: Reading) -> Page:
    low, high = reading.asked["min"], reading.asked["max"]
    before = low.removeprefix("(") if low.startswith("(") else f"({low}"
    below, inside = ("ZCOUNT", reading.name, "-inf", before), ("ZCOUNT", reading.name, low, high)
    total, rows, within = _window(reading, below, inside)
    return _page(reading, total, within, rows)


def read_by_name(reading: Reading) -> Page:
    low, high = (_lex_end(reading.asked[end]) for end in ("min", "max"))
    before = b"-" if low in (b"-", b"+") else (b"[" if low[:1] == b"(" else b"(") + low[1:]
    below, inside = ("ZLEXCOUNT", reading.name, "-", before), ("ZLEXCOUNT", reading.name, low, high)
    total, rows, within = _window(reading, below, inside)
    ends = reading.ask(*(("ZRANGE", reading.name, at, at, "WITHSCORES") for at in (0, -1)))
    scores = {float(score) for answer in ends for _, score in pairs(answer)}
    note = (
        "The scores differ: an order by name means something only where they are all the same."
        if len(scores) > 1
        else ""
    )
    return _page(reading, total, within, rows, note=note)


def _lex_end(end: bytes) -> bytes:
    return end if end in (b"-", b"+") or end[:1] in (b"[", b"(") else b"[" + end


def _window(reading: Reading, *counts: Command) -> tuple[int, list[tuple[int, bytes, float]], int]:
    """(length, [(rank, member, score)], how many there are in the range) for a range given as the counts below and inside it."""
    total, budget, answers = reading.size(("ZCARD", reading.name), *counts)
    below, within = answers if counts else (0, total)
    start, high = reading.asked["start"], reading.asked["order"] == "high"
    rows: list[tuple[int, bytes, float]] = []
    while wanted := min(budget.step(), within - start - len(rows)):
        if wanted < 0:
            break
        at = start + len(rows)
        low = below + (within - at - wanted if high else at)
        answer = pairs(reading.ask(("ZRANGE", reading.name, low, low + wanted - 1, "WITHSCORES"))[0])
        brought = [(low + number, member, float(score)) for number, (member, score) in enumerate(answer)]
        rows += reversed(brought) if high else brought
        budget.took([len(member) for _, member, _ in brought])
        if len(brought) < wanted:
            break
    return total, rows, within


def _page(
    reading: Reading, total: int, within: int, rows: list[tuple[int, bytes, float]], *, note: str = ""
) -> Page:
    start = reading.asked["start"]
    end = start + len(rows)
    return Page(
        rows=tuple(_row(rank, member, score) for rank, member, score in rows),
        total=total,
        next=reading.with_(start=end) if rows and end < within else None,
        previous=reading.with_(start=max(0, start - reading.asked["count"]) or None) if start else None,
        note=note
        or ("" if within == total else f"{figures(within)} of {figures(total)} members are in this range."),
        offered=_offered([score for _, _, score in rows]),
    )


def _row(rank: int | None, member: bytes, score: float | bytes) -> ZsetRow:
    address = "" if rank is None else str(rank)
    return ZsetRow(rank, element(member, address=address), element(score_text(score).encode()))


def _offered(scores: list[float]) -> tuple[str, ...] | None:
    """The faces that make sense: positions only where every score could be one."""
    geo = bool(scores) and all(score.is_integer() and GEO_LOW <= score < GEO_HIGH for score in scores)
    return None if geo else ("rank", "score", "lex", "search")


def read_matching(reading: Reading) -> Page:
    member = exact(reading)
    if member is not None:
        total, _, (score, rank) = reading.size(
            ("ZCARD", reading.name), ("ZSCORE", reading.name, member), ("ZRANK", reading.name, member)
        )
        return Page(rows=() if score is None else (_row(rank, member, score),), total=total, looked_at=total)
    total, budget, _ = reading.size(("ZCARD", reading.name))
    found, state = scan(reading, "ZSCAN", budget, parse=pairs, size=lambda pair: len(pair[0]))
    ranks = reading.ask(*(("ZRANK", reading.name, member) for member, _ in found))
    rows = tuple(_row(rank, *pair) for pair, rank in zip(found, ranks, strict=True))
    return Page(
        rows=rows,
        total=total,
        next=onward(reading, state),
        looked_at=state.of(total),
    )


def read_positions(reading: Reading) -> Page:
    total, rows, _ = _window(reading)
    page = _page(reading, total, total, rows)
    answer = reading.ask(("GEOPOS", reading.name, *(member for _, member, _ in rows)))[0] if rows else []
    places = [(float(where[0]), float(where[1])) if where else None for where in answer]
    placed = tuple(replace(row, position=place) for row, place in zip(page.rows, places, strict=True))
    return replace(page, rows=placed)


class ZsetType(KeyType):
    name, slug, label, noun = "zset", "zset", "sorted set", "members"
    faces = (
        Face("rank", "By rank", RankForm, read_by_rank),
        Face("score", "By score", ScoreForm, read_by_score, reveals=True),
        Face("lex", "By name", LexForm, read_by_name, reveals=True),
        Face("search", "Search", ScanForm, read_matching, reveals=True),
        Face("geo", "Positions", RankForm, read_positions, reveals=True),
    )
    edits = ZSET_EDITS

    def length_command(self, name: bytes) -> Command:
        return ("ZCARD", name)

    def read_element(self, connection: "Connection", name: bytes, *, address: str) -> Element:
        if not address.isdecimal() or len(address) > 18:
            raise BadInput("This is not the address of a member.", "Open the key anew.")
        members = Reading(connection, name, {}).ask(("ZRANGE", name, address, address))[0]
        if not members:
            raise NotFound("There is no member at this rank any more.", "Reload the sorted set.")
        return Element(members[0][:WHOLE], len(members[0]), address)
