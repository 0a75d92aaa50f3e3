"""The live socket against a real server."""

import asyncio
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from keyspace.models import Grant
from tests.console.pubsub.conftest import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


async def subscribers(redis: Any, channel: str) -> int:
    return (await asyncio.to_thread(redis.execute_command, "PUBSUB", "NUMSUB", channel))[1]


async def nobody_subscribes(redis: Any, channel: str) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if not await subscribers(redis, channel):
                return
            await asyncio.sleep(0.02)


async def publish(redis: Any, channel: str, *payloads: bytes) -> None:
    def send() -> None:
        with redis.pipeline(transaction=False) as pipe:
            for payload in payloads:
                pipe.publish(channel, payload)
            pipe.execute()

    await asyncio.to_thread(send)


async def test_messages_arrive_whole_and_in_order(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "orders"))
    sent = [b"message %d" % number for number in range(5000)]
    await publish(redis, "orders", *sent)
    assert await socket.messages(5000) == [payload.decode() for payload in sent]
    assert socket.counts == {
        "received": 5000,
        "matched": 5000,
        "shown": 5000,
        "buffer": 0,
        "browser": 0,
        "slow_filter": 0,
    }


async def test_bytes_that_are_no_text_survive(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    channel, payload = bytes(range(256)), bytes(range(255, -1, -1))
    name = channel.decode("utf-8", "surrogateescape")
    await socket.watch(("channel", name))
    await publish(redis, channel, payload)
    frame = await socket.until("batch")
    assert frame["channels"] == [name]
    assert frame["p"][0].encode("utf-8", "surrogateescape") == payload


async def test_channels_patterns_and_shard_channels_together(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "a.b"), ("pattern", "a.*"), ("shard", "a.b"))
    await publish(redis, "a.b", b"once by each")
    await asyncio.to_thread(redis.execute_command, "SPUBLISH", "a.b", "shard")
    assert sorted(await socket.messages(3)) == ["once by each", "once by each", "shard"]
    assert socket.counts["received"] == 3


async def test_a_viewer_gets_no_copies_that_others_subscriptions_caused(
    open_live: Any, viewer: Any, operator: Any, redis: Any
) -> None:
    exact, pattern = await open_live(viewer), await open_live(operator)
    await exact.watch(("channel", "a.b"))
    await pattern.watch(("pattern", "a.*"))
    await publish(redis, "a.b", b"x")
    assert await exact.messages(1) == await pattern.messages(1) == ["x"]
    assert await exact.is_quiet()


