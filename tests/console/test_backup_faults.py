"""What a person is told when a backup meets a server that goes away, denies, or is asked twice: a sentence, and nothing is left over."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse

from keyspace import job_worker
from keyspace.backups import exporting, store
from keyspace.models import Backup, Job
from tests.keyspace.backups.samples import fill
from tests.people import sign_in
from tests.servers import RunningServer

pytestmark = pytest.mark.django_db(transaction=True)
HTMX = {"HTTP_HX_REQUEST": "true"}


def start(client: Client, server: str, kind: str) -> Any:
    return client.post(reverse("backups_start", args=[server]), {"kind": kind}, **HTMX)


def run_all() -> None:
    for job in Job.objects.filter(state="waiting"):
        job_worker.run_job(job.pk)


def page_of(client: Client, server: str) -> str:
    return client.get(reverse("backups", args=[server])).content.decode()


def left_over() -> list[Any]:
    return [path for path in store.directory().rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def _empty_store() -> None:
    for path in left_over():
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("snapshot", "+bgsave"), ("aof", "+bgrewriteaof"), ("pull", "+sync"), ("export", "+dump")],
)
def test_a_denied_command_is_named_on_the_page(
    kind: str, rule: str, new_server: Callable[..., RunningServer], make_server: Any, admin_client: Client
) -> None:
    rules = "app on >pw ~* &* +@all -config -bgsave -bgrewriteaof -sync -psync -dump"
    server = new_server("valkey9", acl=[rules])
    fill(server.client())
    make_server(server, "denies", username="app", password="pw")
    assert start(admin_client, "denies", kind).status_code == 200
    run_all()
    page = page_of(admin_client, "denies")
    assert f"{rule} is missing" in page
    assert (
        "no save rule" in page or "server rule" in page
    )  # CONFIG is denied, and the rest of the page stands
    backup = Backup.objects.get()
    assert (backup.state, backup.files, left_over()) == ("failed", [], [])
    assert (
        f"{rule} is missing"
        in admin_client.get(reverse("backup", args=["denies", backup.pk])).content.decode()
    )
    assert admin_client.post(reverse("backup_delete", args=["denies", backup.pk])).status_code == 302


@pytest.mark.parametrize("kind", ["export", "readable"])
def test_a_server_that_goes_away_in_the_middle_of_an_export(
    kind: str,
    new_server: Callable[..., RunningServer],
    make_server: Any,
    admin_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = new_server("valkey9")
    server.client().execute_command("DEBUG", "POPULATE", 20_000, "k", 100)
    make_server(server, "going")
    told = exporting._Reading.tell

    def tell(reading: Any, done: int) -> None:
        if done > 5000 and server.process.poll() is None:
            server.kill()
        told(reading, done)

    monkeypatch.setattr(exporting._Reading, "tell", tell)
    start(admin_client, "going", kind)
    run_all()
    page = page_of(admin_client, "going")
    assert "Failed: The" in page and "refuses connections" in page
    assert (Backup.objects.get().state, left_over()) == ("failed", [])
    server.restart()
    assert start(admin_client, "going", kind).status_code == 200


def test_two_admins_press_at_once(server_row: Any, make_person: Callable[..., Any]) -> None:
    clients = [sign_in(make_person(name, "admin")) for name in ("ana", "bo", "cem")]
    ready = threading.Barrier(len(clients))
    answers: list[Any] = []

    def press(client: Client) -> None:
        ready.wait()
        try:
            answers.append(start(client, "test", "pull"))
        finally:
            database.close()

    threads = [threading.Thread(target=press, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert (Backup.objects.count(), Job.objects.filter(kind="back_up").count()) == (1, 1)
    refused = next(answer for answer in answers if answer.status_code == 409).content.decode()
    assert f"is running already: pull by {Backup.objects.get().person}" in refused


def test_a_replica_says_that_it_is_one(
    new_server: Callable[..., RunningServer], make_server: Any, admin_client: Client
) -> None:
    from tests.topologies import start_replica

    primary = new_server("valkey9")
    primary.client().mset({f"k{number}": number for number in range(50)})
    with start_replica(primary) as replica:
        make_server(replica, "replica")
        start(admin_client, "replica", "pull")
        run_all()
        backup = Backup.objects.get()
        assert (backup.state, backup.source) == ("loaded", f"replica 127.0.0.1:{replica.port}")
        primary.kill()
        replica.client().replicaof("127.0.0.1", 1)
        refused = start(admin_client, "replica", "pull")
        assert (refused.status_code, "lost its primary" in refused.content.decode()) == (409, True)
        said = admin_client.get(reverse("backups_checks", args=["replica"])).content.decode()
        assert "lost its primary" in said


def test_a_name_as_long_as_names_may_be(
    server: RunningServer, redis: Any, make_server: Any, admin_client: Client
) -> None:
    name = "x" * 64
    redis.set("a", 1)
    make_server(server, name)
    start(admin_client, name, "pull")
    run_all()
    backup = Backup.objects.get()
    assert backup.state == "loaded", backup.state_note
    answer = admin_client.get(reverse("backup_download", args=[name, backup.pk, 0]))
    assert f"{name}-{backup.created_at:%Y%m%d-%H%M%S}-pull.rdb" in answer["Content-Disposition"]
