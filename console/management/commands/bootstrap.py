"""The first people: an admin, and on sample data a viewer and an operator. Runs at every start; makes each once."""

import os
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction

from keyspace.access import Access, Actor
from keyspace.audit import record
from keyspace.configured import sync_servers
from keyspace.models import Grant, Server
from keyspace.people import new_password
from keyspace.servers import AllServers

PASSWORD_VARIABLE = "CONSOLE_ADMIN_PASSWORD"
BOOTSTRAP = AllServers(Actor(None, "bootstrap"), Access())


@dataclass(frozen=True)
class NewPerson:
    """Somebody who was made just now; `password` is empty when it came from the environment."""

    name: str
    password: str


def make_first_people() -> list[NewPerson]:
    """Make who is missing: `admin` while nobody is there at all, and with sample data `operator` and `viewer` beside it alone."""
    with transaction.atomic():
        people = []
        if not get_user_model().objects.exists():
            people.append(
                _make_person("admin", Grant.Role.ADMIN, password=os.environ.get(PASSWORD_VARIABLE, ""))
            )
        if settings.SAMPLE and get_user_model().objects.count() == 1:
            # For the sample server alone: whoever knows these passwords gets nothing when real servers are added.
            sample = Server.objects.get(source=Server.Source.SAMPLE)
            people += [
                _make_person(role.value, role, server=sample)
                for role in (Grant.Role.OPERATOR, Grant.Role.VIEWER)
            ]
    return people


def _make_person(
    name: str, role: Grant.Role, *, password: str = "", server: Server | None = None
) -> NewPerson:
    generated = "" if password else new_password()
    user = get_user_model().objects.create_user(name, password=password or generated)
    Grant.objects.create(user=user, role=role, server=server)
    detail = {"person": name, "role": role.value, "on": server.name if server else "all servers"}
    record(BOOTSTRAP, "add_person", key=None, outcome="done", detail=detail)
    return NewPerson(name, generated)


def describe_people(people: list[NewPerson]) -> list[str]:
    """Lines for the terminal: how each new person signs in."""
    lines = [f"  {one.name:<9} {one.password or f'the password in {PASSWORD_VARIABLE}'}" for one in people]
    if any(one.password for one in people):
        lines.append(
            "These passwords are shown only now: keep them. `manage.py changepassword NAME` sets a new one."
        )
    return lines


class Command(BaseCommand):
    help = "Make the first admin (CONSOLE_ADMIN_PASSWORD or a generated password, printed once), once."

    def handle(self, *args: Any, **options: Any) -> None:
        sync_servers(settings.CONFIGURED_SERVERS)
        people = make_first_people()
        for line in describe_people(people) or ["Everybody is there already; nothing was changed."]:
            self.stdout.write(line)
