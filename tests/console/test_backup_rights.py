"""Only admins trigger, download, open, restore and delete backups: every address of the pages and every service, for every role."""

import inspect
import pkgutil
import uuid
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, reverse

import console.urls  # its converters come before the routes that use them
import keyspace.backups
from keyspace.access import Permission
from keyspace.errors import Denied
from keyspace.models import AuditEntry, Backup, Schedule
from tests.people import sign_in

pytestmark = pytest.mark.django_db(transaction=True)

# What a viewer may read; every other address is an admin's. A new one is an admin's until it stands here.
FOR_VIEWERS = {"backups", "backups_state", "backup", "backup_restore_key"}
urlpatterns = import_module("console.backups.urls").urlpatterns
assert console.urls
METHODS = ("get", "post", "put", "delete")


@pytest.fixture
def backup(server_row: Any) -> Backup:
    return Backup.objects.create(
        server="test", kind="pull", state="loaded", person="x", size=1, keys={"0": 1},
        files=[{"name": "nowhere/0.rdb", "size": 1, "sha256": "x"}],
    )  # fmt: skip


def address(pattern: URLPattern, backup: Backup, schedule: Schedule) -> str:
    values = {
        "server": "test", "backup_id": backup.pk, "job_id": uuid.uuid4(), "number": schedule.pk, "db": 0, "key": b"k",
        "token": "x:y:z", "other": "live", "other_id": uuid.uuid4(), "prefix": "x", "kind": "added",
    }  # fmt: skip
    converters = pattern.pattern.converters
    return reverse(str(pattern.name), kwargs={name: values[name] for name in converters})


@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: pattern.name)
def test_addresses_are_closed_to_who_is_no_admin(
    pattern: URLPattern, backup: Backup, server_row: Any, make_person: Callable[..., Any]
) -> None:
    schedule = Schedule.objects.create(server=server_row, name="nightly")
    url = address(pattern, backup, schedule)
    people = {
        "viewer": make_person("viewer", "viewer", server=server_row),
        "operator": make_person("operator", "operator", server=server_row),
        "part": make_person("part", "admin", server=server_row, patterns=["session:*"]),
        "nobody": make_person("nobody"),
    }
    for role, person in people.items():
        client = sign_in(person)
        for method in METHODS:
            answer = getattr(client, method)(url)
            if role == "nobody":
                assert answer.status_code in (404, 405), (role, method)
            elif pattern.name in FOR_VIEWERS and method == "get":
                assert answer.status_code in (200, 302), (role, method)
            else:
                assert answer.status_code in (403, 404, 405), (role, method)
    stranger = Client()
    assert stranger.get(url).status_code in (302, 405)
    assert Backup.objects.filter(pk=backup.pk).exists() and Schedule.objects.filter(pk=schedule.pk).exists()


def services() -> Iterator[Any]:
    """Every service under keyspace.backups, with its permission."""
    for found in pkgutil.iter_modules(keyspace.backups.__path__, "keyspace.backups."):
        for _, function in inspect.getmembers(import_module(found.name), inspect.isfunction):
            if (
                isinstance(getattr(function, "permission", None), Permission)
                and function.__module__ == found.name
            ):
                yield function


READING = {"get_backups", "get_backup", "get_statistics"}


@pytest.mark.parametrize("service", list(services()), ids=lambda service: service.__name__)
def test_services_are_closed_to_who_is_no_admin(
    service: Any, backup: Backup, connection_as: Callable[..., Any], server_row: Any
) -> None:
    """The check comes before anything else, so what is missing in the arguments is never seen; each refusal is in the audit."""
    if service.permission is Permission.LIST_BACKUPS:
        assert service.__name__ in READING or service.__name__.startswith(("get_", "list_", "read_")), service
        return
    assert service.permission in (Permission.BACK_UP, Permission.RESTORE), service
    needed = [
        name
        for name, parameter in list(inspect.signature(service).parameters.items())[1:]
        if parameter.default is inspect.Parameter.empty
    ]
    for role in ("viewer", "operator"):
        with pytest.raises(Denied):
            service(connection_as(role), **dict.fromkeys(needed))
    assert AuditEntry.objects.filter(operation=service.__name__, outcome="denied").count() == 2


def test_what_an_admin_does_is_in_the_audit(backup: Backup, admin_client: Client) -> None:
    for name in ("verify", "open", "compare"):
        admin_client.post(reverse(f"backup_{name}", args=["test", backup.pk]))
    admin_client.get(reverse("backup_download", args=["test", backup.pk, 0]))
    admin_client.post(reverse("backup_delete", args=["test", backup.pk]))
    told = {
        (entry.operation, entry.outcome, entry.detail.get("backup"))
        for entry in AuditEntry.objects.filter(operation__endswith="_backup")
    }
    for operation, outcome in (
        ("verify_backup", "done"), ("open_backup", "done"), ("compare_backup", "done"), ("download_backup", "done"),
        ("delete_backup", "failed"),
    ):  # fmt: skip
        assert (operation, outcome, str(backup.pk)) in told


def test_a_backup_of_one_server_is_not_reached_through_another(
    backup: Backup, make_server: Any, server: Any, admin_client: Client
) -> None:
    make_server(server, "other")
    for name in ("backup", "backup_restore"):
        assert admin_client.get(reverse(name, args=["other", backup.pk])).status_code == 404
    for name in ("verify", "open", "compare", "delete", "close"):
        assert admin_client.post(reverse(f"backup_{name}", args=["other", backup.pk])).status_code == 404
    assert admin_client.get(reverse("backup_download", args=["other", backup.pk, 0])).status_code == 404


@pytest.mark.parametrize("number", ["-1", "1", "../0", "0/../../x", "99999999999999999999"])
def test_file_numbers_that_are_none(number: str, backup: Backup, admin_client: Client) -> None:
    url = reverse("backup_download", args=["test", backup.pk, 0]).replace(
        "/download/0/", f"/download/{number}/"
    )
    assert admin_client.get(url).status_code == 404
