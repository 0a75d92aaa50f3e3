"""Forms for people, groups and grants; the choices are those of the moment."""

from typing import Any

from django import forms

from keyspace.access import ROLES
from keyspace.grants import Allowance, Bounds
from keyspace.people import People

ALL = "*"  # no server can be called that
_NAME = {"class": "mono", "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


class PersonForm(forms.Form):
    """A new person."""

    username = forms.CharField(
        label="User name",
        max_length=150,
        widget=forms.TextInput(attrs=_NAME),
        help_text="What they sign in with. The password is made for them.",
    )
    groups = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, data: Any, people: People, **initial: Any) -> None:
        super().__init__(data, initial=initial)
        self.fields["groups"].choices = [(name, name) for name in people.groups]  # type: ignore[attr-defined]


class ChangePersonForm(PersonForm):
    """Whether somebody may sign in, and their groups."""

    active = forms.BooleanField(required=False, label="May sign in")
    username = None  # type: ignore[assignment]
    field_order = ("active", "groups")


class GroupForm(forms.Form):
    """A new group; without `group` the members of one that exists."""

    group = forms.RegexField(
        r"^[\w .@+-]+$", max_length=150, label="Name", widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"invalid": "Letters, digits, spaces and . @ + - _."},
    )  # fmt: skip
    members = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, data: Any, people: People, *, named: bool = True, **initial: Any) -> None:
        super().__init__(data, initial=initial)
        self.fields["members"].choices = [(person.name, person.name) for person in people.people]  # type: ignore[attr-defined]
        if not named:
            del self.fields["group"]


def _patterns(label: str, help_text: str) -> forms.CharField:
    area = forms.Textarea(attrs={"rows": 3, "class": "mono", "spellcheck": "false", "autocapitalize": "none"})
    return forms.CharField(required=False, max_length=60_000, label=label, widget=area, help_text=help_text)


class GrantForm(forms.Form):
    """Who, where, in which role, and how far; one pattern a line."""

    to = forms.ChoiceField(label="For")
    server = forms.ChoiceField()
    role = forms.ChoiceField(
        widget=forms.RadioSelect, choices=[(role, role) for role in ROLES], initial="viewer"
    )
    patterns = _patterns("Only these keys", "Glob patterns such as session:*, one a line. Empty: all keys.")
    channels = _patterns("Only these channels", "Glob patterns, one a line. Empty: all channels.")
    masks = _patterns(
        "Values hidden until revealed",
        "Keys that match show their length in place of their value; revealing is audited.",
    )

    def __init__(self, data: Any, people: People, *, grant: Allowance | None = None, to: str = "") -> None:
        super().__init__(data, initial={"to": to} if grant is None else _initial(grant))
        persons = [(f"person:{person.name}", person.name) for person in people.people]
        groups = [(f"group:{name}", name) for name in people.groups]
        self.fields["to"].choices = [("People", persons), ("Groups", groups)]  # type: ignore[attr-defined]
        self.fields["server"].choices = [(ALL, "all servers"), *((name, name) for name in people.servers)]  # type: ignore[attr-defined]
        if grant is not None:
            del self.fields["to"]

    def holder(self) -> dict[str, str]:
        """`person` or `group`, as the service takes them."""
        kind, _, name = self.cleaned_data["to"].partition(":")
        return {kind: name}

    def bounds(self) -> Bounds:
        lists = (tuple(self.cleaned_data[name].splitlines()) for name in ("patterns", "channels", "masks"))
        server = self.cleaned_data["server"]
        return Bounds(None if server == ALL else server, self.cleaned_data["role"], *lists)


def _initial(grant: Allowance) -> dict[str, str]:
    bounds = grant.bounds
    lists = {name: "\n".join(getattr(bounds, name)) for name in ("patterns", "channels", "masks")}
    return {"server": bounds.server or ALL, "role": bounds.role, **lists}
