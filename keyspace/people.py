"""People and groups: who may use the console. How far they may go is in `keyspace.grants`."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef

from keyspace.access import Permission, performs
from keyspace.audit import tell
from keyspace.errors import BadInput, Conflict
from keyspace.grants import (
    Allowance,
    changing_access,
    find_group,
    find_person,
    on_access_changed,
    show_grants,
)
from keyspace.models import Server
from keyspace.servers import AllServers

ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in, unless not `active`; with a `second_factor` not by the password alone."""

    id: int
    name: str
    active: bool
    last_seen: datetime | None
    groups: tuple[str, ...]
    second_factor: bool


@dataclass(frozen=True)
class People:
    """All of it, for the Access page; `groups` maps a group's name to its members."""

    people: list[Person]
    groups: dict[str, tuple[str, ...]]
    grants: list[Allowance]
    servers: list[str]


@performs(Permission.MANAGE_ACCESS, audited=False)
def list_people(console: AllServers) -> People:
    """Everybody, every group and every grant, in five queries however many there are."""
    users = get_user_model().objects.prefetch_related("groups").order_by("username")
    users = users.annotate(second_factor=Exists(Authenticator.objects.filter(user=OuterRef("pk"))))
    people = [
        Person(
            user.pk,
            user.username,
            user.is_active,
            user.last_login,
            tuple(sorted(g.name for g in user.groups.all())),
            user.second_factor,
        )
        for user in users
    ]
    groups = {
        name: tuple(person.name for person in people if name in person.groups)
        for name in Group.objects.order_by("name").values_list("name", flat=True)
    }
    return People(people, groups, show_grants(), list(Server.objects.values_list("name", flat=True)))


@performs(Permission.MANAGE_ACCESS)
def add_person(console: AllServers, *, username: str, groups: Iterable[str] = ()) -> str:
    """A new person without grants of their own. Returns their first password, which is kept nowhere."""
    user, password = get_user_model()(username=username), new_password()
    tell(person=username, groups=sorted(groups))
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise BadInput(
            " ".join(error.messages), "Letters, digits and @ . + - _; every name is taken once."
        ) from None
    user.set_password(password)
    with changing_access(console) as changed:
        user.save()
        user.groups.set([find_group(name) for name in groups])
        changed.add(user.pk)
    return password


def new_password() -> str:
    """18 characters without look-alikes: about 105 bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(6)) for _ in range(3))


@performs(Permission.MANAGE_ACCESS)
def renew_password(console: AllServers, *, username: str) -> str:
    """A new password, which ends the person's sessions. Returned once, kept nowhere."""
    user, password = find_person(username), new_password()
    tell(person=username)
    user.set_password(password)
    with changing_access(console) as changed:
        user.save(update_fields=["password"])
        changed.add(user.pk)
    return password


@performs(Permission.MANAGE_ACCESS)
def remove_second_factor(console: AllServers, *, username: str) -> None:
    """For somebody whose phone is lost: the password alone signs them in until they set it up anew; recovery codes go with it.

    Raises Conflict where there is none, and BadInput for one's own, which is asked for the password again on its page.
    """
    user = find_person(username)
    tell(person=username)
    if user == console.actor.user:
        raise BadInput(
            "Your own second factor is not switched off here.",
            "Use Two-factor sign-in in your account's menu.",
        )
    removed, _ = Authenticator.objects.filter(user=user).delete()
    if not removed:
        raise Conflict(f"{username} has no second factor.", "Their password alone signs them in already.")


@performs(Permission.MANAGE_ACCESS)
def change_person(console: AllServers, *, username: str, active: bool, groups: Iterable[str]) -> None:
    """Who is not active cannot sign in, and is out with their next request."""
    user = find_person(username)
    before = sorted(user.groups.values_list("name", flat=True))
    tell(
        person=username,
        active_before=user.is_active,
        active_after=active,
        groups_before=before,
        groups_after=sorted(groups),
    )
    with changing_access(console) as changed:
        user.is_active = active
        user.save(update_fields=["is_active"])
        user.groups.set([find_group(name) for name in groups])
        changed.add(user.pk)


@performs(Permission.MANAGE_ACCESS)
def remove_person(console: AllServers, *, username: str) -> None:
    """The person and their grants; what they did stays in the audit under their name."""
    user = find_person(username)
    tell(person=username)
    with changing_access(console) as changed:
        changed.add(user.pk)
        user.delete()


@performs(Permission.MANAGE_ACCESS)
def add_group(console: AllServers, *, group: str, members: Iterable[str] = ()) -> None:
    tell(group=group, members=sorted(members))
    new = Group(name=group.strip())
    try:
        new.full_clean()
    except ValidationError as error:
        raise BadInput(" ".join(error.messages), "Choose another name for the group.") from None
    with changing_access(console) as changed:
        new.save()
        _set_members(new, members, changed)


@performs(Permission.MANAGE_ACCESS)
def change_group(console: AllServers, *, group: str, members: Iterable[str]) -> None:
    found = find_group(group)
    before = sorted(found.user_set.values_list("username", flat=True))
    tell(group=group, members_before=before, members_after=sorted(members))
    with changing_access(console) as changed:
        _set_members(found, members, changed)


def _set_members(group: Group, members: Iterable[str], changed: set[int]) -> None:
    users = [find_person(name) for name in members]
    changed.update(group.user_set.values_list("pk", flat=True), (user.pk for user in users))
    group.user_set.set(users)


@performs(Permission.MANAGE_ACCESS)
def remove_group(console: AllServers, *, group: str) -> None:
    """The group and its grants; its members stay."""
    found = find_group(group)
    tell(group=group)
    with changing_access(console) as changed:
        changed.update(found.user_set.values_list("pk", flat=True))
        found.delete()


__all__ = [
    "People", "Person", "add_group", "add_person", "change_group", "change_person", "list_people", "new_password",
    "on_access_changed", "remove_group", "remove_person", "remove_second_factor", "renew_password",
]  # fmt: skip
