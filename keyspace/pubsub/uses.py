"""Live views and recordings that are open now, in all processes of the console: counted, kept fresh, asked to stop.

Each is a row (LiveUse) in the database that all processes share. A process touches its rows every BEAT_EVERY seconds with one
UPDATE; rows that nobody has touched for GONE_AFTER seconds count no more, so what a crash leaves behind is gone by itself.
"""

import asyncio
import functools
import logging
import secrets
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from keyspace.errors import Problem
from keyspace.models import LiveUse

log = logging.getLogger(__name__)
VIEW, RECORDING = LiveUse.Kind.VIEW, LiveUse.Kind.RECORDING
LOOK_EVERY = 1.0  # seconds between two looks for wishes, while something here can be asked to stop
BEAT_EVERY = 5.0  # seconds
GONE_AFTER = 20.0  # seconds
_TOO_MANY = {
    VIEW: ("You have {} live views open already.", "Close one of them."),
    RECORDING: ("You have {} recordings running already.", "Stop one of them first."),
}


class TooMany(Problem):
    """A person has as many open as may be."""

    status = 429


@dataclass(frozen=True)
class Use:
    """One of this process. `on_stop` is called in the loop with why another process wants it to end."""

    number: str
    kind: LiveUse.Kind
    user: int
    on_stop: Callable[[str], None] | None = None


@functools.cache
def this_process() -> str:
    return secrets.token_hex(8)


def alive() -> QuerySet[LiveUse]:
    return LiveUse.objects.filter(seen_at__gte=timezone.now() - timedelta(seconds=GONE_AFTER))


def is_alive(number: str) -> bool:
    return alive().filter(number=number).exists()


def ask_to_stop(number: str, why: str) -> None:
    """The process that has it looks once a second."""
    LiveUse.objects.filter(number=number).update(stop=why)


class Keeper:
    """The uses of this process (of the running loop)."""

    def __init__(self) -> None:
        self._held: dict[str, Use] = {}
        self._task: asyncio.Task[None] | None = None
        self._beaten = 0.0

    async def begin(self, use: Use, *, most: int) -> None:
        """Raises TooMany when the person has `most` of the kind already, wherever they run."""
        await sync_to_async(_insert)(use, most)
        self._held[use.number] = use
        if self._task is None or self._task.done():
            self._beaten = time.monotonic()
            self._task = asyncio.create_task(self._keep(), name="live uses")

    async def end(self, number: str) -> None:
        if self._held.pop(number, None) is not None:
            await self._try(_delete, number)

    async def _keep(self) -> None:
        while self._held:
            await asyncio.sleep(LOOK_EVERY)
            if time.monotonic() - self._beaten >= BEAT_EVERY:
                self._beaten = time.monotonic()
                await self._try(_touch, list(self._held.values()))
            if any(use.on_stop for use in self._held.values()):
                self._pass_on(await self._try(_wishes) or [])

    def _pass_on(self, wishes: list[tuple[str, str]]) -> None:
        for number, why in wishes:
            use = self._held.get(number)
            if use is not None and use.on_stop is not None:
                use.on_stop(why)

    @staticmethod
    async def _try(work: Callable[..., Any], *arguments: Any) -> Any:
        """A database that is away for a while ends no view and no recording."""
        try:
            return await sync_to_async(_fresh)(work, *arguments)
        except DatabaseError as error:
            log.warning("live uses are not kept up: %s", type(error).__name__)
            return None


def _fresh(work: Callable[..., Any], *arguments: Any) -> Any:
    """Outside of a request nobody else closes a connection that has broken."""
    close_old_connections()
    try:
        return work(*arguments)
    finally:
        close_old_connections()


def _insert(use: Use, most: int) -> None:
    with transaction.atomic():
        # One at a time a person; where a transaction locks the whole database this asks for nothing more.
        get_user_model().objects.select_for_update(no_key=True).filter(pk=use.user).first()
        LiveUse.objects.filter(seen_at__lt=timezone.now() - timedelta(seconds=GONE_AFTER)).delete()
        count = LiveUse.objects.filter(kind=use.kind, user_id=use.user).count()
        if count >= most:
            sentence, advice = _TOO_MANY[use.kind]
            raise TooMany(sentence.format(count), advice)
        _row(use).save(force_insert=True)


def _row(use: Use) -> LiveUse:
    return LiveUse(number=use.number, kind=use.kind, user_id=use.user, process=this_process())


def _touch(uses: list[Use]) -> None:
    """Also brings back the rows that others took for left behind, while this process was asleep."""
    numbers = [use.number for use in uses]
    touched = LiveUse.objects.filter(process=this_process(), number__in=numbers).update(
        seen_at=timezone.now()
    )
    if touched < len(uses):
        LiveUse.objects.bulk_create([_row(use) for use in uses], ignore_conflicts=True)


def _wishes() -> list[tuple[str, str]]:
    return list(LiveUse.objects.filter(process=this_process()).exclude(stop="").values_list("number", "stop"))


def _delete(number: str) -> None:
    LiveUse.objects.filter(number=number).delete()


_keepers: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Keeper]" = weakref.WeakKeyDictionary()


def keeper() -> Keeper:
    """That of the running loop."""
    return _keepers.setdefault(asyncio.get_running_loop(), Keeper())
