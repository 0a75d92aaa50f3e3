"""Live views and recordings counted across processes: rows that are kept fresh, or expire."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.utils import timezone

from keyspace.models import LiveUse
from keyspace.pubsub import uses
from keyspace.pubsub.uses import GONE_AFTER, RECORDING, VIEW, Keeper, TooMany, Use

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def keeper(monkeypatch: Any) -> Keeper:
    monkeypatch.setattr(uses, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(uses, "BEAT_EVERY", 0.05)
    return Keeper()


@sync_to_async
def age(number: str, seconds: float) -> None:
    LiveUse.objects.filter(number=number).update(seen_at=timezone.now() - timedelta(seconds=seconds))


async def numbers() -> list[str]:
    return [number async for number in uses.alive().order_by("number").values_list("number", flat=True)]


async def until(happened: Any) -> None:
    for _ in range(2500):
        if await happened():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen")


async def test_a_person_has_so_many_of_a_kind_and_no_more(keeper: Keeper, viewer: Any, operator: Any) -> None:
    await keeper.begin(Use("a", VIEW, viewer.pk), most=1)
    with pytest.raises(TooMany, match="1 live views open already"):
        await keeper.begin(Use("b", VIEW, viewer.pk), most=1)
    await keeper.begin(Use("c", RECORDING, viewer.pk), most=1)
    await keeper.begin(Use("d", VIEW, operator.pk), most=1)
    await keeper.end("a")
    await keeper.begin(Use("b", VIEW, viewer.pk), most=1)
    assert await numbers() == ["b", "c", "d"]
    for number in "bcd":
        await keeper.end(number)
    assert await numbers() == []


async def test_two_at_once_do_not_both_take_the_last_place(keeper: Keeper, viewer: Any) -> None:
    begun = [keeper.begin(Use(str(at), VIEW, viewer.pk), most=2) for at in range(6)]
    results = await asyncio.gather(*begun, return_exceptions=True)
    assert sum(isinstance(result, TooMany) for result in results) == 4 and len(await numbers()) == 2


async def test_what_a_dead_process_had_open_counts_no_more(keeper: Keeper, viewer: Any) -> None:
    await sync_to_async(LiveUse.objects.create)(number="dead", kind=VIEW, user=viewer, process="gone")
    with pytest.raises(TooMany):
        await keeper.begin(Use("a", VIEW, viewer.pk), most=1)
    await age("dead", GONE_AFTER + 1)
    await keeper.begin(Use("a", VIEW, viewer.pk), most=1)
    assert await numbers() == ["a"]
    await keeper.end("a")


async def test_rows_are_kept_fresh_and_come_back_after_a_sleep(keeper: Keeper, viewer: Any) -> None:
    for number in ("a", "b"):
        await keeper.begin(Use(number, VIEW, viewer.pk), most=5)
    await age("a", GONE_AFTER + 1)
    await sync_to_async(
        LiveUse.objects.filter(number="b").delete
    )()  # as another process does with what looks dead

    async def both() -> bool:
        return await numbers() == ["a", "b"]

    await until(both)
    for number in ("a", "b"):
        await keeper.end(number)


async def test_a_wish_to_stop_is_passed_on_with_its_words(keeper: Keeper, viewer: Any) -> None:
    heard: list[str] = []
    await keeper.begin(Use("a", RECORDING, viewer.pk, heard.append), most=1)
    await sync_to_async(uses.ask_to_stop)("a", "it was stopped")

    async def told() -> bool:
        return bool(heard)

    await until(told)
    assert heard[0] == "it was stopped"
    await keeper.end("a")


async def test_a_database_that_is_away_ends_nothing(keeper: Keeper, viewer: Any, monkeypatch: Any) -> None:
    await keeper.begin(Use("a", VIEW, viewer.pk), most=1)
    touch = uses._touch
    failed: list[int] = []

    def fail(held: list[Use]) -> None:
        failed.append(1)
        raise DatabaseError("away")

    async def failed_twice() -> bool:
        return len(failed) > 1

    monkeypatch.setattr(uses, "_touch", fail)
    await until(failed_twice)
    monkeypatch.setattr(uses, "_touch", touch)
    await age("a", GONE_AFTER + 1)

    async def back() -> bool:
        return await numbers() == ["a"]

    await until(back)
    await keeper.end("a")
