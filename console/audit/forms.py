"""What an address of the audit page may ask for."""

from django import forms
from django.http import QueryDict

from keyspace.audit_entries import Filter
from keyspace.models import AuditEntry


class FilterForm(forms.Form):
    person = forms.CharField(required=False, max_length=255)
    server = forms.CharField(required=False, max_length=64)
    operation = forms.ChoiceField(required=False)
    outcome = forms.ChoiceField(required=False, choices=[("", "any outcome"), *AuditEntry.Outcome.choices])
    before = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    after = forms.IntegerField(required=False, min_value=0, max_value=2**63 - 1)

    def __init__(self, data: QueryDict, operations: list[str]) -> None:
        super().__init__(data)
        self.fields["operation"].choices = [("", "any operation"), *((name, name) for name in operations)]  # type: ignore[attr-defined]

    def wanted(self) -> Filter:
        return Filter(*(self.cleaned_data[name] for name in ("person", "server", "operation", "outcome")))
