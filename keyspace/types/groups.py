"""The consumer groups of a stream: groups, the consumers of one, and what is pending there."""

from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms

from keyspace.encoding import from_key_id, key_id
from keyspace.errors import NotFound, Problem, TooLarge
from keyspace.types.base import Page
from keyspace.types.elements import Element, figures, label
from keyspace.types.reading import PageForm, Reading, gone, is_refused, mapping
from keyspace.types.stream_ids import IdField, id_time

MOST = 10_000
"""Groups or consumers that are listed: XINFO answers with all of them at once."""


class IdentityField(forms.CharField):
    """The name of a group or consumer as `key_id` writes it in an address."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=8192, required=False, **options)

    def clean(self, value: Any) -> bytes | None:
        text: str = super().clean(value)
        try:
            return from_key_id(text) if text else None
        except Problem as problem:
            raise forms.ValidationError("This is not the address of a name.") from problem


class ConsumersForm(PageForm):
    """Without a `group`, the one with the most to do."""

    group = IdentityField()


class PendingForm(ConsumersForm):
    """Of one `consumer` or all; `idle`: only what has been so for as many milliseconds; `after`: the last id shown."""

    consumer = IdentityField()
    idle = forms.IntegerField(min_value=0, max_value=2**53, required=False)
    after = IdField()

    defaults: ClassVar[dict[str, Any]] = {"idle": 0}


@dataclass(frozen=True)
class GroupRow:
    """`lag`: entries not delivered yet, None where the server cannot know. `address` names the group in other faces."""

    name: Element
    address: str
    consumers: int
    pending: int
    last_delivered: str
    entries_read: int | None
    lag: int | None


@dataclass(frozen=True)
class ConsumerRow:
    """`idle`: ms since it last tried anything; `inactive`: since it last got something, None before Redis 7.2 and Valkey 7.2."""

    name: Element
    address: str
    pending: int
    idle: int
    inactive: int | None


@dataclass(frozen=True)
class PendingRow:
    """An entry delivered and not acknowledged; `idle` in ms since it was last delivered."""

    id: str
    at: int | None
    consumer: Element
    idle: int
    deliveries: int


@dataclass(frozen=True, kw_only=True)
class GroupPage(Page):
    """Rows of one of the `groups` (None: there is none), narrowed to a `consumer` and to what is `idle` so many ms."""

    groups: tuple[GroupRow, ...]
    group: GroupRow | None
    consumer: Element | None = None
    idle: int = 0


def read_groups(reading: Reading) -> Page:
    total, groups = _groups(reading)
    return Page(rows=groups, total=total)


def read_consumers(reading: Reading) -> GroupPage:
    total, groups = _groups(reading)
    group = _chosen(reading, groups)
    if group is None:
        return GroupPage(total=total, groups=groups, group=None)
    if group.consumers > MOST:
        raise TooLarge(f"This group has {figures(group.consumers)} consumers, more than can be listed.")
    told = reading.ask(("XINFO", "CONSUMERS", reading.name, group.name.data))[0]
    return GroupPage(
        rows=tuple(_consumer(mapping(each)) for each in told), total=total, groups=groups, group=group
    )


def read_pending(reading: Reading) -> GroupPage:
    total, groups = _groups(reading)
    group, asked = _chosen(reading, groups), reading.asked
    if group is None:
        return GroupPage(total=total, groups=groups, group=None)
    start = f"({asked['after']}" if asked["after"] else "-"
    idle = ("IDLE", asked["idle"]) if asked["idle"] else ()
    consumer = (asked["consumer"],) if asked["consumer"] is not None else ()
    wanted = asked["count"] + 1
    told = reading.ask(("XPENDING", reading.name, group.name.data, *idle, start, "+", wanted, *consumer))[0]
    rows = tuple(_pending(*each) for each in told[: asked["count"]])
    return GroupPage(
        rows=rows, total=total, groups=groups, group=group,
        consumer=label(consumer[0]) if consumer else None, idle=asked["idle"],
        next=reading.with_(after=rows[-1].id) if len(told) == wanted else None,
    )  # fmt: skip


def _groups(reading: Reading) -> tuple[int, tuple[GroupRow, ...]]:
    """(length of the stream, its groups). XINFO GROUPS has no COUNT: the number of groups is asked first."""
    info = reading.try_asking(("XINFO", "STREAM", reading.name))[0]
    if is_refused(info, "no such key"):
        raise gone(reading.name)
    if isinstance(info, Exception):
        raise info
    told = mapping(info)
    if told["groups"] > MOST:
        raise TooLarge(f"This stream has {figures(told['groups'])} groups, more than can be listed.")
    groups = reading.ask(("XINFO", "GROUPS", reading.name))[0]
    return told["length"], tuple(_group(mapping(each)) for each in groups)


def _group(told: dict[str, Any]) -> GroupRow:
    name: bytes = told["name"]
    return GroupRow(
        label(name), key_id(name), told["consumers"], told["pending"], told["last-delivered-id"].decode(),
        told.get("entries-read"), told.get("lag"),
    )  # fmt: skip


def _chosen(reading: Reading, groups: tuple[GroupRow, ...]) -> GroupRow | None:
    wanted = reading.asked["group"]
    if wanted is None:
        return max(groups, key=lambda group: (group.pending, group.consumers), default=None)
    for group in groups:
        if group.address == key_id(wanted):
            return group
    raise NotFound("There is no such group any more.", "Look at the list of groups.")


def _consumer(told: dict[str, Any]) -> ConsumerRow:
    name: bytes = told["name"]
    return ConsumerRow(label(name), key_id(name), told["pending"], told["idle"], told.get("inactive"))


def _pending(entry_id: bytes, consumer: bytes, idle: int, deliveries: int) -> PendingRow:
    text = entry_id.decode()
    return PendingRow(text, id_time(text), label(consumer), idle, deliveries)
