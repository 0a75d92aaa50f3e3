"""Searching the audit and taking it along as a file."""

import csv
import io
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from keyspace import audit, audit_entries
from keyspace.access import Actor
from keyspace.audit_entries import Filter, audit_reader, list_choices, list_entries, read_entry
from keyspace.audit_export import export_entries
from keyspace.encoding import to_text
from keyspace.errors import BadInput, Denied, NotFound
from keyspace.globs import escape_glob
from keyspace.models import AuditEntry
from keyspace.servers import open_connection

ODD = (b"k\xff*", b"", b"\x00\n", b"x" * 5000, "größe".encode(), b"cart[1]", b"a\\b")


@pytest.fixture
def reader(connection_as):
    return audit_reader(connection_as("admin").actor)


@pytest.fixture
def write(connection_as):
    subject = connection_as("operator")

    def write(key=b"k", operation="set_ttl", *, subject=subject, outcome="done", **detail):
        audit.record(subject, operation, key=key, outcome=outcome, detail=detail)
        return AuditEntry.objects.first().pk

    return write


def found(reader, **wanted):
    return [entry.name for entry in list_entries(reader, wanted=Filter(**wanted)).entries]


@pytest.mark.parametrize("key", ODD)
def test_any_key_is_found_by_its_name_as_it_is_shown(reader, write, key):
    for other in ODD:
        write(other)
    wanted = to_text(escape_glob(key))
    assert found(reader, key=wanted) == ([key] if wanted else list(reversed(ODD)))


@pytest.mark.parametrize(
    "pattern, keys",
    [("session:*", [b"session:2", b"session:\xff"]), (r"session:\xff*", [b"session:\xff"]), ("*:2", [b"session:2", b"cache:2"]),
     ("sess?on:[0-9]", [b"session:2"]), ("nothing*", []), ("*", [b"session:2", b"cache:2", b"session:\xff", b"\xff\xff"]),
     (r"\xff*", [b"\xff\xff"])],
)  # fmt: skip
@pytest.mark.parametrize("few", [0, 2000])
def test_a_pattern_finds_what_redis_would(reader, write, monkeypatch, pattern, keys, few):
    """By the index of keys' beginnings where few have it, else entry by entry."""
    monkeypatch.setattr(audit_entries, "FEW", few)
    monkeypatch.setattr(audit_entries, "STEPS", (2, 4))
    for key in (b"session:2", b"cache:2", b"session:\xff", b"\xff\xff", None):
        write(key)
    assert sorted(found(reader, key=pattern)) == sorted(keys)


def test_a_name_with_the_signs_of_a_pattern_is_found_as_it_is(reader, write):
    write(b"cart[1]")
    write(b"cart1")
    assert found(reader, key="cart[1]") == [b"cart1", b"cart[1]"]


def test_patterns_are_paged_both_ways(reader, write):
    for number in range(7):
        write(b"k:%d" % number)
        write(b"other:%d" % number)
    wanted = Filter(key="k:*")
    first = list_entries(reader, wanted=wanted, count=3)
    second = list_entries(reader, wanted=wanted, count=3, before=first.older)
    third = list_entries(reader, wanted=wanted, count=3, before=second.older)
    assert [entry.name for page in (first, second, third) for entry in page.entries] == [
        b"k:%d" % number for number in range(6, -1, -1)
    ]
    assert (first.newer, third.older) == (None, None)
    again = list_entries(reader, wanted=wanted, count=3, after=second.newer)
    assert [entry.pk for entry in again.entries] == [entry.pk for entry in first.entries]
    assert again.newer is None


def test_a_search_that_takes_too_long_says_where_it_goes_on(reader, write, monkeypatch):
    monkeypatch.setattr(audit_entries, "SEARCH_SECONDS", -1)
    wanted_id = write(b"wanted")
    for _ in range(600):
        write(b"other")
    page, rounds = list_entries(reader, wanted=Filter(key="*anted")), 1
    while page.unfinished:
        assert page.entries == [] and page.older is not None
        page, rounds = list_entries(reader, wanted=Filter(key="*anted"), before=page.older), rounds + 1
    assert [entry.pk for entry in page.entries] == [wanted_id] and rounds == 3


def test_times_are_from_and_before(reader, connection_as, monkeypatch):
    now, subject = timezone.now(), connection_as("operator")
    for hours in (50, 30, 20, 2):
        with monkeypatch.context() as clock:
            clock.setattr(audit.timezone, "now", lambda hours=hours: now - timedelta(hours=hours))
            audit.record(subject, "set_ttl", key=b"%d" % hours, outcome="done", detail={})
    at = {hours: now - timedelta(hours=hours) for hours in (50, 30, 20, 2)}
    assert found(reader, since=at[20]) == [b"2", b"20"]
    assert found(reader, until=at[20]) == [b"30", b"50"]
    assert found(reader, since=at[30], until=at[2]) == [b"20", b"30"]
    assert found(reader, since=now + timedelta(days=2)) == []
    assert found(reader, since=at[30], key="3*") == [b"30"]


def test_a_clock_that_was_set_back_hides_nothing(reader, connection_as, monkeypatch):
    now, subject = timezone.now(), connection_as("operator")
    for minutes in (30, 90, 10):
        with monkeypatch.context() as clock:
            clock.setattr(audit.timezone, "now", lambda minutes=minutes: now - timedelta(minutes=minutes))
            audit.record(subject, "set_ttl", key=b"%d" % minutes, outcome="done", detail={})
    assert found(reader, since=now - timedelta(minutes=60)) == [b"10", b"30"]
    assert found(reader, until=now - timedelta(minutes=20)) == [b"90", b"30"]


