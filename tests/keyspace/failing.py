"""Making real servers fail, and what comes of it."""

import pytest

from keyspace.errors import explain
from keyspace.servers import Endpoint, open_client
from keyspace.wire import read_many

SET = ("SET", "k", "v")


def _over_the_wire(client, *command):
    reply = read_many(client, [command])[0]
    if isinstance(reply, Exception):
        raise reply
    return reply


@pytest.fixture(params=["client", "wire"])
def call(request):
    """A command through redis-py, and through our own packed commands: both must fail in the same words."""
    return (
        _over_the_wire
        if request.param == "wire"
        else lambda client, *command: client.execute_command(*command)
    )


def reach(running, **more):
    return open_client(Endpoint(host=running.host, port=running.port, **more))


def problem_of(act, *args):
    """The Problem that an act ends in."""
    with pytest.raises(Exception) as caught:
        act(*args)
    return explain(caught.value)
