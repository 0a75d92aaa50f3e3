"""What a person types to publish."""

import binascii
import json
import re
from typing import Any

from django import forms

from keyspace.encoding import from_text
from keyspace.pubsub.limits import limit

FORMATS = [("text", "Text"), ("json", "JSON"), ("hex", "Hex")]


class PublishForm(forms.Form):
    """`cleaned_data` has `channel` and `message` as bytes."""

    channel = forms.CharField(max_length=100_000, strip=False, error_messages={"required": "Which channel?"})
    format = forms.ChoiceField(choices=FORMATS, initial="text")
    payload = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    file = forms.FileField(required=False, allow_empty_file=True)
    shard = forms.BooleanField(required=False)

    def clean_channel(self) -> bytes:
        return from_text(self.cleaned_data["channel"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        try:
            data["message"] = self._message(data)
        except (ValueError, binascii.Error) as error:
            self.add_error("payload", str(error))
        return data

    @staticmethod
    def _message(data: dict[str, Any]) -> bytes:
        if data.get("file"):
            if data["file"].size > limit("PUBLISH_BYTES"):
                raise ValueError(
                    f"A message may be {limit('PUBLISH_BYTES')} bytes long; this file is {data['file'].size}."
                )
            return bytes(data["file"].read())
        text = data.get("payload", "").replace("\r\n", "\n")  # a form sends every line end as two
        if data.get("format") == "hex":
            digits = re.sub(r"\s", "", text)
            try:
                return bytes.fromhex(digits)
            except ValueError:
                raise ValueError("Hex is pairs of 0-9 and a-f.") from None
        if data.get("format") == "json":
            try:
                json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"This is not JSON: {error}") from None
        return text.encode("utf-8", "surrogateescape")
