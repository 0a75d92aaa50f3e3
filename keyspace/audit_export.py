"""What a search of the audit found, as a file: CSV for a spreadsheet, JSON Lines with the hashes, so that others can check the chain."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import QuerySet

from keyspace import audit
from keyspace.access import Permission, performs
from keyspace.audit_entries import AuditReader, Filter, find_entries, matches, pattern_of
from keyspace.csv_of_key import cell
from keyspace.encoding import to_text
from keyspace.errors import BadInput
from keyspace.models import AuditEntry

STEP = 1000
COLUMNS = (
    "id",
    "at",
    "person",
    "address",
    "server",
    "db",
    "operation",
    "key",
    "outcome",
    "detail",
    "request_id",
)


@performs(Permission.READ_AUDIT, audited=True)
def export_entries(reader: AuditReader, *, wanted: Filter, form: str) -> Iterator[bytes]:
    """Pieces of the file, oldest entries first, up to the newest there is now. Raises BadInput for a form not in FORMS."""
    facts = {name: str(value) for name, value in vars(wanted).items() if value}
    audit.tell(form=form, searched=facts or "everything", entries=0)
    rows = find_entries(reader, wanted)
    newest = AuditEntry.objects.order_by("-id").values_list("pk", flat=True).first() or 0
    heading, line_of = _form(form)
    sent, held = 0, [heading]
    for entry in _each(rows.filter(id__lte=newest), pattern_of(wanted)):
        held.append(line_of(entry))
        sent += 1
        if len(held) == STEP:
            audit.tell(entries=sent)
            yield "".join(held).encode()
            held.clear()
    audit.tell(entries=sent)
    yield "".join(held).encode()


def _form(form: str) -> tuple[str, Callable[[AuditEntry], str]]:
    if form not in FORMS:
        raise BadInput("There is no such form of export.", "Choose CSV or JSON Lines.")
    return FORMS[form]


def _each(rows: QuerySet[AuditEntry], pattern: bytes | None) -> Iterator[AuditEntry]:
    """By steps of ids: a cursor held open for as long as a browser takes would hold up the database."""
    step = list(rows.order_by("id")[:STEP])
    while step:
        for entry in step:
            if pattern is None or matches(pattern, entry.name):
                yield entry
        step = list(rows.filter(id__gt=step[-1].pk).order_by("id")[:STEP]) if len(step) == STEP else []


def _csv_line(entry: AuditEntry) -> str:
    facts = _facts(entry)
    facts["detail"] = json.dumps(entry.detail, ensure_ascii=False)
    return _csv(["" if facts[name] is None else cell(facts[name]) for name in COLUMNS])


def _csv(parts: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(parts)
    return line.getvalue()


def _json_line(entry: AuditEntry) -> str:
    facts = _facts(entry) | {"previous": entry.previous, "hash": entry.hash}
    facts["key_hex"] = None if entry.name is None else entry.name.hex()
    return json.dumps(facts, ensure_ascii=False) + "\n"


def _facts(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.pk, "at": entry.at.isoformat(), "person": entry.person, "address": entry.address, "server": entry.server,
        "db": entry.db, "operation": entry.operation, "key": None if entry.name is None else to_text(entry.name),
        "outcome": entry.outcome, "detail": entry.detail, "request_id": entry.request_id,
    }  # fmt: skip


FORMS: dict[str, tuple[str, Callable[[AuditEntry], str]]] = {
    "csv": (_csv(list(COLUMNS)), _csv_line),
    "jsonl": ("", _json_line),
}
"""By ending: what stands before the first entry, and the line of one."""
