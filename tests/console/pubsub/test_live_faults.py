"""What happens to a stream when the server, the network or the browser fails."""

import asyncio
import json
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from keyspace.pubsub import link
from tests.console.pubsub.test_live import nobody_subscribes, publish

pytestmark = pytest.mark.django_db(transaction=True)


async def kill_subscribers(redis: Any) -> None:
    await asyncio.to_thread(redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")


async def test_a_killed_connection_is_told_and_comes_back(open_live: Any, viewer: Any, redis: Any) -> None:
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"), ("pattern", "b*"))
    await publish(redis, "a", b"before")
    assert await socket.messages(1) == ["before"]
    await kill_subscribers(redis)
    gap = await socket.until("gap", until=None)
    assert "closed the connection" in gap["what"] and abs(gap["since"] - time.time() * 1000) < 60_000
    back = await socket.until("gap", since=gap["since"])
    assert back["until"] >= gap["since"]
    await publish(redis, "a", b"after")
    await publish(redis, "b1", b"after, too")
    assert sorted(await socket.messages(2)) == ["after", "after, too"]
    kinds = [frame["t"] for frame in socket.seen if frame["t"] in ("gap", "batch")]
    assert kinds[:3] == ["batch", "gap", "gap"]


async def test_a_restart_of_the_server_is_told_as_one(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any
) -> None:
    running = await asyncio.to_thread(new_server)
    row = await sync_to_async(make_server)(running, name="own")
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.watch(("channel", "a"))
    await asyncio.to_thread(running.kill)
    gap = await socket.until("gap", until=None)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(running.restart)
    back = await socket.until("gap", since=gap["since"])
    assert back["until"] - back["since"] >= 400 and "restarted" in back["what"]
    await publish(running.client(), "a", b"after")
    assert await socket.messages(1) == ["after"]


async def test_a_failover_is_told_as_one(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any
) -> None:
    primary = await asyncio.to_thread(new_server)
    replica = await asyncio.to_thread(new_server, config={"replicaof": f"{primary.host} {primary.port}"})
    row = await sync_to_async(make_server)(replica, name="own")
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.watch(("channel", "a"))
    redis = replica.client()
    await asyncio.to_thread(redis.execute_command, "REPLICAOF", "NO", "ONE")
    await asyncio.to_thread(redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
    gap = await socket.until("gap", until=None)
    back = await socket.until("gap", since=gap["since"])
    assert back["what"] == "a failover: the server is a primary now"
    await publish(redis, "a", b"after")
    assert await socket.messages(1) == ["after"]


async def test_a_server_that_hangs_is_noticed(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(link, "PING_EVERY", 0.2)
    monkeypatch.setattr(link, "SILENT_FOR", 0.6)
    running = await asyncio.to_thread(new_server)
    row = await sync_to_async(make_server)(running, name="own")
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.watch(("channel", "a"))
    running.pause()
    try:
        gap = await socket.until("gap", until=None)
        assert "did not answer" in gap["what"]
    finally:
        running.resume()
    await socket.until("gap", since=gap["since"])


async def test_an_overflow_of_the_servers_buffer_is_named(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any
) -> None:
    running = await asyncio.to_thread(new_server, "valkey9", "client-output-buffer-limit pubsub 1mb 0 0")
    row = await sync_to_async(make_server)(running, name="own")
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.watch(("channel", "a"))
    with running.client().pipeline(transaction=False) as pipe:
        for _ in range(20_000):
            pipe.publish("a", b"x" * 2000)
        pipe.execute()  # in the loop's own thread: the console cannot read meanwhile
    gap = await socket.until("gap", until=None)
    back = await socket.until("gap", since=gap["since"])
    assert "cut us off" in back["what"] and "client-output-buffer-limit" in back["what"]


async def test_a_slow_browser_costs_only_itself_and_every_message_is_counted(
    open_live: Any, viewer: Any, operator: Any, redis: Any, settings: Any, monkeypatch: Any
) -> None:
    settings.LIVE_QUEUE_BYTES = 200_000
    slow, quick = await open_live(viewer), await open_live(operator)
    await slow.watch(("channel", "a"))
    await quick.watch(("channel", "a"))
    from console.pubsub.consumers import LiveConsumer

    gate, send = asyncio.Event(), LiveConsumer.send

    async def wait_and_send(self: LiveConsumer, *args: Any, **kwargs: Any) -> None:
        if self.live and self.live.connection.actor.name == "viewer":
            await gate.wait()
        await send(self, *args, **kwargs)

    monkeypatch.setattr(LiveConsumer, "send", wait_and_send)
    payloads = [b"%06d" % number + b"x" * 500 for number in range(20_000)]
    for at in range(0, 20_000, 1000):
        await publish(redis, "a", *payloads[at : at + 1000])
        await asyncio.sleep(0.03)
    while quick.counts["received"] < 20_000:
        await quick.next()
    gate.set()
    await publish(redis, "a", b"the last")
    while slow.counts["received"] < 20_001:
        await slow.next()
    counts = slow.counts
    assert counts["browser"] > 0 and quick.counts["browser"] == 0 and quick.counts["shown"] > 0
    # A machine that is too slow for so many drops some for both alike, which the buffer counts.
    for each, number in ((slow, 20_001), (quick, 20_000)):
        told = each.counts
        assert (
            told["shown"] + told["browser"] + told["buffer"] == told["matched"] == told["received"] == number
        )
    assert any(frame["t"] == "missed" for frame in slow.seen)


async def test_what_the_console_cannot_encode_in_time_is_dropped_and_counted(
    open_live: Any, viewer: Any, redis: Any, monkeypatch: Any
) -> None:
    from keyspace.pubsub import views

    monkeypatch.setattr(views.View, "quota", staticmethod(lambda seconds, cost: 100))
    socket = await open_live(viewer)
    await socket.watch(("channel", "a"))
    for _ in range(5):
        await publish(redis, "a", *[b"x"] * 1000)
        await asyncio.sleep(0.02)
    while socket.counts["received"] < 5000:
        await socket.next()
    assert socket.counts["buffer"] > 0
    assert socket.counts["shown"] + socket.counts["buffer"] == socket.counts["matched"] == 5000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("no json", 1007),
        ("[1, 2]", 1007),
        ('{"op": 7}', 1007),
        ('{"no": "op"}', 1007),
        ("[" * 100_000, 1007),
        ('{"op": "drop_everything"}', 4400),
        (json.dumps({"op": "watch", "subscriptions": [["channel", "x" * 200_000]]}), 1009),
    ],
)
async def test_a_frame_that_makes_no_sense_closes_its_socket_and_nothing_else(
    open_live: Any, viewer: Any, operator: Any, redis: Any, text: str, code: int
) -> None:
    bad, good = await open_live(viewer), await open_live(operator)
    await good.watch(("channel", "a"))
    await bad.send_text(text)
    closed = await bad.until("closed")
    assert closed["code"] == code and closed["reason"]
    await publish(redis, "a", b"still here")
    assert await good.messages(1) == ["still here"]


@pytest.mark.parametrize(
    "content",
    [
        {"subscriptions": None},
        {"subscriptions": [["channel"]]},
        {"subscriptions": [["nothing", "a"]]},
        {"subscriptions": [["channel", 7]]},
        {"subscriptions": [["channel", "\ud800"]]},
        {"subscriptions": [["channel", "a"]], "filter": 7},
        {"subscriptions": [["channel", "a"]], "filter": {"mode": "magic"}},
        {"subscriptions": [["channel", "a"]], "filter": {"mode": "json", "text": "asset"}},
        {"subscriptions": [["channel", "a"]], "filter": {"text": "x" * 1001}},
    ],
)
async def test_a_request_that_cannot_be_done_is_a_sentence(
    open_live: Any, viewer: Any, content: dict[str, Any]
) -> None:
    socket = await open_live(viewer)
    await socket.send("watch", **content)
    assert (await socket.until("problem"))["sentence"]
    await socket.watch(("channel", "a"))


async def test_flooding_closes_the_socket(open_live: Any, viewer: Any) -> None:
    socket = await open_live(viewer)
    for _ in range(200):
        await socket.send("watch", subscriptions=[])
    assert (await socket.until("closed"))["code"] == 4008


async def test_a_channel_the_servers_acl_refuses_is_told_and_the_rest_works(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any
) -> None:
    running = await asyncio.to_thread(new_server, acl=["watcher on >pw resetchannels &open.* +@all ~*"])
    row = await sync_to_async(make_server)(running, name="own", username="watcher")
    row.password = "pw"
    await sync_to_async(row.save)()
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.watch(("channel", "open.a"), ("channel", "closed.a"))
    state = {
        row[1]: row[2:]
        for row in [frame for frame in socket.seen if frame["t"] == "subscriptions"][-1]["state"]
    }
    assert state["open.a"] == [True, ""] and "ACL" in state["closed.a"][1]
    await publish(running.client(), "open.a", b"x")
    assert await socket.messages(1) == ["x"]


async def test_shard_channels_find_their_node_in_a_cluster(
    open_live: Any, make_person: Any, make_server: Any, new_cluster: Any
) -> None:
    cluster = await asyncio.to_thread(new_cluster, primaries=3)
    first = cluster.nodes[0]
    row = await sync_to_async(make_server)(first, name="own")
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    names = [f"shard-{number}" for number in range(12)]
    await socket.watch(*[("shard", name) for name in names])

    def publish_all() -> None:
        clients = [node.client() for node in cluster.nodes]
        for name in names:
            for client in clients:
                try:
                    client.execute_command("SPUBLISH", name, f"to {name}")
                    break
                except Exception:
                    continue

    await asyncio.to_thread(publish_all)
    assert sorted(await socket.messages(12)) == sorted(f"to {name}" for name in names)
    assert (
        await asyncio.to_thread(
            lambda: sum(
                len(node.client().execute_command("PUBSUB", "SHARDCHANNELS")) for node in cluster.nodes
            )
        )
        == 12
    )


async def test_tls_and_a_password(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any
) -> None:
    running = await asyncio.to_thread(new_server, "redis7", tls=True, requirepass="pw")
    row = await sync_to_async(make_server)(running, name="own", host="localhost", port=running.tls_port, tls=True,
                                           ca_cert=running.certificates.ca.read_text())  # fmt: skip
    row.password = "pw"
    await sync_to_async(row.save)()
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.watch(("channel", "a"))
    await publish(running.client(password="pw"), "a", b"x")
    assert await socket.messages(1) == ["x"]


async def test_a_wrong_password_is_said_and_nothing_breaks(
    open_live: Any, make_person: Any, make_server: Any, new_server: Any
) -> None:
    running = await asyncio.to_thread(new_server, requirepass="pw")
    row = await sync_to_async(make_server)(running, name="own")
    socket = await open_live(await sync_to_async(make_person)("ana", "viewer", server=row), server="own")
    await socket.send("watch", subscriptions=[["channel", "a"]])
    assert "password" in (await socket.until("gap", until=None))["what"]
    row.password = "pw"
    await sync_to_async(row.save)()
    assert (await socket.until("closed"))[
        "code"
    ] == 1012  # the browser comes back by itself, to the new settings
    await nobody_subscribes(running.client(password="pw"), "a")
