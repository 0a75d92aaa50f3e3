"""What can be changed of a list.

An element is addressed by its index from the end it was read from, and must still be the one that was seen: the same bytes between the
same neighbours; where its neighbours are equal to it, in a list of the same length.
"""

import secrets
from typing import Any

import redis
from django import forms
from redis.client import Pipeline

from keyspace.errors import BadInput
from keyspace.types.editing import Edit, FileEdit, Subject, ValueEdit
from keyspace.wire import Command

_ENDS = [("tail", "at the tail"), ("head", "at the head")]


class Push(ValueEdit):
    slug, label, icon, act, done, creates, guarded = (
        "list-push",
        "Push",
        "plus",
        "Push",
        "Pushed to",
        True,
        False,
    )
    side = forms.ChoiceField(label="Where", choices=_ENDS, initial="tail")
    field_order = ("side", "value", "using")

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        push = "RPUSH" if self.cleaned_data["side"] == "tail" else "LPUSH"
        pipe.execute_command(push if self.creating else push + "X", name, self.new_bytes())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"length": answers[0]}


class _OfElement(Edit):
    """An edit of the element at an index."""

    element = True

    def told_element(self) -> str:
        return f"index {self.index()}"

    def index(self) -> int:
        """From the head, or negative from the tail. Raises BadInput."""
        digits = self.address.removeprefix("-")
        if not digits.isdecimal() or len(digits) > 18:
            raise BadInput("This is not the address of an element.", "Open the key anew.")
        return int(self.address)

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        index = self.index()
        at: list[bytes | None] = [pipe.execute_command("LINDEX", name, index)]
        for beside in (index - 1, index + 1):
            crosses = (beside < 0) != (index < 0)
            at.append(None if crosses else pipe.execute_command("LINDEX", name, beside))
        shape = b"\0".join(b"-" if each is None else b"+" + each for each in at[1:])
        if at[0] in at[1:]:
            shape += str(pipe.execute_command("LLEN", name)).encode()
        return Subject(at[0], shape)

    def mark(self, pipe: Pipeline, name: bytes) -> bytes:
        """Put something unique at the index, which LREM and LINSERT then find; all of it happens in one MULTI."""
        mark = secrets.token_bytes(32)
        pipe.execute_command("LSET", name, self.index(), mark)
        return mark


class _ReplaceElement(_OfElement):
    """Something else in the same place."""

    def part(self, name: bytes) -> Command:
        return ("LINDEX", name, self.index())

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        return [("LSET", name, self.index(), held)]


class SetElement(ValueEdit, _ReplaceElement):
    slug, label, reveals = "list-set", "Edit", True

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data = self.new_bytes()
        self.written = len(data)
        pipe.execute_command("LSET", name, self.index(), data)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"index": self.index(), "length_after": self.written}


class UploadElement(FileEdit, _ReplaceElement):
    slug, label, icon, act, done = (
        "list-upload",
        "Replace by a file",
        "upload",
        "Upload",
        "Replaced an element of",
    )

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("LSET", name, self.index(), self.new_bytes())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"index": self.index(), "length_after": self.cleaned_data["file"].size}


class InsertElement(ValueEdit, _OfElement):
    slug, label, icon, act, done = (
        "list-insert",
        "Insert",
        "between-horizontal-start",
        "Insert",
        "Inserted into",
    )
    where = forms.ChoiceField(
        label="Where", choices=[("BEFORE", "before it"), ("AFTER", "after it")], initial="BEFORE"
    )
    field_order = ("where", "value", "using")

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data, old = encode_new(self), self.before or b""
        mark = self.mark(pipe, name)
        pipe.execute_command("LINSERT", name, self.cleaned_data["where"], mark, data)
        # The marked element may have moved by one from the end its index counts from.
        index, before = self.index(), self.cleaned_data["where"] == "BEFORE"
        moved = index + 1 if index >= 0 and before else index - 1 if index < 0 and not before else index
        pipe.execute_command("LSET", name, moved, old)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"index": self.index()}


def encode_new(edit: ValueEdit) -> bytes:
    """What was typed for an element that is new: in no manner of what stands beside it."""
    held, edit.before = edit.before, None
    try:
        return edit.new_bytes()
    finally:
        edit.before = held


class RemoveElement(_OfElement):
    slug, label, icon, act, done, removes = "list-remove", "Remove", "trash-2", "Remove", "Removed from", True

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        mark = self.mark(pipe, name)
        pipe.execute_command("LREM", name, 1 if self.index() >= 0 else -1, mark)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"index": self.index()}


class TrimList(Edit):
    slug, label, icon, act, done, removes = "list-trim", "Trim", "scissors", "Trim", "Trimmed", True
    keep = forms.IntegerField(label="Keep so many elements", min_value=1, max_value=2**62)
    side = forms.ChoiceField(
        label="Of which end", choices=[("head", "the head"), ("tail", "the tail")], initial="head"
    )

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        return Subject(None, str(pipe.execute_command("LLEN", name)).encode())

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        keep = self.cleaned_data["keep"]
        ends = (0, keep - 1) if self.cleaned_data["side"] == "head" else (-keep, -1)
        pipe.execute_command("LTRIM", name, *ends)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"kept": self.cleaned_data["keep"]}


LIST_EDITS = (Push, SetElement, UploadElement, InsertElement, RemoveElement, TrimList)
