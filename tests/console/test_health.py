"""What machines ask: does the process live, can the console work; and what it writes to its log."""

import json
import logging

import pytest

from console.logs import JsonFormatter, request_id

pytestmark = pytest.mark.django_db


def test_healthz_needs_nobody_and_nothing(client):
    answer = client.get("/healthz")
    assert answer.status_code == 200 and answer.json() == {"process": "up"}


def test_readyz_counts_states_for_strangers_and_names_servers_for_people(
    client, viewer_client, make_server, server
):
    make_server(server, name="up")
    make_server(server, name="down", port=1)
    assert client.get("/readyz").json() == {"database": "up", "servers": {"down": 1, "up": 2}}
    named = viewer_client.get("/readyz").json()["servers"]
    assert named == {"test": "up"}


def test_each_answer_carries_the_id_of_its_request(client):
    assert len(client.get("/healthz")["X-Request-Id"]) == 32
    assert (
        client.get("/healthz", headers={"X-Request-Id": "from-the-proxy-17"})["X-Request-Id"]
        == "from-the-proxy-17"
    )
    assert client.get("/healthz", headers={"X-Request-Id": "x"})["X-Request-Id"] != "x"


def test_a_log_line_is_one_json_object_with_the_request_id():
    record = logging.LogRecord("console", logging.WARNING, __file__, 1, "two\nlines %s", ("é",), None)
    mark = request_id.set("abc")
    line = JsonFormatter().format(record)
    request_id.reset(mark)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["message"], told["request_id"], told["level"]) == ("two\nlines é", "abc", "warning")
