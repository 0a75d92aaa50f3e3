"""The Trash page: listed, previewed, restored, purged, by who may."""

import json
import re
import uuid

import pytest
from django.urls import reverse

from keyspace.deleting import delete_keys
from keyspace.models import TrashEntry

pytestmark = pytest.mark.django_db
NAME = b"k\xff<b>"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def entry(connection_as, redis):
    redis.set(NAME, b"\xffsecret", px=100_000)
    return uuid.UUID(delete_keys(connection_as("operator"), names=[NAME]).entries[NAME])


def place(view, *more):
    return reverse(view, args=["test", 0, *more])


def test_the_page_lists_and_narrows(viewer_client, entry):
    assert r"k\xff&lt;b&gt;" in viewer_client.get(place("trash")).content.decode()
    assert "Nothing in the trash fits" in viewer_client.get(place("trash") + "?match=other").content.decode()
    assert "Nothing in the trash fits" in viewer_client.get(place("trash") + "?why=edited").content.decode()


def test_a_viewer_previews_and_restores_nothing(viewer_client, redis, entry):
    dialog = viewer_client.get(place("trash_entry", entry)).content.decode()
    assert r"\xffsecret" in dialog and "Restore</button>" not in dialog
    for view in ("trash_restore", "trash_undo", "trash_purge_entry"):
        assert viewer_client.post(place(view, entry), headers=HTMX).status_code == 403
    assert viewer_client.post(place("trash_purge"), headers=HTMX).status_code == 403
    assert not redis.exists(NAME) and TrashEntry.objects.count() == 1


def test_an_operator_restores_and_is_asked_before_a_newer_key_goes(operator_client, redis, entry):
    redis.set(NAME, "newer")
    asked = operator_client.post(place("trash_restore", entry), headers=HTMX)
    assert (
        asked.status_code == 422
        and 'name="replace"' in asked.content.decode()
        and redis.get(NAME) == b"newer"
    )
    done = operator_client.post(place("trash_restore", entry), {"replace": "on"}, headers=HTMX)
    assert done.status_code == 200 and redis.get(NAME) == b"\xffsecret" and redis.pttl(NAME) > 0
    assert "undo" in json.loads(done["HX-Trigger"])["toast"]


def test_restored_twice_by_a_double_click_it_is_restored_once_and_answers_alike(
    operator_client, redis, entry
):
    dialog = operator_client.get(place("trash_entry", entry)).content.decode()
    sent = {"once": re.search(r'name="once" value="(\w+)"', dialog)[1]}
    answers = [operator_client.post(place("trash_restore", entry), sent, headers=HTMX) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200] and redis.get(NAME) == b"\xffsecret"
    assert TrashEntry.objects.count() == 1


def test_purged_is_gone(operator_client, entry):
    assert operator_client.post(place("trash_purge"), headers=HTMX).status_code == 200
    assert not TrashEntry.objects.exists()
    assert operator_client.get(place("trash_entry", entry)).status_code == 404


def test_what_was_perhaps_not_written_is_marked_as_such(viewer_client, entry):
    assert "perhaps not written" not in viewer_client.get(place("trash")).content.decode()
    TrashEntry.objects.filter(pk=entry).update(in_doubt=True)
    assert "perhaps not written" in viewer_client.get(place("trash")).content.decode()
    assert (
        "nobody knows whether the edit was written"
        in viewer_client.get(place("trash_entry", entry)).content.decode()
    )
