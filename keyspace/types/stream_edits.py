"""What can be changed of a stream: its entries. An entry itself never changes."""

import re
from typing import Any

import redis
from django import forms
from redis.client import Pipeline

from keyspace.encoding import from_text
from keyspace.errors import BadInput
from keyspace.types.editing import MAX_TEXT, Edit, Subject
from keyspace.types.group_edits import GROUP_EDITS

ID = re.compile(r"\d{1,20}(-\d{1,20})?\Z")
_BOUNDS = [("", "Keep all"), ("MAXLEN", "Keep so many entries"), ("MINID", "Keep entries from an id on")]


class PairsField(forms.CharField):
    """Fields of an entry, one a line as ``name=value`` with the escapes of `to_text`. Cleans to [name, value, name, ...]."""

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(
            attrs={"rows": 6, "class": "mono", "spellcheck": "false", "placeholder": "name=value"}
        )
        super().__init__(strip=False, max_length=MAX_TEXT, widget=widget, **options)

    def clean(self, value: Any) -> list[bytes]:
        text = super().clean(value)
        flat: list[bytes] = []
        for line in text.replace("\r\n", "\n").split("\n"):
            if not line:
                continue
            name, equals, held = line.partition("=")
            if not equals:
                raise forms.ValidationError(f"There is no = in the line {line[:60]!r}.")
            flat += [from_text(name), from_text(held)]
        if not flat:
            raise forms.ValidationError("An entry has at least one field.")
        return flat


class AddEntry(Edit):
    slug, label, icon, act, done, creates, guarded = (
        "stream-add",
        "Add entry",
        "plus",
        "Add",
        "Added to",
        True,
        False,
    )
    face = "entries"
    pairs = PairsField(
        label="Fields", help_text="One a line: name=value; \\n and \\xff stand for what cannot be typed."
    )
    id = forms.CharField(label="Id", initial="*", max_length=41, help_text="* lets the server choose it.")
    bound = forms.ChoiceField(label="Then trim", choices=_BOUNDS, required=False)
    threshold = forms.CharField(label="To", max_length=41, required=False)

    def clean_id(self) -> str:
        text: str = self.cleaned_data["id"].strip()
        if text != "*" and not ID.match(text.removesuffix("-*")):
            raise forms.ValidationError("An id is *, milliseconds-number, or milliseconds-*.")
        return text

    def clean(self) -> dict[str, Any]:
        return clean_bound(self, super().clean() or {}, required=False)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data = self.cleaned_data
        bound = [data["bound"], "=", data["threshold"]] if data["bound"] else []
        pipe.execute_command("XADD", name, *bound, data["id"], *data["pairs"])

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"id": answers[0].decode(), "fields": len(self.cleaned_data["pairs"]) // 2}


def clean_bound(form: forms.Form, data: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """The threshold is a number for MAXLEN, an id for MINID."""
    bound, threshold = data.get("bound"), data.get("threshold", "").strip()
    if bound == "MAXLEN" and not re.fullmatch(r"\d{1,18}", threshold):
        form.add_error("threshold", "Type how many entries to keep.")
    elif bound == "MINID" and not ID.match(threshold):
        form.add_error("threshold", "Type the id of the first entry to keep.")
    return data | {"threshold": threshold}


class DeleteEntry(Edit):
    slug, label, icon, act, done = "stream-delete", "Delete entry", "trash-2", "Delete", "Deleted an entry of"
    element, removes = True, True

    def told_element(self) -> str:
        return self.address

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        if not ID.match(self.address):
            raise BadInput("This is not the id of an entry.", "Open the key anew.")
        entries = pipe.execute_command("XRANGE", name, self.address, self.address, "COUNT", 1)
        return Subject(self.address.encode() if entries else None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XDEL", name, self.address)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"id": self.address, "deleted": answers[0]}


class TrimStream(Edit):
    slug, label, icon, act, done, removes = "stream-trim", "Trim", "scissors", "Trim", "Trimmed", True
    face = "entries"
    guarded = False
    bound = forms.ChoiceField(label="Keep", choices=_BOUNDS[1:])
    threshold = forms.CharField(label="To", max_length=41)

    def clean(self) -> dict[str, Any]:
        return clean_bound(self, super().clean() or {}, required=True)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XTRIM", name, self.cleaned_data["bound"], "=", self.cleaned_data["threshold"])

    def sentence(self, answers: list[Any]) -> str:
        return f"Trimmed {answers[0]} entries of"

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"trimmed": answers[0]}


STREAM_EDITS = (AddEntry, DeleteEntry, TrimStream, *GROUP_EDITS)
