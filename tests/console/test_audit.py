"""The Audit page, and the command that verifies the chain."""

import re
from io import StringIO

import pytest
from django.core.management import call_command

from keyspace.audit import record
from keyspace.audit_entries import PAGE
from keyspace.encoding import key_id
from keyspace.models import AuditEntry
from tests.tampering import tamper


def body(answer):
    return answer.content.decode()


@pytest.fixture
def write(connection_as):
    subject = connection_as("operator")

    def write(operation="set_ttl", *, key=b"k", outcome="done", **detail):
        record(subject, operation, key=key, outcome=outcome, detail=detail)

    return write


def rows(page):
    return re.findall(r'<tr data-row id="entry-(\d+)">', page)


def test_audit_shows_who_from_where_what_and_how_it_ended(admin_client, write):
    write(key=b"\xffk:" + b"x" * 200, ttl_before=1000, ttl_after=5000)
    page = body(admin_client.get("/audit/"))
    for word in (
        "operator-1",
        "10.1.2.3",
        "test",
        "db 0",
        "set_ttl",
        "done",
        "TTL",
        "1 s → 5 s",
        r"\xffk:xxx",
        "…",
    ):
        assert word in page
    assert key_id(b"\xffk:" + b"x" * 200) in page


def test_a_denial_shows_up_with_its_sentence(admin_client, operator_client):
    operator_client.post("/access/add_person/", {"username": "eve"})
    page = body(admin_client.get("/audit/"))
    assert "denied" in page and "Your role here does not let you manage people and grants." in page


def test_audit_is_newest_first_and_paged_by_id(admin_client, write):
    for number in range(PAGE + 30):
        write(f"op_{number}")
    first = body(admin_client.get("/audit/"))
    assert len(rows(first)) == PAGE and rows(first) == sorted(rows(first), key=int, reverse=True)
    older = re.search(r'href="(\?before=\d+)"', first)[1]
    second = body(admin_client.get(f"/audit/{older}"))
    assert len(rows(second)) == 30 and int(rows(second)[0]) == int(rows(first)[-1]) - 1
    newer = re.search(r'href="(\?after=\d+)"', second)[1]
    assert rows(body(admin_client.get(f"/audit/{newer}"))) == rows(first)


def test_audit_is_filtered_and_pages_keep_the_filter(admin_client, write):
    write("set_ttl")
    write("delete_keys", outcome="denied")
    for wanted, many in (
        ("operation=set_ttl", 1),
        ("outcome=denied", 1),
        ("person=operator-1", 2),
        ("person=x", 0),
        ("server=test", 2),
    ):
        assert len(rows(body(admin_client.get(f"/audit/?{wanted}")))) == many
    for number in range(PAGE):
        write("set_ttl", number=number)
    assert re.search(
        r'href="\?operation=set_ttl&amp;before=\d+"', body(admin_client.get("/audit/?operation=set_ttl"))
    )


@pytest.mark.parametrize(
    "wrong", ["outcome=maybe", "before=x", "before=-1", "operation=nonsense", "before=99999999999999999999"]
)
def test_a_filter_nobody_offers_is_400(admin_client, wrong):
    answer = admin_client.get(f"/audit/?{wrong}")
    assert answer.status_code == 400 and 'role="alert"' in body(answer)


def test_an_empty_audit_says_so(admin_client):
    assert "Nothing has been recorded yet" in body(admin_client.get("/audit/"))
    assert "No entry is like that" in body(admin_client.get("/audit/?person=ghost"))


@pytest.mark.parametrize("who", ["viewer_client", "operator_client", "nobody_client"])
def test_only_admins_read_the_audit(request, who):
    assert request.getfixturevalue(who).get("/audit/").status_code == 403


def test_verify_audit_says_that_all_is_whole(write):
    write()
    write()
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert out.getvalue() == "2 entries. The chain is whole.\n"


def test_verify_audit_ends_with_1_at_the_first_broken_entry(write):
    for _ in range(3):
        write()
    broken = AuditEntry.objects.order_by("id")[1].pk
    tamper("UPDATE keyspace_auditentry SET person = 'eve' WHERE id = %s", broken)
    told = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", stderr=told)
    assert ended.value.code == 1 and f"entry {broken}" in told.getvalue()
