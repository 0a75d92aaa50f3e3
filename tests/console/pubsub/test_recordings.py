"""Recording, whole, to a file; and the same view over it later."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from asgiref.sync import sync_to_async
from django.test import Client

from keyspace.models import LiveUse
from keyspace.pubsub import recorder as recorder_module
from keyspace.pubsub import recordings
from keyspace.pubsub.limits import recordings_directory
from tests.console.pubsub.conftest import PATIENCE
from tests.console.pubsub.test_live import publish
from tests.people import sign_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


def lines_of(number: str) -> list[dict[str, Any]]:
    with (recordings_directory() / f"{number}.jsonl.zst").open("rb") as file:
        raw = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    return [json.loads(line) for line in raw.splitlines()]


async def record(socket: Any) -> str:
    await socket.send("record")
    return (await socket.until("recording"))["id"]


async def stop(socket: Any, number: str) -> dict[str, Any]:
    await socket.send("stop_recording", id=number)
    return await socket.until("recording", id=number)


async def test_every_matching_message_is_recorded_whole_and_in_order(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    socket = await open_live(viewer)
    await socket.watch(("pattern", "orders.*"), filter={"text": "keep"})
    number = await record(socket)
    wanted = [b"keep %d" % at for at in range(3000)] + [b"keep " + b"x" * 100_000, b"keep \xff\x00"]
    await publish(redis, "orders.1", b"before anything", *wanted, b"other")
    await socket.messages(3002)
    told = await stop(socket, number)
    assert (told["state"], told["messages"], told["gaps"]) == ("finished", 3002, 0)
    lines = lines_of(number)
    assert [line.get("payload") for line in lines[:3000]] == [payload.decode() for payload in wanted[:3000]]
    assert len(lines[3000]["payload"]) == 100_005 and lines[3001]["payload_base64"] == "a2VlcCD/AA=="
    assert lines[0]["channel"] == "orders.1" and lines[0]["via"] == ["pattern", "orders.*"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in recordings_directory().iterdir())


async def test_a_gap_is_in_the_recording(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    number = await record(socket)
    await publish(redis, "a", b"before")
    await socket.messages(1)
    await asyncio.to_thread(redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
    gap = await socket.until("gap", until=None)
    await socket.until("gap", since=gap["since"])
    await publish(redis, "a", b"after")
    await socket.messages(1)
    assert (await stop(socket, number))["gaps"] == 1
    before, marked, after = lines_of(number)
    assert (before["payload"], after["payload"]) == ("before", "after")
    assert marked["since"] == gap["since"] and marked["until"] and marked["messages"] is None


async def test_a_disk_that_is_too_slow_leaves_a_gap_with_its_number(
    open_live: Any, viewer: Any, redis: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 50_000)
    monkeypatch.setattr(recorder_module, "BLOCK_EVERY", 0.0)
    write, quick = recorder_module.RecordingFile.add, threading.Event()

    def write_slowly(self: Any, runs: Any) -> None:
        quick.wait(PATIENCE)
        write(self, runs)

    monkeypatch.setattr(recorder_module.RecordingFile, "add", write_slowly)
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    number = await record(socket)
    for sent in range(100, 2001, 100):
        await publish(redis, "a", *[b"x" * 400] * 100)
        while socket.counts["received"] < sent:
            await socket.next()
    quick.set()
    told = await stop(socket, number)
    header = recordings.read_header(recordings_directory() / f"{number}.json")
    assert header.missed > 0 and told["messages"] + header.missed == 2000


async def test_it_ends_at_its_size_and_at_its_time(open_live: Any, viewer: Any, redis: Any) -> None:
    import os

    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    await socket.send("record", bytes=10_000)
    number = (await socket.until("recording"))["id"]
    await publish(redis, "a", *[os.urandom(1000) for _ in range(50)])
    assert (await ended(number)).why == "it reached its size"
    await socket.send("record", seconds=1)
    number = (await socket.until("recording", state="recording"))["id"]
    assert (await ended(number)).why == "its time was over"


async def header_of(number: str, holds: Callable[[Any], bool]) -> Any:
    """What is written of a recording, once it is like that."""
    async with asyncio.timeout(PATIENCE):
        while True:
            header = recordings.read_header(recordings_directory() / f"{number}.json")
            if holds(header):
                return header
            await asyncio.sleep(0.05)


async def ended(number: str) -> Any:
    return await header_of(number, lambda header: header.state != "recording")


async def let_go(number: str) -> None:
    """Wait until its process has said that it runs no more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if not await LiveUse.objects.filter(number=number).aexists():
                return
            await asyncio.sleep(0.02)


async def test_it_goes_on_without_the_page_and_ends_with_the_right_to_watch(
    open_live: Any, viewer: Any, redis: Any, settings: Any
) -> None:
    from keyspace.models import Grant

    settings.LIVE_RECHECK_SECONDS = 0.3
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    number = await record(socket)
    await socket.leave()
    await publish(redis, "a", b"unseen")
    await header_of(number, lambda header: header.messages == 1)
    await sync_to_async(Grant.objects.filter(user=viewer).delete)()
    header = await ended(number)
    assert "no server test for you" in header.why and header.messages == 1


async def test_recordings_at_once_are_limited(open_live: Any, viewer: Any, settings: Any) -> None:
    settings.LIVE_RECORDINGS_PER_PERSON = 1
    socket = await open_live(viewer)
    await socket.send("record")
    assert "nothing to record" in (await socket.until("problem"))["sentence"]
    await socket.watch(("channel", "a"))
    number = await record(socket)
    await socket.send("record")
    assert "1 recordings running" in (await socket.until("problem"))["sentence"]
    await stop(socket, number)


