"""What can be changed of a string: all of it, its end, a number, bits, what a HyperLogLog has seen."""

from typing import Any

import redis
from django import forms
from redis.client import Pipeline

from keyspace.errors import BadInput, TooLarge
from keyspace.types.bounds import WHOLE
from keyspace.types.editing import (
    LARGEST,
    Edit,
    FileEdit,
    LinesField,
    ScoreField,
    Subject,
    ValueEdit,
    is_whole_number,
)
from keyspace.types.elements import figures

_ENDS = 64 * 1024
MAX_BITS = 8 * 1024 * 1024 * 8
"""Bits that one edit sets or clears."""


def _read_length(pipe: redis.Redis, name: bytes) -> int:
    """Raises TooLarge beyond LARGEST."""
    length: int = pipe.execute_command("STRLEN", name)
    if length > LARGEST:
        raise TooLarge(
            f"This string has {figures(length)} bytes and can only be read here.",
            f"Up to {figures(LARGEST)} bytes can be changed.",
        )
    return length


def read_string(pipe: redis.Redis, name: bytes) -> Subject:
    """The whole of it up to WHOLE bytes, else its length and both ends. Raises TooLarge beyond LARGEST."""
    length = _read_length(pipe, name)
    if length <= WHOLE:
        return Subject(pipe.execute_command("GET", name))
    ends = [pipe.execute_command("GETRANGE", name, *at) for at in ((0, _ENDS - 1), (-_ENDS, -1))]
    return Subject(None, b"\0".join([str(length).encode(), *ends]))


def _write(pipe: Pipeline, name: bytes, value: bytes, creating: bool) -> None:
    """SET keeps the TTL, and writes only where there is a key (or, for a new one, where there is none)."""
    pipe.execute_command("SET", name, value, *(["NX"] if creating else ["XX", "KEEPTTL"]))


class SetString(ValueEdit):
    slug, label, icon, done, reveals, creates = "string-set", "Edit", "pencil", "Saved", True, True

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        return read_string(pipe, name)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data = self.new_bytes()
        self.written = len(data)
        _write(pipe, name, data, self.creating)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"length_after": self.written}


class UploadString(FileEdit):
    slug, label, icon, act, done = "string-upload", "Replace by a file", "upload", "Upload", "Replaced"
    creates, made = True, "string from a file"

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        return read_string(pipe, name)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        _write(pipe, name, self.new_bytes(), self.creating)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"length_after": self.cleaned_data["file"].size}


class AppendString(ValueEdit):
    slug, label, icon, act, done, guarded = "string-append", "Append", "plus", "Append", "Appended to", False

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        _read_length(pipe, name)
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("APPEND", name, self.new_bytes())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"length": answers[0]}


class IncrementString(Edit):
    slug, label, icon, act, guarded = "string-increment", "Increment", "plus", "Add", False
    by = ScoreField(label="Add", initial="1", finite=True, help_text="A negative number subtracts.")

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        by = self.cleaned_data["by"]
        pipe.execute_command("INCRBY" if is_whole_number(by) else "INCRBYFLOAT", name, by)

    def sentence(self, answers: list[Any]) -> str:
        return "Added to"


class SetBits(Edit):
    slug, label, icon, act, face = "string-bits", "Set bits", "binary", "Set", "bitmap"
    first = forms.IntegerField(label="From bit", min_value=0, max_value=LARGEST * 8 - 1)
    last = forms.IntegerField(label="To bit", min_value=0, max_value=LARGEST * 8 - 1, required=False,
                              help_text="Empty: that one bit alone.")  # fmt: skip
    to = forms.ChoiceField(label="To", choices=[("1", "set"), ("0", "clear")], initial="1")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first is not None and last is not None and not first <= last < first + MAX_BITS:
            raise forms.ValidationError(
                f"The last bit is after the first, and at most {figures(MAX_BITS)} bits are changed at once."
            )
        return data

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        """The bytes at both ends of the range: they have bits that stay."""
        _read_length(pipe, name)
        if not self.is_bound or not self.is_valid():
            return Subject(None)
        self._ends = [
            bytes(pipe.execute_command("GETRANGE", name, bit // 8, bit // 8)) or b"\0"
            for bit in self._range()
        ]
        return Subject(None)

    def _range(self) -> tuple[int, int]:
        first, last = self.cleaned_data["first"], self.cleaned_data["last"]
        return first, first if last is None else last

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        (first, last), on = self._range(), self.cleaned_data["to"] == "1"
        if first == last:
            pipe.execute_command("SETBIT", name, first, int(on))
            return
        start, end = first // 8, last // 8
        size = (end - start + 1) * 8
        mask = ((1 << (last - first + 1)) - 1) << (size - 1 - (last - start * 8))
        held = bytearray((b"\0" if on else b"\xff") * (end - start + 1))
        held[0], held[-1] = self._ends[0][0], self._ends[-1][0]
        number = int.from_bytes(held, "big")
        number = number | mask if on else number & ~mask
        pipe.execute_command("SETRANGE", name, start, number.to_bytes(end - start + 1, "big"))

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        first, last = self._range()
        return {"bits": last - first + 1}


class AddToEstimate(Edit):
    slug, label, icon, act, done, guarded = "string-pfadd", "Add elements", "plus", "Add", "Added to", False
    face = "hyperloglog"
    elements = LinesField(label="Elements")

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        if pipe.execute_command("GETRANGE", name, 0, 3) != b"HYLL":
            raise BadInput("This string is not a HyperLogLog.", "Reload the key.")
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("PFADD", name, *self.cleaned_data["elements"])

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"elements": len(self.cleaned_data["elements"])}


STRING_EDITS = (SetString, UploadString, AppendString, IncrementString, SetBits, AddToEstimate)
