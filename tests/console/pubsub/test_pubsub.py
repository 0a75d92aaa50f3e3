"""The Pub/Sub page and its partials, by role."""

import base64
import json
import socket
from typing import Any

import hiredis
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from keyspace.models import AuditEntry
from tests.people import sign_in

pytestmark = pytest.mark.django_db
PAGE = "/servers/test/pubsub/"


def publish(client: Client, **fields: Any) -> Any:
    return client.post(f"{PAGE}publish/", {"channel": "news", "format": "text", "payload": "", **fields})


def test_a_viewer_sees_the_page_without_the_publish_form(viewer_client: Client) -> None:
    page = viewer_client.get(PAGE).content.decode()
    assert "Nothing is subscribed yet" in page and "live-publish" not in page


def test_an_operator_sees_the_publish_form(operator_client: Client) -> None:
    assert 'name="payload"' in operator_client.get(PAGE).content.decode()


@pytest.mark.parametrize("path", ["", "channels/", "events/", "recordings/"])
def test_without_a_grant_there_is_no_such_server(nobody_client: Client, client: Client, path: str) -> None:
    assert nobody_client.get(PAGE + path).status_code == 404
    assert client.get(PAGE + path).status_code == 302


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"payload": "plain\r\ntext"}, b"plain\ntext"),
        ({"payload": '{"a": 1.10}', "format": "json"}, b'{"a": 1.10}'),
        ({"payload": "ff 00\n0a", "format": "hex"}, b"\xff\x00\x0a"),
        ({"file": SimpleUploadedFile("x.bin", b"\x00\xfe")}, b"\x00\xfe"),
        ({"payload": ""}, b""),
    ],
)
def test_what_is_published(operator_client: Client, redis: Any, fields: dict[str, Any], sent: bytes) -> None:
    listener = redis.pubsub()
    listener.subscribe(b"news\xff")
    listener.get_message(timeout=30)
    answer = publish(operator_client, channel="news\\xff", **fields)
    assert answer.status_code == 200 and "reached 1 subscriber" in answer.content.decode()
    assert listener.get_message(timeout=30)["data"] == sent
    entry = AuditEntry.objects.get(operation="publish_message")
    assert entry.outcome == "done" and entry.detail == {
        "channel": "news\\xff",
        "size": len(sent),
        "receivers": 1,
    }


@pytest.mark.parametrize(
    "fields", [{"payload": "{", "format": "json"}, {"payload": "f", "format": "hex"}, {"channel": ""}]
)
def test_what_cannot_be_sent_is_said(operator_client: Client, fields: dict[str, Any]) -> None:
    answer = publish(operator_client, **fields)
    assert answer.status_code == 422 and "error" in answer.content.decode()


def test_shard_publishing(operator_client: Client, redis: Any) -> None:
    assert "reached 0 subscribers" in publish(operator_client, shard="on", payload="x").content.decode()


def test_too_big_a_message_is_refused(operator_client: Client, settings: Any) -> None:
    settings.LIVE_PUBLISH_BYTES = 10
    assert publish(operator_client, payload="x" * 11).status_code == 413


def test_a_viewer_may_not_publish(viewer_client: Client) -> None:
    assert publish(viewer_client, payload="x").status_code == 403
    assert AuditEntry.objects.get(operation="publish_message").outcome == "denied"


def test_nobody_publishes_on_a_read_only_server(operator_client: Client, server_row: Any) -> None:
    server_row.read_only = True
    server_row.save()
    assert publish(operator_client, payload="x").status_code == 403


def test_publishing_stays_within_the_grants_channels(make_person: Any, server_row: Any) -> None:
    client = sign_in(make_person("ana", "operator", server=server_row, channels=["orders.*"]))
    assert publish(client, channel="orders.1").status_code == 200
    assert publish(client, channel="payments").status_code == 403


def test_channels_come_with_subscribers(viewer_client: Client, redis: Any) -> None:
    listeners = []
    for name, number in ((b"busy", 3), (b"odd\xff", 1)):
        for _ in range(number):
            listeners.append(redis.pubsub())
            listeners[-1].subscribe(name)
            listeners[-1].get_message(timeout=30)
    columns = viewer_client.get(f"{PAGE}channels/").json()
    assert (
        columns["names"] == ["busy", "odd\udcff"]
        and columns["subscribers"] == [3, 1]
        and columns["total"] == 2
    )
    assert viewer_client.get(f"{PAGE}channels/?match=b*").json()["names"] == ["busy"]


def test_thousands_of_channels_are_listed_up_to_a_limit(
    viewer_client: Client, redis: Any, settings: Any
) -> None:
    settings.LIVE_CHANNELS = 100
    listener = redis.pubsub()
    listener.subscribe(*[f"channel:{number}" for number in range(3000)])
    listener.get_message(timeout=30)
    columns = viewer_client.get(f"{PAGE}channels/").json()
    assert columns["total"] == 3000 and len(columns["names"]) == 100


