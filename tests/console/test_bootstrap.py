"""The first people: made once, with passwords that nobody else knows."""

import io
import re

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command

from console.management.commands.bootstrap import make_first_people
from keyspace.access import Actor, Permission
from keyspace.models import AuditEntry, Grant, Server
from keyspace.servers import access_to, all_servers, list_servers

pytestmark = pytest.mark.django_db


@pytest.fixture
def sample(settings) -> Server:
    settings.SAMPLE = True
    settings.CONFIGURED_SERVERS = {"sample": {"source": "sample", "socket": "/nowhere"}}
    return Server.objects.create(name="sample", source=Server.Source.SAMPLE)


def actor(name: str) -> Actor:
    return Actor(get_user_model().objects.get(username=name), name)


def test_the_first_admin_gets_a_generated_password_and_every_right():
    (admin,) = make_first_people()
    assert re.fullmatch(r"\w{6}-\w{6}-\w{6}", admin.password)
    assert authenticate(username="admin", password=admin.password)
    assert all(all_servers(actor("admin")).access.may(permission) for permission in Permission)


def test_the_first_admin_takes_the_password_of_the_environment(monkeypatch):
    monkeypatch.setenv("CONSOLE_ADMIN_PASSWORD", "the password of the environment")
    (admin,) = make_first_people()
    assert admin.password == ""
    assert authenticate(username="admin", password="the password of the environment")


def test_a_second_start_makes_nobody_and_leaves_passwords_alone(monkeypatch):
    (admin,) = make_first_people()
    monkeypatch.setenv("CONSOLE_ADMIN_PASSWORD", "another password")
    assert make_first_people() == []
    assert authenticate(username="admin", password=admin.password)


def test_nobody_becomes_admin_where_people_are_already():
    get_user_model().objects.create_user("ana", password="x")
    assert make_first_people() == []
    assert not Grant.objects.exists()


def test_sample_data_have_a_viewer_and_an_operator_for_that_server_alone(sample):
    other = Server.objects.create(name="other")
    people = make_first_people()
    assert [one.name for one in people] == ["admin", "operator", "viewer"]
    assert len({one.password for one in people}) == 3
    for name in ("operator", "viewer"):
        assert [right.role for right in access_to(actor(name), sample).rights] == [name]
        assert not access_to(actor(name), other).rights
        assert list_servers(actor(name)) == [sample]
    assert make_first_people() == []


def test_who_was_removed_does_not_come_back(sample):
    make_first_people()
    get_user_model().objects.filter(username="viewer").delete()
    assert make_first_people() == []


def test_real_servers_get_no_viewer():
    assert [one.name for one in make_first_people()] == ["admin"]


def test_it_is_in_the_audit_without_a_password():
    (admin,) = make_first_people()
    entry = AuditEntry.objects.get(operation="add_person")
    assert entry.person == "bootstrap"
    assert entry.detail["person"] == "admin"
    assert admin.password not in str(entry.detail)


def test_the_command_prints_each_password_once(sample):
    first, second = io.StringIO(), io.StringIO()
    call_command("bootstrap", stdout=first)
    call_command("bootstrap", stdout=second)
    passwords = re.findall(r"\w{6}-\w{6}-\w{6}", first.getvalue())
    assert len(passwords) == 3
    assert not re.search(r"\w{6}-\w{6}-\w{6}", second.getvalue())
