"""What an address of the audit page may ask for."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import QueryDict
from django.utils import timezone

from keyspace.audit_entries import Choices, Filter
from keyspace.encoding import MAX_NAME_TEXT
from keyspace.models import AuditEntry

WITHIN = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
BORDERS = ("before", "after")


class FilterForm(forms.Form):
    """`since` and `until` are local times, `offset` minutes west of UTC as the browser says it (without JavaScript: UTC)."""

    person = forms.CharField(required=False, max_length=255)
    server = forms.CharField(required=False, max_length=64)
    operation = forms.ChoiceField(required=False)
    outcome = forms.ChoiceField(required=False, choices=[("", "Any outcome"), *AuditEntry.Outcome.choices])
    key = forms.CharField(required=False, max_length=MAX_NAME_TEXT, strip=False)
    within = forms.ChoiceField(required=False, choices=[(name, name) for name in WITHIN])
    since = forms.CharField(required=False, max_length=40, label="From")
    until = forms.CharField(required=False, max_length=40, label="To")
    offset = forms.IntegerField(required=False, min_value=-1440, max_value=1440)
    before = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    after = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1)

    def __init__(self, data: QueryDict, choices: Choices) -> None:
        super().__init__(data)
        operations = [("", "Any operation"), *((name, name) for name in choices.operations)]
        self.fields["operation"].choices = operations  # type: ignore[attr-defined]

    def clean_since(self) -> str:
        return self._checked("since")

    def clean_until(self) -> str:
        return self._checked("until")

    def _checked(self, name: str) -> str:
        text: str = self.cleaned_data[name]
        try:
            if text:
                datetime.fromisoformat(text)
        except ValueError:
            raise forms.ValidationError("Write it like 2026-12-24 18:00.") from None
        return text

    def wanted(self) -> Filter:
        data = self.cleaned_data
        exact = {name: data[name] for name in ("person", "server", "operation", "outcome", "key")}
        if data["within"] and not self._between:
            return Filter(**exact, since=timezone.now() - WITHIN[data["within"]])
        return Filter(**exact, since=self._moment("since"), until=self._moment("until"))

    @property
    def _between(self) -> bool:
        """Moments that were typed go before a choice of how far back."""
        return bool(self.cleaned_data["since"] or self.cleaned_data["until"])

    def _moment(self, name: str) -> datetime | None:
        text = self.cleaned_data[name]
        if not text:
            return None
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
        return moment.replace(tzinfo=UTC) + timedelta(minutes=self.cleaned_data["offset"] or 0)

    @property
    def how_far(self) -> str | None:
        """The choice of how far back that holds, "" for any time; None between moments that were typed."""
        return None if self._between else self.cleaned_data["within"]

    def query(self, **changed: Any) -> str:
        """The address of this search with some of it changed (None: without it); "" for the search for everything."""
        kept = {name: value for name, value in self.cleaned_data.items() if value and name not in BORDERS}
        kept.pop("within" if self._between else "offset", None)
        asked = {name: value for name, value in (kept | changed).items() if value not in (None, "")}
        return f"?{urlencode(asked)}" if asked else ""

    @property
    def narrowed(self) -> bool:
        return bool(self.query())
