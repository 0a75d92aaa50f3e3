"""Bulk work on the nodes of a cluster: each node is worked on as the server it is, and a copy into a cluster finds each key's shard."""

from typing import Any

import pytest

from keyspace.access import Actor
from keyspace.bulk.choice import Choice
from keyspace.bulk.services import Order
from keyspace.keys import Filter
from keyspace.models import Grant, TrashEntry
from keyspace.servers import Connection, open_connection
from tests.keyspace.test_bulk import do
from tests.keyspace.test_bulk_copy import copy, look

pytestmark = pytest.mark.django_db(transaction=True)
CHOICE = Choice(Filter(b"s:*"))


@pytest.fixture
def cluster(new_cluster: Any, make_server: Any) -> Any:
    found = new_cluster(primaries=3)
    for number, node in enumerate(found.nodes):
        make_server(node, f"node{number}")
    return found


@pytest.fixture
def node(cluster: Any, connection_as: Any) -> Connection:
    """An admin at the first node, with 300 keys over all of them."""
    user = connection_as("admin").actor.user
    Grant.objects.create(user=user, role="admin")
    client = cluster.client()
    for number in range(300):
        client.set(f"s:{number}", number)
    return open_connection(Actor(user, user.username), "node0", 0)


@pytest.mark.parametrize("trash", [True, False])
def test_delete_on_a_node_takes_the_keys_of_its_slots(node: Connection, cluster: Any, trash: bool) -> None:
    here = node.redis.dbsize()
    job = do(node, Order("delete", trash=trash), CHOICE)
    assert (job.result["done"], job.result["failed"]) == (here, 0), job.result
    assert [each.client().dbsize() for each in cluster.nodes][0] == 0 and cluster.nodes[
        1
    ].client().dbsize() > 50
    assert TrashEntry.objects.count() == (here if trash else 0)


@pytest.mark.parametrize("order", [Order("set", ttl=600_000), Order("extend", ttl=600_000), Order("persist")])
def test_ttls_on_a_node(node: Connection, order: Order) -> None:
    here = node.redis.dbsize()
    if order.do != "set":
        for name in node.redis.scan_iter():
            node.redis.expire(name, 100)
    job = do(node, order, CHOICE)
    assert (job.result["done"], job.result["failed"]) == (here, 0), job.result


@pytest.mark.parametrize("existing", ["skip", "different"])
def test_a_copy_into_a_cluster_reaches_every_shard(
    node: Connection, cluster: Any, redis: Any, server_row: Any, existing: str
) -> None:
    redis.mset({f"s:{number}": "new" for number in range(200, 500)})
    source = open_connection(node.actor, "test", 0)
    dry = look(source, node, CHOICE, existing)
    assert (dry.result["copy"]["new"], dry.result["copy"]["different"]) == (200, 100)
    job = copy(source, dry)
    done = 300 if existing == "different" else 200
    assert (job.result["done"], job.result["skipped"], job.result["failed"]) == (done, 300 - done, 0), (
        job.result
    )
    client = cluster.client()
    assert sum(each.client().dbsize() for each in cluster.nodes) == 500
    assert (
        client.get("s:250") == (b"new" if existing == "different" else b"250")
        and client.get("s:499") == b"new"
    )