def test_channels_outside_the_grant_are_absent(make_person: Any, server_row: Any, redis: Any) -> None:
    listener = redis.pubsub()
    listener.subscribe("orders.1", "payments")
    listener.get_message(timeout=30)
    client = sign_in(make_person("ana", "viewer", server=server_row, channels=["orders.*"]))
    assert client.get(f"{PAGE}channels/").json()["names"] == ["orders.1"]


def test_watching_a_key_tells_its_name_to_nobody_who_may_not_see_the_key(
    make_person: Any, server_row: Any, redis: Any
) -> None:
    listener = redis.pubsub()
    listener.subscribe(b"__keyspace@0__:app:\xff", b"__keyspace@0__:pay:1", b"__keyevent@0__:del")
    client = sign_in(make_person("ana", "viewer", server=server_row, patterns=["app:*"]))
    names = client.get(f"{PAGE}channels/").json()["names"]
    assert sorted(names) == ["__keyevent@0__:del", "__keyspace@0__:app:\udcff"]
    listener.close()


def test_channels_on_every_generation(
    any_server: Any, make_server: Any, make_person: Any, any_redis: Any
) -> None:
    row = make_server(any_server, name="any")
    listener = any_redis.pubsub()
    listener.subscribe("news")
    listener.get_message(timeout=30)
    columns = sign_in(make_person("ana", "viewer", server=row)).get("/servers/any/pubsub/channels/").json()
    assert columns["names"] == ["news"] and columns["subscribers"] == [1]


def test_channels_of_a_cluster_are_those_of_all_its_nodes(
    new_cluster: Any, make_server: Any, make_person: Any
) -> None:
    cluster = new_cluster(primaries=3)
    listeners = [node.client().pubsub() for node in cluster.nodes for _ in range(2)]
    for at, listener in enumerate(listeners):
        listener.subscribe("everywhere", f"only-{at}")
        listener.psubscribe(f"pattern-{at}.*")
        for _ in range(3):
            listener.get_message(timeout=30)
    shards = [f"shard-{at}" for at in range(6)]
    held = [listen_on_shard(cluster, name) for name in shards]
    row = make_server(cluster.nodes[0], name="ring")
    client = sign_in(make_person("ana", "operator", server=row))
    columns = client.get("/servers/ring/pubsub/channels/").json()
    counts = dict(zip(columns["names"], columns["subscribers"], strict=True))
    assert counts.pop("everywhere") == 6
    assert counts == {f"only-{at}": 1 for at in range(6)} | dict.fromkeys(shards, 1)
    assert (columns["total"], columns["patterns"], columns["silent"]) == (13, 6, 0)
    for name in shards:
        sent = {"channel": name, "format": "text", "payload": "x", "shard": "on"}
        answer = client.post("/servers/ring/pubsub/publish/", sent)
        assert "reached 1 subscriber" in answer.content.decode()
    assert all(one.recv(1000).endswith(b"x\r\n") for one in held)
    cluster.nodes[2].stop()
    columns = client.get("/servers/ring/pubsub/channels/").json()
    assert dict(zip(columns["names"], columns["subscribers"], strict=True))["everywhere"] == 4
    assert columns["silent"] == 1


def listen_on_shard(cluster: Any, name: str) -> socket.socket:
    """A bare subscriber on the node that takes it."""
    for node in cluster.nodes:
        held = socket.create_connection((node.host, node.port), timeout=30)
        held.sendall(hiredis.pack_command(("SSUBSCRIBE", name)))
        if held.recv(1000).startswith(b"*3"):
            return held
    raise AssertionError("no node takes it")


def test_events_are_off_and_an_admin_switches_them_on_and_back(admin_client: Client, redis: Any) -> None:
    page = admin_client.get(f"{PAGE}events/").content.decode()
    assert "Notifications are off" in page and "notify-keyspace-events AKE" in page
    page = admin_client.post(f"{PAGE}set_events/", {"flags": "AKE"}).content.decode()
    assert "Notifications are on" in page and "Back to off" in page
    assert redis.config_get("notify-keyspace-events")["notify-keyspace-events"] in ("AKE", b"AKE")
    entry = AuditEntry.objects.get(operation="set_notifications")
    assert entry.detail == {"setting": "notify-keyspace-events", "old": "", "new": "AKE"}
    assert "Notifications are off" in admin_client.post(f"{PAGE}set_events/", {"flags": ""}).content.decode()


def test_events_may_be_switched_by_admins_alone(operator_client: Client) -> None:
    assert "an admin can switch them on" in operator_client.get(f"{PAGE}events/").content.decode()
    assert operator_client.post(f"{PAGE}set_events/", {"flags": "AKE"}).status_code == 403


def test_nonsense_is_no_setting(admin_client: Client) -> None:
    assert admin_client.post(f"{PAGE}set_events/", {"flags": "AKE; FLUSHALL"}).status_code == 400


def test_a_payload_is_read_by_a_decoder(viewer_client: Client) -> None:
    packed = base64.b64encode(json.dumps({"asset": "BRL"}).encode()).decode()
    answer = viewer_client.post(f"{PAGE}payload/", {"payload": packed, "as": "json"})
    assert "BRL" in answer.content.decode()
    assert viewer_client.post(f"{PAGE}payload/", {"payload": "no base64!"}).status_code == 400