def test_everything_is_combined(reader, write):
    write(b"k:1", "delete_keys", outcome="denied")
    write(b"k:2", "delete_keys")
    write(b"k:3", "set_ttl", outcome="denied")
    person = AuditEntry.objects.first().person
    whole = {
        "person": person,
        "server": "test",
        "operation": "delete_keys",
        "outcome": "denied",
        "key": "k:*",
    }
    assert found(reader, **whole) == [b"k:1"]
    for name in whole:
        assert found(reader, **(whole | {name: "failed" if name == "outcome" else "nothing"})) == []
    assert found(reader, outcome="done") == [b"k:2"]
    with pytest.raises(BadInput):
        found(reader, outcome="maybe")


def test_choices_are_what_there_are_entries_of(reader, write):
    for operation in ("set_ttl", "delete_keys", "set_ttl"):
        write(operation=operation)
    choices = list_choices(reader)
    person = AuditEntry.objects.first().person
    assert (choices.operations, choices.people, choices.servers) == (
        ["delete_keys", "set_ttl"],
        [person],
        ["test"],
    )


@pytest.fixture
def two_servers(make_server, make_person, server_row, server, write):
    """An admin of `mine` alone; an entry on each server, and one of the console itself."""
    mine = make_server(server, "mine")
    person = make_person("ann", "admin", server=mine)
    actor = Actor(person, "ann")
    ids = write(b"theirs"), write(b"mine", subject=open_connection(actor, "mine"))
    return audit_reader(actor), *ids


def test_an_admin_of_one_server_reads_what_was_done_there(two_servers):
    reader, _, _ = two_servers
    assert found(reader) == [b"mine"] and found(reader, server="test") == []
    assert list_choices(reader).servers == ["mine"] and list_choices(reader).people == []


def test_an_entry_of_another_server_is_not_found(two_servers):
    reader, theirs, mine = two_servers
    assert read_entry(reader, entry_id=mine).name == b"mine"
    with pytest.raises(NotFound):
        read_entry(reader, entry_id=theirs)


def test_an_export_holds_no_more_than_the_page(two_servers):
    reader, _, _ = two_servers
    lines = b"".join(export_entries(reader, wanted=Filter(), form="jsonl")).splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["mine"]


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_read_nothing(connection_as, role):
    reader = audit_reader(connection_as(role).actor)
    for act in (
        lambda: list_entries(reader, wanted=Filter()), lambda: read_entry(reader, entry_id=1), lambda: list_choices(reader),
        lambda: export_entries(reader, wanted=Filter(), form="csv"),
    ):  # fmt: skip
        with pytest.raises(Denied):
            act()


def test_an_admin_of_some_keys_is_none_of_the_server(make_person, server_row):
    person = make_person("ann", "admin", server=server_row, patterns=["mine:*"])
    with pytest.raises(Denied):
        list_entries(audit_reader(Actor(person, "ann")), wanted=Filter())


def test_csv_holds_what_was_found_oldest_first(reader, write):
    write(b"k\xff:1", "set_ttl", ttl_before=1000, ttl_after=None)
    write(b"other")
    write(b"k\xff:2", "delete_keys", outcome="denied")
    file = b"".join(export_entries(reader, wanted=Filter(key=r"k\xff*"), form="csv")).decode()
    heading, *rows = csv.reader(io.StringIO(file))
    assert heading[:4] == ["id", "at", "person", "address"]
    assert [(row[6], row[7], row[8]) for row in rows] == [
        ("set_ttl", r"k\xff:1", "done"),
        ("delete_keys", r"k\xff:2", "denied"),
    ]
    assert json.loads(rows[0][9]) == {"ttl_before": 1000, "ttl_after": None}


@pytest.mark.parametrize("key", [b"=1+1", b"+1x", b"-x", b"@cmd", b"\t=1", b'=HYPERLINK("x")'])
def test_no_cell_is_a_formula(reader, write, key):
    write(key, "=operation")
    file = b"".join(export_entries(reader, wanted=Filter(), form="csv")).decode()
    row = list(csv.reader(io.StringIO(file)))[1]
    assert not any(cell[:1] in "=+-@\t\r" for cell in row if cell)


def test_json_lines_hold_what_proves_the_chain(reader, write):
    for key in ODD:
        write(key, size=len(key))
    lines = [
        json.loads(line)
        for line in b"".join(export_entries(reader, wanted=Filter(), form="jsonl")).splitlines()
    ]
    assert [bytes.fromhex(line["key_hex"]) for line in lines] == list(ODD)
    assert all(later["previous"] == before["hash"] for before, later in zip(lines, lines[1:], strict=False))


def test_an_export_is_audited_with_what_it_held(reader, write):
    write(b"k:1")
    b"".join(export_entries(reader, wanted=Filter(key="k:*"), form="csv"))
    told = AuditEntry.objects.first()
    assert (told.operation, told.outcome) == ("export_entries", "done")
    assert told.detail == {"form": "csv", "searched": {"key": "k:*"}, "entries": 1}


def test_an_export_ends_with_what_there_was_at_its_beginning(reader, write, monkeypatch):
    monkeypatch.setattr("keyspace.audit_export.STEP", 2)
    for _ in range(5):
        write()
    pieces = export_entries(reader, wanted=Filter(), form="jsonl")
    first = next(pieces)
    write()
    assert len((first + b"".join(pieces)).splitlines()) == 5


def test_there_are_two_forms_of_export(reader):
    with pytest.raises(BadInput):
        list(export_entries(reader, wanted=Filter(), form="xml"))
