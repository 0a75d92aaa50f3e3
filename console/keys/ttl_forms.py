"""The form of the TTL dialog."""

import secrets
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core import signing

from keyspace.errors import BadInput
from keyspace.ttl import CONDITIONS, Expiry, parse_duration

WAYS = (("in", "from now"), ("at", "at a time"), ("extend", "extend by"), ("shorten", "shorten by"))


class PersistForm(forms.Form):
    """`seen` is a signed Expiry: what the person looked at when they opened the dialog; `overwrite` sets it aside. `once`, signed with it,
    is claimed by the first submission."""

    once = ""
    seen = forms.CharField(widget=forms.HiddenInput)
    overwrite = forms.BooleanField(required=False)

    def clean_seen(self) -> Expiry:
        try:
            *expiry, self.once = signing.loads(self.cleaned_data["seen"], salt="ttl")
            return Expiry(*expiry)
        except (signing.BadSignature, TypeError, ValueError):
            raise forms.ValidationError("This form is not one of ours: open the dialog again.") from None

    @property
    def expected(self) -> Expiry | None:
        """What the key must still be like; None where the person said to overwrite."""
        return None if self.cleaned_data["overwrite"] else self.cleaned_data["seen"]


class TtlForm(PersistForm):
    """When the key shall end."""

    way = forms.ChoiceField(choices=WAYS, widget=forms.RadioSelect, initial="in")
    duration = forms.CharField(required=False, max_length=64, help_text="90s, 15m, 2h30m, 7d, 250ms")
    at = forms.CharField(required=False, max_length=40, help_text="Your local time")
    offset = forms.IntegerField(required=False, min_value=-1440, max_value=1440, widget=forms.HiddenInput)
    condition = forms.ChoiceField(choices=list(CONDITIONS.items()), required=False)
    may_delete = forms.BooleanField(required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        way = data.get("way")
        try:
            if way == "at":
                data["target"] = {"expires_at": self._moment(data)}
            elif way in {"in", "extend", "shorten"}:
                ms = parse_duration(data.get("duration", ""))
                data["target"] = {"in": {"ttl": ms}, "extend": {"extend": ms}, "shorten": {"extend": -ms}}[
                    way
                ]
        except BadInput as problem:
            self.add_error("at" if way == "at" else "duration", str(problem))
        return data

    def _moment(self, data: dict[str, Any]) -> int:
        """Unix ms of the local time typed, `offset` minutes west of UTC as the browser says it."""
        try:
            moment = datetime.fromisoformat(data.get("at") or "")
        except ValueError:
            raise BadInput("This is not a date and time.", "Write it like 2026-12-24 18:00.") from None
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1000)
        return round(moment.replace(tzinfo=UTC).timestamp() * 1000) + (data.get("offset") or 0) * 60_000


def sign_seen(expiry: Expiry) -> str:
    return signing.dumps([expiry.type, expiry.expires_at, expiry.ttl, secrets.token_urlsafe(18)], salt="ttl")
