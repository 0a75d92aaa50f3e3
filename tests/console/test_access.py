"""The Access page: people, groups and grants."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from keyspace.models import AuditEntry, Grant
from tests.people import PASSWORD, sign_in


def body(answer):
    return answer.content.decode()


def test_access_shows_people_groups_and_grants(admin_client, viewer, server_row):
    crew = Group.objects.create(name="crew")
    Grant.objects.create(group=crew, role="operator", patterns=["session:*"], masks=["session:secret*"])
    page = body(admin_client.get("/access/"))
    for word in ("viewer", "crew", "session:*", "session:secret*", "all servers", "you"):
        assert word in page


def test_a_person_is_added_and_their_password_shown_once(admin_client, client):
    shown = admin_client.post("/access/add_person/", {"username": "ana"})
    assert shown.status_code == 200 and "no-store" in shown["Cache-Control"]
    password = re.search(r'id="password">([^<]+)<', body(shown))[1]
    assert client.post("/accounts/login/", {"login": "ana", "password": password}).status_code == 302
    assert password not in body(admin_client.get("/access/people/ana/"))
    assert password not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(("name", "status"), [("", 422), ("a b", 400), ("admin", 400), ("x" * 151, 422)])
def test_a_name_that_cannot_be_used_is_told(admin_client, name, status):
    assert admin_client.post("/access/add_person/", {"username": name}).status_code == status
    assert get_user_model().objects.count() == 1


def test_a_person_is_changed_renewed_and_removed(admin_client, viewer, server_row):
    Group.objects.create(name="crew")
    assert admin_client.post("/access/people/viewer/", {"groups": ["crew"]}).status_code == 302
    viewer.refresh_from_db()
    assert not viewer.is_active and [group.name for group in viewer.groups.all()] == ["crew"]
    shown = admin_client.post("/access/people/viewer/renew_password/")
    password = re.search(r'id="password">([^<]+)<', body(shown))[1]
    viewer.refresh_from_db()
    assert viewer.check_password(password)
    admin_client.post("/access/people/viewer/remove/")
    assert not get_user_model().objects.filter(username="viewer").exists() and Grant.objects.count() == 1


def test_a_lost_second_factor_is_removed_and_the_password_signs_in(admin_client, viewer, client):
    assert "Remove second factor" not in body(admin_client.get("/access/people/viewer/"))
    Authenticator.objects.create(user=viewer, type="totp", data={"secret": "unread"})
    assert "Remove second factor" in body(admin_client.get("/access/people/viewer/"))
    shown = admin_client.post("/access/people/viewer/remove_second_factor/", follow=True)
    assert "The second factor of viewer was removed." in body(shown)
    assert "Remove second factor" not in body(shown)
    signed_in = client.post("/accounts/login/", {"login": "viewer", "password": PASSWORD})
    assert signed_in.url == "/" and client.get("/").status_code == 200
    assert admin_client.post("/access/people/viewer/remove_second_factor/").status_code == 409


def test_ones_own_second_factor_is_left_to_its_page(admin_client, admin):
    Authenticator.objects.create(user=admin, type="totp", data={})
    page = body(admin_client.get("/access/people/admin/"))
    assert "Remove second factor" not in page and 'href="/accounts/2fa/"' in page
    assert admin_client.post("/access/people/admin/remove_second_factor/").status_code == 400


@pytest.mark.parametrize("name", ["a@b.example", "ana+test", "ünï-cödé_1"])
def test_names_of_all_kinds_have_a_page(admin_client, make_person, name):
    make_person(name)
    links = re.findall(r'href="(/access/people/[^"]+)"', body(admin_client.get("/access/")))
    assert [admin_client.get(link).status_code for link in links] == [200, 200]


def test_a_group_is_added_changed_and_removed(admin_client, viewer):
    assert (
        admin_client.post("/access/add_group/", {"group": "night crew", "members": ["viewer"]}).status_code
        == 302
    )
    assert "viewer" in body(admin_client.get("/access/groups/night%20crew/"))
    admin_client.post("/access/groups/night%20crew/", {"members": []})
    assert not viewer.groups.exists()
    admin_client.post("/access/groups/night%20crew/remove/")
    assert not Group.objects.exists()


@pytest.mark.parametrize("name", ["", "a/b", "<script>", "x" * 151])
def test_a_group_with_an_odd_name_is_422(admin_client, name):
    assert admin_client.post("/access/add_group/", {"group": name}).status_code == 422
    assert not Group.objects.exists()


def test_a_grant_is_given_changed_and_removed(admin_client, nobody, server_row):
    page = body(admin_client.get("/access/add_grant/?to=person:nobody"))
    assert '<option value="person:nobody" selected>' in page
    typed = {
        "to": "person:nobody",
        "server": "test",
        "role": "viewer",
        "patterns": "session:*\r\n\\xff*\r\n",
        "channels": "",
        "masks": "a*",
    }
    assert admin_client.post("/access/add_grant/", typed).status_code == 302
    grant = Grant.objects.get(user=nobody)
    assert (grant.patterns, grant.channels, grant.masks, grant.server) == (
        ["session:*", "\\xff*"],
        [],
        ["a*"],
        server_row,
    )
    assert "session:*\n\\xff*" in body(admin_client.get(f"/access/grants/{grant.pk}/"))
    admin_client.post(
        f"/access/grants/{grant.pk}/", typed | {"server": "*", "role": "operator", "patterns": ""}
    )
    grant.refresh_from_db()
    assert (grant.server, grant.role, grant.patterns) == (None, "operator", [])
    assert sign_in(nobody).get("/servers/test/").status_code == 200
    admin_client.post(f"/access/grants/{grant.pk}/remove/")
    assert sign_in(nobody).get("/servers/test/").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "person:ghost"},
        {"to": "x"},
        {"role": "owner"},
        {"server": "nowhere"},
        {"role": ""},
        {"to": ""},
        {"server": ""},
    ],
)
def test_a_grant_that_makes_no_sense_is_422(admin_client, nobody, server_row, wrong):
    typed = {"to": "person:nobody", "server": "test", "role": "viewer"} | wrong
    assert admin_client.post("/access/add_grant/", typed).status_code == 422
    assert Grant.objects.count() == 1


def test_the_last_admin_is_told_in_one_sentence(admin_client, admin):
    grant = Grant.objects.get(user=admin)
    answer = admin_client.post(f"/access/grants/{grant.pk}/remove/")
    assert answer.status_code == 409 and "This would leave the console without an admin" in body(answer)
    assert Grant.objects.filter(pk=grant.pk).exists()


def test_a_change_that_makes_no_sense_is_told(admin_client, server_row):
    assert admin_client.get("/access/people/ghost/").status_code == 404
    assert admin_client.get("/access/groups/ghost/").status_code == 404
    assert admin_client.get("/access/grants/99/").status_code == 404
    assert admin_client.post("/access/people/ghost/remove/").status_code == 404


PAGES = ["", "add_person/", "add_group/", "add_grant/", "people/viewer/", "groups/crew/", "grants/1/"]
ACTS = ["add_person/", "add_group/", "add_grant/", "people/viewer/", "people/viewer/renew_password/", "people/viewer/remove/",
        "people/viewer/remove_second_factor/",
        "groups/crew/", "groups/crew/remove/", "grants/1/", "grants/1/remove/"]  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
def test_operators_and_admins_of_one_server_see_none_of_it(
    operator_client, make_person, server_row, viewer, path
):
    local = sign_in(make_person("local", "admin", server=server_row))
    for one in (operator_client, local):
        assert one.get(f"/access/{path}").status_code == 403


@pytest.mark.parametrize("path", ACTS)
def test_operators_change_none_of_it(operator_client, viewer, path):
    before = viewer.password
    assert (
        operator_client.post(f"/access/{path}", {"username": "eve", "group": "g", "active": ""}).status_code
        == 403
    )
    viewer.refresh_from_db()
    assert (
        viewer.is_active
        and viewer.password == before
        and not get_user_model().objects.filter(username="eve").exists()
    )


def test_the_nav_offers_access_and_audit_to_admins_alone(admin_client, viewer_client):
    assert 'href="/access/"' in body(admin_client.get("/")) and 'href="/audit/"' in body(
        admin_client.get("/")
    )
    assert 'href="/access/"' not in body(viewer_client.get("/")) and 'href="/audit/"' not in body(
        viewer_client.get("/")
    )
