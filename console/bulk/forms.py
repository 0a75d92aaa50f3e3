"""What is chosen, and what is to be done to it."""

import re
from typing import Any

from django import forms
from django.http import HttpRequest

from keyspace.bulk.choice import Choice
from keyspace.bulk.copying import EXISTING
from keyspace.bulk.services import DO, RATES, Order
from keyspace.encoding import from_key_id, from_text, key_id
from keyspace.errors import BadInput
from keyspace.keys import MAX_PATTERN, TTL_FILTERS, TYPE_NAMES, Filter
from keyspace.ttl import CONDITIONS, parse_duration

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """`1500`, `64 KB`, `1.5 MB`, `1 MiB`: bytes. Raises BadInput."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or len(text) > 32:
        raise BadInput("This is not a size.", "Write it like 1500, 64 KB or 1.5 MB.")
    number, unit, binary = found.groups()
    return round(float(number) * (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " "))


class _Worded(forms.CharField):
    """A text that `parse` reads; its Problem is the field's error. Empty: 0. `needed`: by what it stands for, so not called optional."""

    def __init__(self, parse: Any, *, needed: bool = False, **more: Any) -> None:
        super().__init__(required=False, max_length=64, **more)
        self._parse, self.may_be_empty = parse, needed

    def clean(self, value: Any) -> int:
        text = super().clean(value)
        try:
            return self._parse(text) if text else 0
        except BadInput as problem:
            raise forms.ValidationError(str(problem)) from None


class ChoiceForm(forms.Form):
    """`names` and `folders` are ids of what was selected, with commas between; then the pattern does not count."""

    match = forms.CharField(
        label="Pattern", required=False, max_length=MAX_PATTERN, strip=False,
        help_text="A glob such as session:*; all keys are * typed out.",
    )  # fmt: skip
    type = forms.ChoiceField(
        required=False, choices=[("", "any type"), *((name, name) for name in TYPE_NAMES)]
    )
    ttl = forms.ChoiceField(label="TTL", required=False, choices=list(TTL_FILTERS.items()))
    idle = _Worded(parse_duration, label="Idle for at least", help_text="Like 30m or 7d; empty for any.")
    memory = _Worded(parse_size, label="Memory over", help_text="Like 64 KB or 1 MB; empty for any.")
    folder = forms.CharField(required=False, max_length=4 * MAX_PATTERN, widget=forms.HiddenInput)
    separator = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    names = forms.CharField(required=False, widget=forms.HiddenInput)
    folders = forms.CharField(required=False, widget=forms.HiddenInput)

    @property
    def selected_keys(self) -> int:
        return len(_ids(self["names"].value()))

    @property
    def selected_folders(self) -> int:
        return len(_ids(self["folders"].value()))

    def choice(self) -> Choice:
        """Raises BadInput for ids that no page of ours has written."""
        given = self.cleaned_data
        chosen, folders = (
            tuple(from_key_id(part) for part in _ids(given[name])) for name in ("names", "folders")
        )
        folder = from_key_id(given["folder"]) if given["folder"] else None
        filter = Filter(
            from_text(given["match"]),
            given["type"],
            given["ttl"],
            folder,
            from_text(given["separator"] or ":"),
        )
        return Choice(filter, chosen or None, given["idle"] // 1000, given["memory"], folders)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            try:
                self.choice().check()
            except BadInput as problem:
                self.add_error(None if given["names"] or given["folders"] else "match", str(problem))
        return given


class CopyForm(ChoiceForm):
    """Which keys, and where to: `to_server` is one whose keys the person may change in bulk."""

    to_server = forms.ChoiceField(label="Server")
    to_db = forms.IntegerField(label="db", min_value=0, max_value=999_999, initial=0)
    existing = forms.ChoiceField(
        label="Keys that are there already", choices=list(EXISTING.items()), initial="skip"
    )

    def __init__(self, *args: Any, servers: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["to_server"].choices = [(name, name) for name in servers]  # type: ignore[attr-defined]


def once_of(request: HttpRequest) -> str | None:
    """What makes sending a form twice the same as once, where the form has it."""
    given = request.POST.get("once", "")
    return f"{request.user.pk}-{given}" if given.isalnum() and len(given) <= 40 else None


def _ids(text: Any) -> list[str]:
    return [part for part in str(text or "").split(",") if part]


def initial_of(choice: Choice) -> dict[str, Any]:
    """The form that leads to `choice` again."""
    from keyspace.encoding import to_text

    filter = choice.filter
    return {
        "match": to_text(filter.match), "type": filter.type, "ttl": filter.ttl, "separator": to_text(filter.separator),
        "idle": f"{choice.idle}s" if choice.idle else "", "memory": str(choice.memory or ""),
        "folder": "" if filter.folder is None else key_id(filter.folder),
        "names": ",".join(map(key_id, choice.names or ())), "folders": ",".join(map(key_id, choice.folders)),
    }  # fmt: skip


class SpeedForm(forms.Form):
    """How fast, and what has to be typed."""

    rate = forms.TypedChoiceField(label="Speed", coerce=int, choices=list(RATES.items()), initial=10_000)
    number = forms.CharField(required=False, max_length=32)
    name = forms.CharField(required=False, max_length=64)


class OrderForm(SpeedForm):
    """What to do to the keys of a dry run; the template shows the fields that `do` needs."""

    do = forms.ChoiceField(choices=list(DO.items()), widget=forms.HiddenInput)
    ttl = _Worded(parse_duration, needed=True, label="Duration", help_text="Like 90s, 2h30m or 7d.")
    jitter = _Worded(
        parse_duration, label="Jitter",
        help_text="Up to this much is added, other for each key, so that they do not all end at once.",
    )  # fmt: skip
    condition = forms.ChoiceField(
        required=False,
        choices=[(name, f"{name}: {words}" if name else words) for name, words in CONDITIONS.items()],
    )
    trash = forms.BooleanField(required=False, initial=True, label="Keep them in the trash")

    def order(self) -> Order:
        given = self.cleaned_data
        return Order(
            given["do"], ttl=given["ttl"], jitter=given["jitter"], condition=given["condition"] if given["do"] == "set" else "",
            trash=given["trash"], rate=given["rate"],
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            try:
                self.order().check()
            except BadInput as problem:
                self.add_error("ttl" if given["do"] in ("set", "extend") else None, str(problem))
        return given