async def test_one_subscription_whatever_the_number_of_viewers(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    sockets = [await open_live(viewer) for _ in range(5)]
    for socket in sockets:
        await socket.watch(("channel", "orders"))
    assert await subscribers(redis, "orders") == 1
    for socket in sockets[1:]:
        await socket.leave()
    assert await subscribers(redis, "orders") == 1
    await sockets[0].leave()
    await nobody_subscribes(redis, "orders")


async def test_every_second_tells_the_rates_by_channel_and_by_subscription(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    socket = await open_live(viewer)
    await socket.watch(("pattern", "orders.*"), ("channel", "quiet"))
    await publish(redis, "orders.1", b"12345", b"67890")
    await publish(redis, "orders.2", b"x")
    await socket.messages(3)
    tick = await socket.until("tick")
    assert sorted(tick["subs"]) == [["channel", "quiet", 0, 0], ["pattern", "orders.*", 3, 11]]
    told = [row for frame in socket.seen if frame["t"] == "tick" for row in frame["by"]]
    assert sum(count for name, count in told if name == "orders.1") == 2
    assert sum(count for name, count in told if name == "orders.2") == 1 and tick["rest"] == 0
    assert (await socket.until("tick"))["by"] == []


async def test_the_set_changes_while_it_runs(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    await socket.watch(("channel", "a"), ("channel", "b"))
    await publish(redis, "b", b"of b")
    assert await socket.messages(1) == ["of b"]
    await socket.watch(("channel", "b"))
    await publish(redis, "a", b"of a")
    assert await socket.is_quiet()


@pytest.mark.parametrize(
    "wanted",
    [
        {"mode": "contains", "text": "BRL"},
        {"mode": "contains", "text": "brl", "ignore_case": True},
        {"mode": "regex", "text": r'"asset": ?"B\w+"'},
        {"mode": "json", "text": '$.asset = "BRL"'},
        {"mode": "json", "text": "$.items[*].n >= 2"},
        {"channel": "pay*"},
    ],
)
async def test_filters_run_on_the_server(
    open_live: Any, viewer: Any, redis: Any, wanted: dict[str, Any]
) -> None:
    socket = await open_live(viewer)
    await socket.watch(("pattern", "*"), filter=wanted)
    await publish(redis, "other", b'{"asset": "USD", "items": [{"n": 1}]}', b"no json")
    await publish(redis, "payments", b'{"asset": "BRL", "items": [{"n": 1}, {"n": 2}]}')
    assert (await socket.messages(1))[0].startswith('{"asset": "BRL"')
    while socket.counts["received"] < 3:
        await socket.next()
    assert (socket.counts["received"], socket.counts["matched"], socket.counts["shown"]) == (3, 1, 1)


async def test_a_filter_that_is_not_understood_is_told_and_changes_nothing(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    await socket.send(
        "watch", subscriptions=[["channel", "a"]], filter={"mode": "regex", "text": "(unclosed"}
    )
    assert "regular expression" in (await socket.until("problem"))["sentence"]
    await publish(redis, "a", b"still here")
    assert await socket.messages(1) == ["still here"]


async def test_a_regular_expression_that_never_ends_harms_nobody(
    open_live: Any, viewer: Any, operator: Any, redis: Any
) -> None:
    slow, other = await open_live(viewer), await open_live(operator)
    await slow.watch(("channel", "a"), filter={"mode": "regex", "text": r"(a|aa)+$"})
    await other.watch(("channel", "a"))
    began = time.monotonic()
    await publish(redis, "a", *[b"a" * 60 + b"!"] * 50)
    await other.messages(50)
    assert time.monotonic() - began < 20  # it takes longer than anybody waits
    while slow.counts["received"] < 50:
        await slow.next()
    assert slow.counts["slow_filter"] == 50


async def test_a_big_payload_shows_its_beginning_and_is_whole_on_demand(
    open_live: Any, viewer: Any, redis: Any
) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "big"))
    payload = "é".encode() * 5_000_000
    await publish(redis, "big", payload)
    frame = await socket.until("batch")
    row, size, number = frame["big"][0]
    assert (row, size) == (0, len(payload))
    assert len(frame["p"][0].encode()) <= 4096 and set(frame["p"][0]) == {"é"}
    await socket.send("whole", id=number)
    assert (await socket.until("whole"))["p"].encode() == payload
    await socket.send("whole", id=number + 1)
    assert "not buffered" in (await socket.until("problem"))["sentence"]


async def test_a_channel_outside_the_grant_is_refused_and_a_pattern_shows_only_what_is_inside(
    open_live: Any, make_person: Any, server_row: Any, redis: Any
) -> None:
    person = await sync_to_async(make_person)("ana", "viewer", server=server_row, channels=["orders.*"])
    socket = await open_live(person)
    await socket.send("watch", subscriptions=[["channel", "payments"]])
    assert "does not cover the channel payments" in (await socket.until("problem"))["sentence"]
    await socket.watch(("pattern", "*"))
    await publish(redis, "payments", b"secret")
    await publish(redis, "orders.new", b"mine")
    assert await socket.messages(1) == ["mine"]
    assert socket.counts["received"] == 1


async def test_key_events_name_only_keys_of_the_grant(
    open_live: Any, make_person: Any, server_row: Any, redis: Any
) -> None:
    await asyncio.to_thread(redis.config_set, "notify-keyspace-events", "AKE")
    person = await sync_to_async(make_person)("ana", "viewer", server=server_row, patterns=["session:*"])
    socket = await open_live(person)
    await socket.watch(("pattern", "__key*@0__:*"))
    await asyncio.to_thread(redis.set, "secret", "1")
    await asyncio.to_thread(redis.set, "session:1", "1")
    frame = await socket.until("batch")
    while len([name for seen in socket.seen if seen["t"] == "batch" for name in seen["p"]]) < 2:
        frame = await socket.until("batch")
    text = str([seen for seen in socket.seen if seen["t"] == "batch"])
    assert frame and "secret" not in text and "session:1" in text


async def test_a_stranger_is_sent_to_sign_in(open_live: Any, server_row: Any) -> None:
    socket = await open_live(None)
    assert "not signed in" in (await socket.next())["sentence"]
    assert (await socket.next())["code"] == 4401


async def test_nobody_without_a_grant_gets_in(open_live: Any, nobody: Any, server_row: Any) -> None:
    socket = await open_live(nobody)
    assert "no server test for you" in (await socket.next())["sentence"]
    assert (await socket.next())["code"] == 4403


async def test_another_origin_is_refused(open_live: Any, viewer: Any) -> None:
    assert not (await open_live(viewer, origin=b"https://evil.example")).accepted


async def test_a_revoked_grant_ends_the_stream_at_once(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    began = time.monotonic()
    await sync_to_async(lambda: [grant.delete() for grant in Grant.objects.filter(user=viewer)])()
    assert "no server test for you" in (await socket.until("end"))["sentence"]
    assert (await socket.until("closed"))["code"] == 4403
    assert time.monotonic() - began < 10  # and not with the next look, in up to 15 s
    await nobody_subscribes(redis, "a")


async def test_a_narrower_grant_narrows_the_stream(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "payments"), ("pattern", "*"))

    def narrow() -> None:
        grant = Grant.objects.get(user=viewer)
        grant.channels = ["orders.*"]
        grant.save()

    await sync_to_async(narrow)()
    assert (await socket.until("ungranted"))["names"] == [["channel", "payments"]]
    await publish(redis, "payments", b"secret")
    await publish(redis, "orders.1", b"mine")
    assert await socket.messages(1) == ["mine"]


async def test_signing_out_ends_the_stream(open_live: Any, viewer: Any) -> None:
    from tests.people import sign_in

    client = await sync_to_async(sign_in)(viewer)
    socket = await open_live(viewer, client=client)
    await socket.watch(("channel", "a"))
    await sync_to_async(client.logout)()
    assert (await socket.until("closed"))["code"] == 4401


async def test_a_session_that_ended_elsewhere_is_noticed_within_the_recheck(
    open_live: Any, viewer: Any, settings: Any
) -> None:
    settings.LIVE_RECHECK_SECONDS = 0.2
    from django.contrib.sessions.models import Session

    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    await sync_to_async(Session.objects.all().delete)()
    assert "session has ended" in (await socket.until("end"))["sentence"]


async def test_sockets_a_person_are_limited(open_live: Any, viewer: Any, settings: Any) -> None:
    settings.LIVE_SOCKETS_PER_PERSON = 2
    first, _second = await open_live(viewer), await open_live(viewer)
    third = await open_live(viewer)
    assert "2 live views open" in (await third.next())["sentence"]
    assert (await third.next())["code"] == 4429
    await first.leave()
    fourth = await open_live(viewer)
    await fourth.watch(("channel", "a"))


async def test_subscriptions_a_socket_are_limited(open_live: Any, viewer: Any, settings: Any) -> None:
    settings.LIVE_SUBSCRIPTIONS = 3
    socket = await open_live(viewer)
    await socket.send("watch", subscriptions=[["channel", str(number)] for number in range(4)])
    assert "may hold 3 subscriptions" in (await socket.until("problem"))["sentence"]
