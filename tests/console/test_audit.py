"""The Audit page, and the command that verifies the chain."""

import re
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from keyspace.audit import record
from keyspace.audit_chain import Broken
from keyspace.audit_check import note_broken
from keyspace.audit_entries import PAGE
from keyspace.encoding import key_id
from keyspace.models import AuditEntry, Job
from tests.people import sign_in
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


def test_a_search_by_pattern_and_time_is_kept_by_its_pages(admin_client, write):
    for number in range(PAGE + 1):
        write(key=b"session:\xff%d" % number)
    page = body(admin_client.get(r"/audit/?key=session:\xff*&within=hour"))
    assert len(rows(page)) == PAGE
    assert re.search(r'href="\?key=session%3A%5Cxff%2A&amp;within=hour&amp;before=\d+"', page)
    assert 'value="session:\\xff*"' in page


def test_moments_are_local_to_who_searches(admin_client, write):
    write()
    at = AuditEntry.objects.get().at
    here = (at - timedelta(minutes=30)).replace(tzinfo=None, microsecond=0)
    there = here + timedelta(hours=2)  # UTC+2
    for since, offset, many in ((here, "", 1), (there, "", 0), (there, "-120", 1)):
        answer = admin_client.get("/audit/", {"since": since.isoformat(), "offset": offset})
        assert len(rows(body(answer))) == many
    assert admin_client.get("/audit/?since=yesterday").status_code == 400


def test_an_entry_tells_everything_and_leads_back_to_the_search(admin_client, write):
    job = Job.objects.create(kind="run_bulk", title="t", person="p")
    write(
        "run_bulk",
        key=b"k\xff" + b"x" * 3000,
        job=str(job.pk),
        trash=str(uuid.uuid4()),
        ttl_before=1000,
        ttl_after=None,
    )
    entry = AuditEntry.objects.get()
    page = body(admin_client.get(f"/audit/{entry.pk}/?operation=run_bulk"))
    for word in (
        "run_bulk",
        "operator-1",
        "10.1.2.3",
        "request-1",
        "1 s → none",
        entry.hash,
        f"/jobs/{job.pk}/",
        "/audit/?operation=run_bulk",
    ):
        assert word in page
    assert "trash-2" not in page  # it is not in the trash any more


def test_an_entry_that_was_changed_says_so(admin_client, write):
    write()
    entry = AuditEntry.objects.get()
    tamper("UPDATE keyspace_auditentry SET person = 'eve' WHERE id = %s", entry.pk)
    assert "changed after it was written" in body(admin_client.get(f"/audit/{entry.pk}/"))


def test_an_entry_that_is_not_there_is_404(admin_client):
    assert admin_client.get("/audit/123456/").status_code == 404


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_what_was_found_is_taken_along(admin_client, write, form):
    write("set_ttl", key=b"\xff")
    write("delete_keys")
    answer = admin_client.get(f"/audit/export.{form}?operation=set_ttl")
    file = b"".join(answer.streaming_content).decode()
    assert "set_ttl" in file and "delete_keys" not in file
    assert f".{form}" in answer["Content-Disposition"]
    assert AuditEntry.objects.first().operation == "export_entries"


def test_an_export_that_makes_no_sense_is_refused(admin_client, write):
    assert admin_client.get("/audit/export.csv?outcome=maybe").status_code == 400


def test_verify_all_is_a_job_of_its_own(admin_client, monkeypatch):
    monkeypatch.setattr("keyspace.job_worker.enqueue", lambda job_id: None)
    first = admin_client.post("/audit/verify/", {"once": "a1"})
    again = admin_client.post("/audit/verify/", {"once": "a1"})
    assert first.status_code == 302 and first["Location"] == again["Location"]
    assert Job.objects.get().kind == "verify_audit"
    assert admin_client.get(first["Location"]).status_code == 200
    assert admin_client.get("/audit/verify/").status_code == 405


@pytest.mark.parametrize("who", ["viewer_client", "operator_client", "nobody_client"])
def test_others_have_no_entry_no_export_and_nothing_to_verify(request, write, who):
    write()
    client, number = request.getfixturevalue(who), AuditEntry.objects.first().pk
    for path in (f"/audit/{number}/", "/audit/export.csv"):
        assert client.get(path).status_code == 403
    assert client.post("/audit/verify/").status_code == 403


def test_an_admin_of_one_server_reads_that_server_alone(write, make_server, make_person, server):
    mine = make_server(server, "mine")
    client = sign_in(make_person("ann", "admin", server=mine))
    write()
    page = body(client.get("/audit/"))
    assert rows(page) == [] and "Verify all" not in page
    assert 'href="/audit/"' in body(client.get("/"))
    assert client.get(f"/audit/{AuditEntry.objects.first().pk}/").status_code == 404
    assert client.post("/audit/verify/").status_code == 403


def test_a_broken_chain_is_on_every_page_of_who_reads_the_audit(admin_client, operator_client):
    note_broken(Broken(7, "Entry 7 was changed after it was written."), "a test")
    assert "Entry 7 was changed" in body(admin_client.get("/"))
    assert "Entry 7 was changed" not in body(operator_client.get("/"))
