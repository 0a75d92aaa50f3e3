"""The forms of restoring and of schedules."""

from typing import Any
from zoneinfo import available_timezones

from django import forms

from keyspace.backups.restore_report import EXISTING, METHODS, TTLS
from keyspace.backups.restore_services import RestoreOrder
from keyspace.encoding import from_key_id, from_text
from keyspace.errors import BadInput
from keyspace.models import Schedule
from keyspace.types import TYPES


class RestoreForm(forms.Form):
    """Which keys, where to, and what becomes of what is there."""

    target = forms.ChoiceField(label="To the server")
    match = forms.CharField(
        label="Keys that match", initial="*", max_length=4096, widget=forms.TextInput(attrs={"class": "mono"})
    )
    type = forms.ChoiceField(label="Type", required=False)
    db = forms.IntegerField(label="From db", min_value=0, required=False, help_text="Empty: all.")
    to_db = forms.IntegerField(label="Into db", min_value=0, required=False, help_text="Empty: the same.")
    existing = forms.ChoiceField(label="Keys that exist", choices=list(EXISTING.items()), initial="skip")
    ttl = forms.ChoiceField(label="Keys with a TTL", choices=list(TTLS.items()), initial="original")
    expired = forms.BooleanField(label="Also what has expired since", required=False)
    empty = forms.BooleanField(
        label="Empty the server first",
        required=False,
        help_text="A safety backup is taken and proved before anything goes.",
    )
    method = forms.ChoiceField(label="Filled how", choices=list(METHODS.items()), initial="keys")
    reach = forms.CharField(
        label="The console's address for it",
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"class": "mono", "placeholder": "as we reach it"}),
        help_text="Where the target reaches this console: an address, or address:port.",
    )
    beyond_trash = forms.BooleanField(
        label="Overwrite also what does not fit the trash",
        required=False,
        help_text="Without it such keys are left alone. The dry run says how many there are.",
    )
    names = forms.CharField(required=False, widget=forms.HiddenInput)
    folders = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any, servers: list[str], **more: Any) -> None:
        if data is not None:
            data = data.copy()
            data.setdefault("method", "keys")
        super().__init__(data, **more)
        self.fields["target"].choices = [(name, name) for name in servers]  # type: ignore[attr-defined]
        types = [("", "any"), *((name, name) for name in TYPES if name != "unsupported")]
        self.fields["type"].choices = types  # type: ignore[attr-defined]

    def picked(self, field: str) -> tuple[bytes, ...]:
        """What was selected while browsing, of "names" or "folders". Raises BadInput."""
        return tuple(from_key_id(each) for each in str(self[field].value() or "").replace(",", " ").split())

    def clean_names(self) -> tuple[bytes, ...] | None:
        return self._clean_picked("names") or None

    def clean_folders(self) -> tuple[bytes, ...]:
        return self._clean_picked("folders")

    def _clean_picked(self, field: str) -> tuple[bytes, ...]:
        try:
            return self.picked(field)
        except BadInput as error:
            raise forms.ValidationError(error.sentence) from None

    def order(self, *, dry: bool) -> RestoreOrder:
        data = self.cleaned_data
        return RestoreOrder(
            from_text(data["match"]), data["type"], data["names"], data["db"], data["to_db"], data["existing"], data["ttl"],
            data["expired"], dry, data["empty"], data["beyond_trash"],
            data["method"] if data["empty"] else "keys", data["reach"].strip() if data["empty"] else "",
            data["folders"],
        )  # fmt: skip


class ScheduleForm(forms.ModelForm):
    """When, what and how long it is kept."""

    class Meta:
        model = Schedule
        fields = (
            "name", "kind", "every", "hours", "at", "weekday", "time_zone", "enabled", "keep_last", "keep_daily", "keep_weekly",
            "keep_monthly", "max_age_hours", "webhook",
        )  # fmt: skip
        widgets = {"at": forms.TimeInput(attrs={"type": "time"}, format="%H:%M")}
        labels = {
            "every": "How often", "hours": "Hours between", "at": "At", "weekday": "On", "time_zone": "Time zone", "keep_last": "Newest",
            "keep_daily": "Daily", "keep_weekly": "Weekly", "keep_monthly": "Monthly", "max_age_hours": "Alert after (hours)",
        }  # fmt: skip

    kind = forms.ChoiceField(
        label="Kind", choices=[("auto", "what works best here"), ("pull", "Pull"), ("export", "Export"), ("readable", "Readable export"),
                               ("snapshot", "Snapshot on the server")],
    )  # fmt: skip
    webhook = forms.URLField(
        label="Webhook",
        required=False,
        assume_scheme="https",
        help_text="Gets a POST of JSON when a backup fails or is too old.",
    )
    weekday = forms.TypedChoiceField(
        label="On", coerce=int, initial=6,
        choices=list(enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"))),
    )  # fmt: skip

    def clean_time_zone(self) -> str:
        zone: str = self.cleaned_data["time_zone"]
        if zone not in available_timezones():
            raise forms.ValidationError("There is no such time zone; write it like Europe/Berlin.")
        return zone

    def clean_hours(self) -> int:
        return max(1, min(8760, self.cleaned_data["hours"]))
