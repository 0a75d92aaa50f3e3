"""The same form sent by two console processes at once, on one database: it is done once, and both answer alike."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from keyspace import once
from keyspace.models import AuditEntry, Once, TrashEntry
from tests.console.test_edits import HTMX, NAME, hidden, page_of, place
from tests.processes import begin_process

pytestmark = pytest.mark.django_db(transaction=True)
SEND = """
import json, time
import redis
from django.contrib.auth import get_user_model
from django.test import Client
name, path, sent, port, processes = arguments
client, server = Client(SERVER_NAME="localhost"), redis.Redis(port=int(port), db=9)
client.force_login(get_user_model().objects.get(username=name), backend="allauth.account.auth_backends.AuthenticationBackend")
client.get(path)  # all that is imported late is there
server.incr("ready")
while int(server.get("ready")) < int(processes):
    time.sleep(0.0005)
answer = client.post(path, json.loads(sent), headers={"HX-Request": "true"})
print(json.dumps([answer.status_code, answer.get("HX-Trigger", ""), answer.content.decode()]))
"""


def sent_by(processes, person, path, sent, server):
    """What each of so many processes was answered."""
    running = [
        begin_process(SEND, person.username, path, json.dumps(sent), str(server.port), str(processes))
        for _ in range(processes)
    ]
    return [json.loads(process.communicate(timeout=120)[0]) for process in running]


def test_a_push_sent_by_two_processes_at_once_is_pushed_once(operator_client, operator, redis, server):
    redis.rpush(NAME, "a")
    dialog = operator_client.get(place("key_edit", "list-push"))
    sent = {"seen": hidden(dialog), "value": "b", "using": "text", "side": "tail"}
    answers = sent_by(2, operator, place("key_apply_edit", "list-push"), sent, server)
    assert redis.lrange(NAME, 0, -1) == [b"a", b"b"]
    assert answers[0] == answers[1] and answers[0][0] == 200, answers
    assert TrashEntry.objects.count() == 1
    assert AuditEntry.objects.filter(operation="edit_key", outcome="done").count() == 1


def test_a_deletion_sent_by_three_processes_at_once_deletes_once(operator_client, operator, redis, server):
    redis.set(NAME, "a")
    sent = {"seen": hidden(operator_client.get(place("key_deletion")))}
    answers = sent_by(3, operator, place("key_delete"), sent, server)
    assert not redis.exists(NAME) and TrashEntry.objects.count() == 1
    assert {status for status, *_ in answers} == {200} and len({told for _, told, _ in answers}) == 1


def test_a_form_whose_console_was_killed_is_not_sent_again_and_says_why(operator_client, redis, monkeypatch):
    """What its token was claimed for may have been done."""
    monkeypatch.setattr(once, "WAIT_SECONDS", 0.1)
    redis.rpush(NAME, "a")
    dialog = operator_client.get(place("key_edit", "list-push"))
    sent = {"seen": hidden(dialog), "value": "b", "using": "text", "side": "tail"}
    operator_client.post(place("key_apply_edit", "list-push"), sent, headers=HTMX)
    Once.objects.update(answer=None)  # as a kill between the claim and the answer leaves it
    for age, told in ((timedelta(0), "still running"), (timedelta(minutes=2), "the console stopped before")):
        Once.objects.update(at=timezone.now() - age)
        answer = operator_client.post(place("key_apply_edit", "list-push"), sent, headers=HTMX)
        assert answer.status_code == 422 and told in page_of(answer)
    assert redis.lrange(NAME, 0, -1) == [b"a", b"b"]
