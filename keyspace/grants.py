"""Grants: one role for a person or a group on a server or on all; and what every change of access has to keep."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q
from django.dispatch import Signal

from keyspace.access import ROLES, Permission, performs
from keyspace.audit import tell
from keyspace.encoding import from_text, to_text
from keyspace.errors import BadInput, Conflict, NotFound
from keyspace.models import Grant, Server
from keyspace.servers import AllServers, all_servers

# Sent as on_access_changed.send(sender=None, user_ids=frozenset of ids) once what these people may do has changed.
on_access_changed = Signal()

MAX_PATTERNS, MAX_PATTERN = 100, 512


@dataclass(frozen=True)
class Bounds:
    """How far a grant goes: on `server` (None: all) in a `role`; patterns are text with escapes for bytes."""

    server: str | None
    role: str
    patterns: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Allowance:
    """A grant as it is shown: either `person` or `group` is set."""

    id: int
    person: str | None
    group: str | None
    bounds: Bounds


def show_grants() -> list[Allowance]:
    """Every grant, those of people first, by name."""
    grants = Grant.objects.select_related("user", "group", "server")
    shown = [_shown(grant) for grant in grants]
    return sorted(
        shown, key=lambda one: (one.person is None, one.person or one.group or "", one.bounds.server or "")
    )


def _shown(grant: Grant) -> Allowance:
    lists = (tuple(grant.patterns), tuple(grant.channels), tuple(grant.masks))
    person = grant.user.get_username() if grant.user else None
    group, server = (one.name if one else None for one in (grant.group, grant.server))
    return Allowance(grant.pk, person, group, Bounds(server, grant.role, *lists))


@performs(Permission.MANAGE_ACCESS, audited=False)
def get_grant(console: AllServers, *, grant_id: int) -> Allowance:
    return _shown(_grant(grant_id))


@performs(Permission.MANAGE_ACCESS)
def add_grant(
    console: AllServers, *, bounds: Bounds, person: str | None = None, group: str | None = None
) -> int:
    """Give `bounds` to a person or a group. Returns the grant's id."""
    if (person is None) == (group is None):
        raise BadInput("A grant is for one person or for one group.", "Choose one of the two.")
    grant = Grant(user=find_person(person) if person else None, group=find_group(group) if group else None)
    tell(to=person or group, **_told(bounds))
    with changing_access(console) as changed:
        _save(grant, bounds)
        changed.update(_holders(grant))
    return int(grant.pk)


@performs(Permission.MANAGE_ACCESS)
def change_grant(console: AllServers, *, grant_id: int, bounds: Bounds) -> None:
    grant = _grant(grant_id)
    tell(to=str(grant.user or grant.group), **_told(bounds), before=_told(_shown(grant).bounds))
    with changing_access(console) as changed:
        _save(grant, bounds)
        changed.update(_holders(grant))


@performs(Permission.MANAGE_ACCESS)
def remove_grant(console: AllServers, *, grant_id: int) -> None:
    grant = _grant(grant_id)
    tell(to=str(grant.user or grant.group), **_told(_shown(grant).bounds))
    with changing_access(console) as changed:
        changed.update(_holders(grant))
        grant.delete()


def _told(bounds: Bounds) -> dict[str, Any]:
    told = {"grant_on": bounds.server or "all servers", "role": bounds.role}
    lists = {"patterns": bounds.patterns, "channels": bounds.channels, "masks": bounds.masks}
    return told | {name: lines for name, lines in lists.items() if lines}


def _save(grant: Grant, bounds: Bounds) -> None:
    if bounds.role not in ROLES:
        raise BadInput("There is no such role.", f"Choose one of {', '.join(ROLES)}.")
    grant.server = _server(bounds.server) if bounds.server else None
    grant.role = bounds.role
    grant.patterns, grant.channels, grant.masks = map(
        _lines, (bounds.patterns, bounds.channels, bounds.masks)
    )
    grant.save()


def _lines(patterns: Iterable[str]) -> list[str]:
    """Glob patterns without repeats, each as `to_text` writes its bytes."""
    lines = list(dict.fromkeys(to_text(from_text(line.strip())) for line in patterns if line.strip()))
    if len(lines) > MAX_PATTERNS or any(len(line) > MAX_PATTERN for line in lines):
        raise BadInput(
            f"A grant takes at most {MAX_PATTERNS} patterns of at most {MAX_PATTERN} characters.",
            "Join them with * or [ ], or make a second grant.",
        )
    return lines


def _holders(grant: Grant) -> set[int]:
    if grant.user_id is not None:
        return {grant.user_id}
    return set(grant.group.user_set.values_list("pk", flat=True)) if grant.group else set()


@contextmanager
def changing_access(console: AllServers) -> Iterator[set[int]]:
    """A change of who may do what, as one transaction; the block adds the ids of the people it concerns.

    Raises Conflict, and changes nothing, when no admin would be left or the person doing it would lose that role themselves.
    """
    concerned: set[int] = set()
    with transaction.atomic():
        # One change at a time: two admins who take each other's role away at the same moment queue up here.
        list(Grant.objects.select_for_update().filter(server=None).values_list("pk"))
        yield concerned
        _keep_an_admin(console)
    on_access_changed.send(sender=None, user_ids=frozenset(concerned))


def _keep_an_admin(console: AllServers) -> None:
    roles = [role for role, permissions in ROLES.items() if Permission.MANAGE_ACCESS in permissions]
    grants = Grant.objects.filter(server=None, role__in=roles, patterns=[])
    if not grants.filter(Q(user__is_active=True) | Q(group__user__is_active=True)).exists():
        raise Conflict(
            "This would leave the console without an admin; nothing was changed.",
            "Give somebody else the role admin on all servers first.",
        )
    user = console.actor.user
    now = get_user_model().objects.filter(pk=user.pk).first()
    if now is None or not all_servers(replace(console.actor, user=now)).access.may(Permission.MANAGE_ACCESS):
        raise Conflict(
            "This would take your own admin role away; nothing was changed.", "Ask another admin to do it."
        )


def find_person(name: str) -> Any:
    """The user. Raises NotFound."""
    user = get_user_model().objects.filter(username=name).first()
    if user is None:
        raise NotFound(f"There is no person called {name[:150]}.", "They may have been removed meanwhile.")
    return user


def find_group(name: str) -> Group:
    """Raises NotFound."""
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise NotFound(f"There is no group called {name[:150]}.", "It may have been removed meanwhile.")
    return group


def _server(name: str) -> Server:
    server = Server.objects.filter(name=name).first()
    if server is None:
        raise NotFound(f"There is no server called {name[:64]}.", "It may have been removed meanwhile.")
    return server


def _grant(grant_id: int) -> Grant:
    grant = Grant.objects.select_related("user", "group", "server").filter(pk=grant_id).first()
    if grant is None:
        raise NotFound("This grant is gone.", "Somebody else may have removed it meanwhile.")
    return grant
