"""One change of one key as a form: what it changes (its subject), and the commands that change it.

A type lists its Edits in `KeyType.edits`; a new one is a class here beside the others of its type and its name in that list. Whoever runs
them (`keyspace.edits`) watches the key, checks type and existence, compares the subject with what the person saw, executes, audits
and keeps what was there. An Edit never changes the TTL of the key, and never brings a key to life that has expired.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import redis
from django import forms
from redis.client import Pipeline

from keyspace.decoders import encode_value
from keyspace.encoding import from_key_id, from_text, to_text
from keyspace.types.elements import figures
from keyspace.wire import Command

MAX_NAME_CHARS = 100_000
MAX_TEXT = 4 * 1024 * 1024
"""Characters that a form takes as text; larger values come as files."""
LARGEST = 64 * 1024 * 1024
"""Bytes up to which a value can be edited or uploaded."""
_NUMBER = re.compile(r"[+-]?(inf(inity)?|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?)\Z", re.IGNORECASE)
INT64 = 2**63


@dataclass(frozen=True)
class Subject:
    """What an edit changes, as it stands: `value` (None: it is not there, or is too large to be read whole) and `shape`, whatever else
    must be as it was for the change to hit the right thing."""

    value: bytes | None
    shape: bytes = b""

    def digest(self, kind: str) -> str:
        """The SHA-256 of all that must not have changed."""
        summed = hashlib.sha256(f"{kind}\0{'-' if self.value is None else len(self.value)}\0".encode())
        summed.update(self.value or b"")
        summed.update(b"\0" + self.shape)
        return summed.hexdigest()


class Edit(forms.Form):
    """Derive, fill in the names, add fields, and write `apply`; `read_subject` where there is something to compare."""

    slug: ClassVar[str]
    label: ClassVar[str]
    """As a button says it."""
    act: ClassVar[str] = "Save"
    """On the button that does it."""
    done: ClassVar[str] = "Saved"
    """Afterwards, before the key's name."""
    icon: ClassVar[str] = "pencil"
    note: ClassVar[str] = ""
    element: ClassVar[bool] = False
    """Whether it changes one element, which its address names."""
    creates: ClassVar[bool] = False
    """Whether it can be the first content of a new key."""
    removes: ClassVar[bool] = False
    guarded: ClassVar[bool] = True
    """Whether the subject is compared with what the person saw."""
    reveals: ClassVar[bool] = False
    """Whether filling it in needs the value itself, so that a masked one must be revealed first."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Commands without which the server has no such change."""
    made: ClassVar[str] = ""
    """What a new key that begins with it is called, where that is not the type."""
    face: ClassVar[str] = ""
    """The face of the type beside which it is offered; "" for all."""

    def __init__(self, data: Any = None, files: Any = None, *, element: str = "", **options: Any) -> None:
        super().__init__(data, files, **options)
        self.address = element
        self.creating = False
        self.before: bytes | None = None
        self.supports: Callable[[str], bool] = lambda command: False

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        """What this changes, read now (while `name` is watched). Raises BadInput or Conflict where the change cannot be made at all."""
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        """Queue the commands. `before` has the subject's value; the first answer is what `sentence` and `facts` go by."""
        raise NotImplementedError

    def has_part(self) -> bool:
        """Whether one question tells all that this changes, so that it can be undone in a collection too large to be kept whole. Asked
        after `read_subject`, also of a form that nobody has filled in."""
        return type(self).part is not Edit.part

    def part(self, name: bytes) -> Command:
        """That question."""
        raise NotImplementedError

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        """The commands after which `part` answers `held` again."""
        raise NotImplementedError

    def sentence(self, answers: list[Any]) -> str:
        """What was done, before the name of the key."""
        return self.done

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        """For the audit: lengths and counts, never values."""
        return {}

    def filled_from(self, subject: Subject) -> dict[str, Any]:
        """What the form begins with."""
        return {}

    def told_element(self) -> str:
        """The element as a person knows it; "" for the key as a whole."""
        return to_text(self.element_name()) if self.element else ""

    def element_name(self) -> bytes:
        """The field, member or other name that the address carries. Raises BadInput."""
        return from_key_id(self.address)


