"""What roles, grants and groups add up to, and that every service is held to them."""

import ast
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

import console as console_package
import keyspace
from keyspace.access import ROLES, Access, Actor, Permission, Right, check_permission, performs, rights_of
from keyspace.errors import Denied, NotFound
from keyspace.models import Grant
from keyspace.server_info import get_state
from keyspace.servers import (
    AllServers,
    Connection,
    access_to,
    all_servers,
    list_connections,
    list_servers,
    open_connection,
)

BYTES = b"\xff\x00key"


def test_roles_nest():
    viewer, operator, admin = (ROLES[role] for role in ("viewer", "operator", "admin"))
    assert viewer < operator < admin == set(Permission)


def test_a_viewer_changes_nothing():
    assert not [permission for permission in ROLES["viewer"] if permission.writes]


@pytest.mark.parametrize("permission", [p for p in Permission if p.whole])
def test_what_concerns_a_whole_server_is_for_admins(permission):
    assert permission not in ROLES["operator"]


def subjects():
    """Every public function of the service layer whose first argument is a person's connection."""
    for found in pkgutil.walk_packages(keyspace.__path__, "keyspace."):
        if ".migrations" in found.name:
            continue
        module = importlib.import_module(found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if (
                function.__module__ == found.name
                and not name.startswith("_")
                and _takes_a_connection(function)
            ):
                yield function


def _takes_a_connection(function):
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.annotation in (Connection, AllServers, "Connection", "AllServers")


def used_by_the_console():
    """(module, name) of whatever the console takes from the service layer."""
    for path in Path(console_package.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keyspace"):
                for one in node.names:
                    modules[one.asname or one.name] = f"{node.module}.{one.name}"
                    yield node.module, one.name
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in modules
            ):
                yield modules[node.value.id], node.attr


USED = set(used_by_the_console())


@pytest.mark.parametrize(
    "function", list(subjects()), ids=lambda function: f"{function.__module__}.{function.__name__}"
)
def test_every_public_service_has_its_permission(function):
    """What lacks one is a step inside the service layer, handed a connection by a service that has checked: the console uses none."""
    if not isinstance(getattr(function, "permission", None), Permission):
        used = {module for module, name in USED if name == function.__name__}
        assert not {
            module for module in used if getattr(sys.modules.get(module), function.__name__, None) is function
        }


def test_the_console_is_seen_to_use_services():
    assert ("keyspace.people", "add_person") in USED and ("keyspace.overview", "read_overview") in USED


@performs(Permission.READ_KEYS)
def read_key(connection, *, name):
    return name


@performs(Permission.DELETE_KEYS)
def delete_keys(connection, *, names):
    return len(names)


@performs(Permission.BACK_UP)
def back_up(connection):
    return "begun"


def test_patterns_bound_what_is_read(connection_as):
    viewer = connection_as("viewer", patterns=["session:*", "\\xff*"])
    assert read_key(viewer, name=b"session:1") == b"session:1"
    assert read_key(viewer, name=BYTES) == BYTES
    with pytest.raises(NotFound, match="There is no key other"):
        read_key(viewer, name=b"other")


def test_one_name_outside_stops_them_all(connection_as):
    operator = connection_as("operator", patterns=["a:*"])
    assert delete_keys(operator, names=[b"a:1", b"a:2"]) == 2
    with pytest.raises(NotFound):
        delete_keys(operator, names=[b"a:1", b"b:1"])


def test_a_viewer_may_not_delete(connection_as):
    with pytest.raises(Denied, match="does not let you delete keys"):
        delete_keys(connection_as("viewer"), names=[BYTES])


def test_an_admin_of_some_keys_may_not_back_up(connection_as, make_person, server_row):
    assert back_up(connection_as("admin")) == "begun"
    make_person("narrow", "admin", server=server_row, patterns=["a:*"])
    narrow = open_connection(Actor(get_user_model().objects.get(username="narrow"), "narrow"), "test")
    with pytest.raises(Denied):
        back_up(narrow)


def test_a_read_only_mark_stops_admins_too(connection_as, server_row):
    server_row.read_only = True
    server_row.save()
    admin = connection_as("admin")
    with pytest.raises(Denied, match="marked read-only"):
        delete_keys(admin, names=[b"k"])
    assert read_key(admin, name=b"k") == b"k"
    assert back_up(admin) == "begun"


def test_the_check_alone(connection_as):
    check_permission(connection_as("viewer"), Permission.SUBSCRIBE)
    with pytest.raises(Denied):
        check_permission(connection_as("viewer"), Permission.PUBLISH)


def test_rights_of_several_grants_join():
    access = Access((Right("viewer", patterns=(b"a:*",)), Right("operator", patterns=(b"b:*",))))
    assert access.role == "operator"
    assert access.patterns == (b"a:*", b"b:*")
    assert access.may(Permission.EDIT_VALUES, b"b:1") and not access.may(Permission.EDIT_VALUES, b"a:1")
    assert access.sees(b"a:1") and not access.sees(b"c:1")
    assert Access((*access.rights, Right("viewer"))).patterns == ()


def test_no_grant_no_role_no_sight():
    access = Access()
    assert access.role is None and not access.sees(b"k") and not access.may(Permission.SEE_SERVER)
    assert access.masked(b"k")


def test_a_value_is_masked_unless_another_grant_shows_it():
    hidden = Right("viewer", masks=(b"secret:*",))
    assert Access((hidden,)).masked(b"secret:1") and not Access((hidden,)).masked(b"open:1")
    assert Access((hidden, Right("viewer", patterns=(b"other:*",)))).masked(b"secret:1")
    assert not Access((hidden, Right("viewer", patterns=(b"secret:1",)))).masked(b"secret:1")


def test_channels_are_bounded_apart_from_keys():
    access = Access((Right("viewer", patterns=(b"a:*",), channels=(b"news.*",)),))
    assert access.channels == (b"news.*",)
    assert access.rights[0].covers_channel(b"news.1") and not access.rights[0].covers_channel(b"a:1")
    assert Access((Right("viewer", patterns=(b"a:*",)),)).channels == ()


def test_grants_of_groups_and_of_all_servers_count(make_person, server_row, make_server, server):
    other = make_server(server, "other")
    ana = make_person("ana", "viewer", server=server_row)
    actor = Actor(ana, "ana")
    assert [row.name for row in list_servers(actor)] == ["test"]
    with pytest.raises(NotFound):
        open_connection(actor, "other")
    crew = Group.objects.create(name="crew")
    Grant.objects.create(group=crew, server=other, role="operator")
    ana.groups.add(crew)
    assert open_connection(actor, "other").access.role == "operator"
    Grant.objects.create(group=crew, role="admin")
    assert access_to(actor, server_row).role == "admin"
    assert {one.server.name: one.access.role for one in list_connections(actor)} == {
        "test": "admin",
        "other": "admin",
    }
    assert all_servers(actor).access.may(Permission.MANAGE_ACCESS)


def test_whoever_is_deactivated_has_nothing(viewer):
    assert list_servers(Actor(viewer, "viewer"))
    viewer.is_active = False
    assert list_servers(Actor(viewer, "viewer")) == []


def test_the_system_itself_has_no_rights_of_its_own(server_row):
    with pytest.raises(NotFound):
        open_connection(Actor(None, "system"), "test")


def test_a_connection_reads_the_state(connection_as, redis):
    redis.set("k", "v")
    assert get_state(connection_as("viewer")).total == 1
    assert get_state(connection_as("viewer", patterns=["a:*"])).total is None


def test_patterns_are_typed_with_escapes(db, server_row, viewer):
    grant = Grant(user=viewer, role="viewer", patterns=["a\\xff*", "b\\*"], channels=[], masks=["\\n"])
    right = rights_of([grant]).rights[0]
    assert (
        right.covers(b"a\xff1")
        and right.covers(b"b*")
        and not right.covers(b"b1")
        and right.masks_value(b"\n")
    )
