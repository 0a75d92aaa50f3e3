"""Ids of stream entries as a person types them: an id, its milliseconds alone, a date and time, or the ends ``-`` and ``+``."""

import re
from datetime import UTC, datetime
from typing import Any

from django import forms

_ID = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?\Z")
_WORD = "An id is milliseconds-number, like 1700000000000-0; a date and time, - and + will do as well."


class IdField(forms.CharField):
    """The id as XRANGE takes it; a date and time without a zone is UTC."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=64, required=False, **options)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if text in ("", "-", "+"):
            return text
        if found := _ID.match(text):
            if all(int(part) < 2**64 for part in found.groups() if part):
                return text
            raise forms.ValidationError(_WORD)
        return str(_milliseconds(text))


def _milliseconds(text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise forms.ValidationError(_WORD) from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0, round(when.timestamp() * 1000))


def id_time(entry_id: str) -> int | None:
    """The milliseconds since 1970 that an id begins with; None for one that is no time (before 2000, or after 2200)."""
    at = int(entry_id.partition("-")[0])
    return at if 946_684_800_000 <= at <= 7_258_118_400_000 else None
