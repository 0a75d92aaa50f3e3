"""What a dialog that changes a key carries along: the signed digest of what was seen, and the token by which it runs once."""

import secrets
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core import signing
from django.http import HttpRequest

from keyspace.decoders import Decoded, Limits, decode_value
from keyspace.encoding import from_text
from keyspace.errors import BadInput
from keyspace.ttl import parse_duration

_SALT = "edit"
SHOWN = Limits(output=1024 * 1024)
"""Characters of a value that an editor takes; a larger one is edited as a file."""
PLAIN = (("text", "Text"), ("json", "JSON"), ("hex", "Hex"))
"""The forms in which a new value is typed."""


@dataclass(frozen=True)
class Seen:
    """`digest` of what the dialog showed; `once` is claimed by the first of its submissions."""

    digest: str
    once: str


def sign_seen(request: HttpRequest, what: str, digest: str = "") -> str:
    """For the person's form about `what` (an act on a key): valid for nobody else, and for nothing else."""
    return signing.dumps([request.user.pk, what, digest, secrets.token_urlsafe(18)], salt=_SALT)


def read_seen(request: HttpRequest, what: str) -> Seen:
    """Raises BadInput for a form that this console did not make for this person and this act."""
    try:
        person, about, digest, token = signing.loads(
            request.POST.get("seen", ""), salt=_SALT, max_age=24 * 3600
        )
    except (signing.BadSignature, ValueError):
        raise BadInput(
            "This form is not one of ours, or a day old; nothing was done.", "Open the dialog again."
        ) from None
    if person != request.user.pk or about != what:
        raise BadInput("This form is not one of ours; nothing was done.", "Open the dialog again.")
    return Seen(digest, token)


@dataclass(frozen=True)
class Shown:
    """A value in the editor: `text` in the form `using`, `choices` of forms that give the same value back; `told`: why not another."""

    text: str
    using: str
    choices: list[tuple[str, str]]
    told: str


TOO_LONG = Shown("", "", [], "This value is too long for the editor.")
"""It has no form to be typed in; a file may take its place."""


def show_value(data: bytes, asked: str) -> Shown:
    """The value in the form that was asked for, else as it is recognised, if that can be written back exactly; else as text or hex."""
    found = decode_value(data, asked or None, limits=SHOWN)
    tried = {found.using: found} | {
        using: decode_value(data, using, limits=SHOWN) for using, _ in PLAIN if using != found.using
    }
    usable = {using: read for using, read in tried.items() if read.roundtrips}
    told = "" if found.using in usable else _why_not(found)
    chosen = usable.get(found.using) or usable.get("text") or usable.get("hex")
    if chosen is None:
        return TOO_LONG
    return Shown(chosen.text, chosen.using, [(using, read.label) for using, read in usable.items()], told)


def _why_not(found: Decoded) -> str:
    if found.failed:
        return found.failed
    return f"As {found.label} it could not be written back exactly, so its bytes are edited."


class NameField(forms.CharField):
    """The name of a key as it is typed, with the escapes of `to_text`. Cleans to bytes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, max_length=200_000, **options)
        self.widget.attrs |= {"class": "mono", "autocomplete": "off", "spellcheck": "false"}
        self.help_text = self.help_text or "\\n, \\t and \\xff stand for bytes that cannot be typed."

    def clean(self, value: Any) -> bytes:
        return from_text(super().clean(value))


class RenameForm(forms.Form):
    to = NameField(label="New name")


class CopyForm(forms.Form):
    """To which server and db; `server` is one the person has a grant on."""

    to = NameField(label="Name of the copy")
    server = forms.ChoiceField(label="Server")
    db = forms.IntegerField(label="db", min_value=0, max_value=999_999)

    def __init__(self, *args: Any, servers: list[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["server"].choices = [(name, name) for name in servers]  # type: ignore[attr-defined]


class CreateForm(forms.Form):
    """The name and life of a new key; what it holds comes from an Edit beside it."""

    name = NameField(label="Name")
    ttl = forms.CharField(
        label="TTL", required=False, max_length=64, help_text="Like 15m, 2h30m or 7d; empty: it stays."
    )

    def clean_ttl(self) -> int | None:
        """In milliseconds."""
        text = self.cleaned_data["ttl"].strip()
        if not text:
            return None
        try:
            return parse_duration(text)
        except BadInput as error:
            raise forms.ValidationError(str(error)) from error


class DeleteForm(forms.Form):
    without_trash = forms.BooleanField(required=False)