async def recorded(socket: Any, redis: Any, payloads: list[bytes], pause: float = 0.0) -> str:
    await socket.watch(("channel", "a"), ("channel", "secret"))
    number = await record(socket)
    for payload in payloads:
        await publish(redis, "a", payload)
        await asyncio.sleep(pause)
    await publish(redis, "secret", b"not for all")
    while socket.counts["received"] < len(payloads) + 1:
        await socket.next()
    await stop(socket, number)
    return number


async def test_a_recording_plays_in_the_same_view(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    number = await recorded(socket, redis, [b"%d" % at for at in range(50)] + [b"\xff"])
    await socket.send("replay", id=number, speed=0)
    payloads = await socket.messages(52)
    assert payloads[:51] == [*map(str, range(50)), "\udcff"] and payloads[51] == "not for all"
    assert (await socket.until("replay_end"))["messages"] == 52
    await socket.send("replay", id=number, speed=0, filter={"mode": "regex", "text": "^1.$"})
    assert await socket.messages(10) == [str(at) for at in range(10, 20)]


async def test_it_plays_from_a_moment_and_at_its_own_speed(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    number = await recorded(socket, redis, [b"%d" % at for at in range(8)], pause=0.2)
    at = [line["at"] for line in lines_of(number)]
    began = asyncio.get_running_loop().time()
    await socket.send("replay", id=number, since=at[4], speed=1)
    assert (await socket.messages(5)) == ["4", "5", "6", "7", "not for all"]
    assert asyncio.get_running_loop().time() - began > (at[-1] - at[4]) / 1000 * 0.8
    await socket.send("replay", id=number, speed=1)
    await socket.messages(1)
    await socket.send("stop_replay")
    await socket.send("watch", subscriptions=[["channel", "a"]])
    await socket.until("watching")  # it was heard
    assert await socket.is_quiet(0.5)


async def test_anothers_recording_is_not_there_and_an_admins_view_holds_all(
    open_live: Any, viewer: Any, operator: Any, admin: Any, redis: Any
) -> None:
    socket = await open_live(viewer)
    number = await recorded(socket, redis, [b"1"])
    other = await open_live(operator)
    await other.send("replay", id=number)
    assert "no such recording" in (await other.until("problem"))["sentence"]
    for name in ("../../secret", "x" * 200, ""):
        await other.send("replay", id=name)
        assert "no such recording" in (await other.until("problem"))["sentence"]
    boss = await open_live(admin)
    await boss.send("replay", id=number, speed=0)
    assert await boss.messages(2) == ["1", "not for all"]


async def test_a_narrower_grant_narrows_what_a_recording_shows(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    from keyspace.models import Grant

    socket = await open_live(viewer)
    number = await recorded(socket, redis, [b"1"])
    await sync_to_async(Grant.objects.filter(user=viewer).update)(channels=["a"])
    fresh = await open_live(viewer)
    await fresh.send("replay", id=number, speed=0)
    await fresh.until("replay_end")
    assert [text for frame in fresh.seen if frame["t"] == "batch" for text in frame["p"]] == ["1"]
    client = await sync_to_async(sign_in)(viewer)
    answer = await sync_to_async(client.get)(f"/servers/test/pubsub/recordings/{number}/download/")
    assert answer.status_code == 403


async def test_pages_of_recordings(open_live: Any, viewer: Any, operator: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    number = await recorded(socket, redis, [b"1", b"2"])
    await socket.leave()
    await sync_to_async(_look_at_pages)(
        number, await sync_to_async(sign_in)(viewer), await sync_to_async(sign_in)(operator)
    )


def _look_at_pages(number: str, mine: Client, others: Client) -> None:
    base = "/servers/test/pubsub/recordings/"
    assert number in mine.get(base).content.decode() and number not in others.get(base).content.decode()
    facts = mine.get(f"{base}{number}/").json()
    assert facts["messages"] == sum(facts["bars"]) == 3 and facts["gaps"] == []
    answer = mine.get(f"{base}{number}/download/")
    raw = b"".join(answer.streaming_content)  # type: ignore[arg-type]
    assert b"not for all" in zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
    for verb, address in (("get", ""), ("get", "download/"), ("post", "delete/")):
        assert getattr(others, verb)(f"{base}{number}/{address}").status_code == 404
    assert mine.get(f"{base}{number}/delete/").status_code == 405
    assert number not in mine.post(f"{base}{number}/delete/").content.decode()
    assert list(recordings_directory().iterdir()) == []


async def test_what_a_console_that_was_killed_had_recorded_stays(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    socket = await open_live(viewer)
    number = await recorded(socket, redis, [b"1", b"2"])
    path = recordings_directory() / f"{number}.json"
    header = recordings.read_header(path)
    header.state = "recording"  # as it was when its process died
    recordings.write_header(path.parent, header)
    with (recordings_directory() / f"{number}.jsonl.zst").open("ab") as file:
        file.write(b"half a block")
    await let_go(number)
    client = await sync_to_async(sign_in)(viewer)
    page = (await sync_to_async(client.get)("/servers/test/pubsub/recordings/")).content.decode()
    assert "interrupted" in page and "the console stopped while it ran" in page
    await socket.send("replay", id=number, speed=0)
    assert len(await socket.messages(3)) == 3
