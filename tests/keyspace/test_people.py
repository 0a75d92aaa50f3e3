"""People, groups and grants: what admins do with them, and what nobody can do to the console."""

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from keyspace import grants, people
from keyspace.access import Actor, Permission
from keyspace.errors import BadInput, Conflict, Denied, NotFound
from keyspace.grants import Bounds, on_access_changed
from keyspace.models import AuditEntry, Grant, Server
from keyspace.servers import (
    all_servers,
    open_connection,
)


@pytest.fixture
def console(console_as):
    return console_as("admin")


@pytest.fixture
def heard():
    """The ids of the people whose access changed, one set a change."""
    told = []
    listen = lambda user_ids, **_: told.append(set(user_ids))  # noqa: E731
    on_access_changed.connect(listen)
    yield told
    on_access_changed.disconnect(listen)


def user(name):
    return get_user_model().objects.get(username=name)


def test_a_new_person_gets_a_password_once(console, heard):
    password = people.add_person(console, username="ana")
    assert len(password) == 20 and user("ana").check_password(password)
    assert password not in user("ana").password
    assert heard == [{user("ana").pk}]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 151, "console-admin"])
def test_a_name_that_cannot_be_used_is_refused(console, name):
    with pytest.raises(BadInput):
        people.add_person(console, username=name)


def test_a_new_password_replaces_the_old(console, heard):
    first = people.add_person(console, username="ana")
    second = people.renew_password(console, username="ana")
    assert user("ana").check_password(second) and not user("ana").check_password(first)


def give_second_factor(person):
    for kind in (Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES):
        Authenticator.objects.create(user=person, type=kind, data={})


def test_who_lost_their_phone_gets_in_without_it_and_the_audit_knows(console):
    for name in ("ana", "bo"):
        people.add_person(console, username=name)
        give_second_factor(user(name))
    people.remove_second_factor(console, username="ana")
    shown = {one.name: one.second_factor for one in people.list_people(console).people}
    assert shown == {"ana": False, "bo": True, "console-admin": False}
    entry = AuditEntry.objects.get(operation="remove_second_factor")
    assert (entry.outcome, entry.detail) == ("done", {"person": "ana"})
    with pytest.raises(Conflict, match="has no second factor"):
        people.remove_second_factor(console, username="ana")


def test_nobody_removes_their_own_second_factor_without_the_password(console):
    give_second_factor(user("console-admin"))
    with pytest.raises(BadInput, match="Your own"):
        people.remove_second_factor(console, username="console-admin")
    assert Authenticator.objects.count() == 2


def test_a_person_is_deactivated_and_put_into_groups(console, heard):
    people.add_person(console, username="ana")
    people.add_group(console, group="crew")
    people.change_person(console, username="ana", active=False, groups=["crew"])
    shown = next(one for one in people.list_people(console).people if one.name == "ana")
    assert (shown.active, shown.groups) == (False, ("crew",))
    assert heard[-1] == {user("ana").pk}


def test_a_group_and_its_members(console, heard):
    for name in ("ana", "bo"):
        people.add_person(console, username=name)
    people.add_group(console, group="crew", members=["ana"])
    people.change_group(console, group="crew", members=["bo"])
    assert heard[-1] == {user("ana").pk, user("bo").pk}
    assert people.list_people(console).groups == {"crew": ("bo",)}
    people.remove_group(console, group="crew")
    assert heard[-1] == {user("bo").pk} and people.list_people(console).groups == {}


def test_a_grant_is_given_changed_and_taken(console, server_row, heard):
    people.add_person(console, username="ana")
    given = Bounds("test", "viewer", (" session:* ", "session:*", "", "\\xff*"), ("news.*",), ("session:*",))
    grant_id = grants.add_grant(console, person="ana", bounds=given)
    shown = grants.get_grant(console, grant_id=grant_id)
    assert shown.bounds == Bounds("test", "viewer", ("session:*", "\\xff*"), ("news.*",), ("session:*",))
    actor = Actor(user("ana"), "ana")
    assert open_connection(actor, "test").access.patterns == (b"session:*", b"\xff*")
    grants.change_grant(console, grant_id=grant_id, bounds=Bounds(None, "operator"))
    assert open_connection(actor, "test").access.role == "operator"
    grants.remove_grant(console, grant_id=grant_id)
    assert heard[-3:] == [{user("ana").pk}] * 3
    with pytest.raises(NotFound):
        open_connection(actor, "test")