class ValueField(forms.CharField):
    """Text in the form that `using` names. Line ends are as the browser has them for one, "\\n" for us."""

    def __init__(self, **options: Any) -> None:
        options = {"required": False, "strip": False, "max_length": MAX_TEXT, "label": "Value", **options}
        super().__init__(
            widget=forms.Textarea(attrs={"spellcheck": "false", "class": "mono", "rows": 12}), **options
        )

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n").replace("\r", "\n")


class EscapedField(forms.CharField):
    """A name as people type it: UTF-8, with the escapes of `to_text`. Cleans to bytes; nothing typed is the empty name."""

    may_be_empty = True
    """Whether nothing typed is a value like any other, rather than nothing given."""

    def __init__(self, **options: Any) -> None:
        options = {"required": False, "strip": False, "max_length": MAX_NAME_CHARS, **options}
        super().__init__(**options)
        self.widget.attrs |= {"class": "mono", "autocomplete": "off", "spellcheck": "false"}

    def clean(self, value: Any) -> bytes:
        text = super().clean(value)
        try:
            return from_text(text)
        except UnicodeError as error:
            raise forms.ValidationError("This is not text.") from error


class LinesField(forms.CharField):
    """Names, one a line, with the escapes of `to_text`. Cleans to a list of bytes."""

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 5, "class": "mono", "spellcheck": "false"})
        options = {"strip": False, "max_length": MAX_TEXT, "widget": widget, **options}
        super().__init__(**options)
        self.help_text = (
            self.help_text or "One a line; \\n, \\t and \\xff stand for bytes that cannot be typed."
        )

    def clean(self, value: Any) -> list[bytes]:
        text = super().clean(value)
        try:
            return [from_text(line) for line in text.replace("\r\n", "\n").split("\n") if line]
        except UnicodeError as error:
            raise forms.ValidationError("This is not text.") from error


class ScoreField(forms.CharField):
    """A double as it is typed, so that no digit is lost on the way: 0.1, 1e300, -inf."""

    def __init__(self, *, finite: bool = False, **options: Any) -> None:
        options = {"max_length": 400, **options}
        super().__init__(**options)
        self.finite = finite
        self.widget.attrs |= {"class": "mono", "autocomplete": "off", "inputmode": "text"}

    def clean(self, value: Any) -> str:
        text: str = super().clean(value).strip()
        if not _NUMBER.match(text) or (self.finite and "inf" in text.lower()):
            raise forms.ValidationError(
                "This is not a number." if self.finite else "A score is a number, inf or -inf."
            )
        return text


class ValueEdit(Edit):
    """An edit that writes bytes typed as text in some form: `using` is a chain of decoders that can be written."""

    fixed_using: ClassVar[str] = ""
    """The one form it is written in, where there is no choice."""

    value = ValueField()
    using = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def new_bytes(self) -> bytes:
        """What was typed, in the encoding of what was there. Raises BadInput for text that is not valid in its form."""
        return encode_value(
            self.cleaned_data["value"],
            self.fixed_using or self.cleaned_data["using"] or "text",
            like=self.before or b"",
        )


class FileEdit(Edit):
    """An edit that writes the bytes of a file, which the form `file` takes."""

    file = forms.FileField(
        label="File", help_text="Up to 64 MB; its bytes become the value as they are.", allow_empty_file=True
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST:
            raise forms.ValidationError(
                f"The file has {figures(file.size)} bytes; up to {figures(LARGEST)} are taken."
            )
        return file

    def new_bytes(self) -> bytes:
        """The file, also when the change is tried a second time."""
        file = self.cleaned_data["file"]
        file.seek(0)
        data: bytes = file.read()
        return data


def is_whole_number(text: str) -> bool:
    """Whether INCRBY takes it; another number is for INCRBYFLOAT."""
    return bool(re.fullmatch(r"[+-]?\d{1,19}", text)) and -INT64 <= int(text) < INT64