TOO_MANY = tuple(f"{number}:*" for number in range(101))


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(None, "owner"),
        Bounds("nowhere", "viewer"),
        Bounds(None, "viewer", ("x" * 513,)),
        Bounds(None, "viewer", TOO_MANY),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(console, bounds):
    with pytest.raises((BadInput, NotFound)):
        grants.add_grant(console, person="console-admin", bounds=bounds)
    assert Grant.objects.count() == 1


def test_a_grant_is_for_one(console):
    for wrong in (
        {},
        {"person": "console-admin", "group": "crew"},
        {"person": "nobody"},
        {"group": "nobody"},
    ):
        with pytest.raises((BadInput, NotFound)):
            grants.add_grant(console, bounds=Bounds(None, "viewer"), **wrong)


def own_grant():
    return Grant.objects.get(user__username="console-admin")


OWN_END = {
    "remove the grant": lambda c: grants.remove_grant(c, grant_id=own_grant().pk),
    "lower the role": lambda c: grants.change_grant(
        c, grant_id=own_grant().pk, bounds=Bounds(None, "operator")
    ),
    "narrow to some keys": lambda c: grants.change_grant(
        c, grant_id=own_grant().pk, bounds=Bounds(None, "admin", ("a:*",))
    ),
    "narrow to a server": lambda c: grants.change_grant(
        c, grant_id=own_grant().pk, bounds=Bounds("test", "admin")
    ),
    "deactivate": lambda c: people.change_person(c, username="console-admin", active=False, groups=[]),
    "remove": lambda c: people.remove_person(c, username="console-admin"),
}


@pytest.mark.parametrize("way", OWN_END)
def test_the_last_admin_stays(console, server_row, heard, way):
    with pytest.raises(Conflict, match="without an admin"):
        OWN_END[way](console)
    assert all_servers(console.actor).access.may(Permission.MANAGE_ACCESS) and user("console-admin").is_active
    assert heard == []


@pytest.mark.parametrize("way", OWN_END)
def test_nobody_takes_their_own_admin_role_away(console, server_row, make_person, way):
    make_person("second", "admin")
    with pytest.raises(Conflict, match="your own admin role"):
        OWN_END[way](console)
    assert all_servers(console.actor).access.may(Permission.MANAGE_ACCESS) and user("console-admin").is_active


def test_one_admin_may_end_another(console, make_person):
    make_person("second", "admin")
    people.remove_person(console, username="second")
    assert Grant.objects.count() == 1


def test_an_admin_by_group_counts(console, make_person, server_row):
    people.add_person(console, username="ana")
    people.add_group(console, group="admins", members=["ana", "console-admin"])
    grants.add_grant(console, group="admins", bounds=Bounds(None, "admin"))
    grants.remove_grant(console, grant_id=own_grant().pk)
    assert all_servers(console.actor).access.may(Permission.MANAGE_ACCESS)
    with pytest.raises(Conflict):
        people.remove_group(console, group="admins")
    assert Group.objects.filter(name="admins").exists()


@pytest.mark.parametrize("role", ["operator", "viewer", None])
def test_only_admins_manage_access(console_as, role, viewer, server_row):
    console = console_as(role)
    grant_id = viewer.grants.get().pk
    calls = [
        lambda: people.list_people(console),
        lambda: people.add_person(console, username="x"),
        lambda: people.renew_password(console, username="viewer"),
        lambda: people.remove_second_factor(console, username="viewer"),
        lambda: people.change_person(console, username="viewer", active=False, groups=[]),
        lambda: people.remove_person(console, username="viewer"),
        lambda: people.add_group(console, group="g"),
        lambda: people.change_group(console, group="g", members=[]),
        lambda: people.remove_group(console, group="g"),
        lambda: grants.add_grant(console, person="viewer", bounds=Bounds(None, "admin")),
        lambda: grants.get_grant(console, grant_id=grant_id),
        lambda: grants.change_grant(console, grant_id=grant_id, bounds=Bounds(None, "admin")),
        lambda: grants.remove_grant(console, grant_id=grant_id),
    ]
    for call in calls:
        with pytest.raises(Denied):
            call()
    assert viewer.grants.get().role == "viewer" and Server.objects.count() == 1
