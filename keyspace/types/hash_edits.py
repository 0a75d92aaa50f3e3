"""What can be changed of a hash. A field that is written again keeps its own TTL."""

from typing import Any

import redis
from redis.client import Pipeline

from keyspace.errors import BadInput, TooLarge
from keyspace.types.bounds import WHOLE
from keyspace.types.editing import (
    Edit,
    EscapedField,
    FileEdit,
    ScoreField,
    Subject,
    ValueEdit,
    is_whole_number,
)
from keyspace.types.elements import figures
from keyspace.wire import Command


class _OneField(Edit):
    """A change of one field alone, which `field_name` names."""

    expires_at = 0

    def field_name(self) -> bytes:
        return self.element_name()

    def part(self, name: bytes) -> Command:
        return ("HGET", name, self.field_name())

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        if held is None:
            return [("HDEL", name, self.field_name())]
        end: Command = ("HPEXPIREAT", name, self.expires_at, "FIELDS", 1, self.field_name())
        return [("HSET", name, self.field_name(), held), *([end] if self.expires_at else [])]


class _OfField(_OneField):
    """An edit of the field that the address names."""

    element = True
    too_long = False
    """Whether its value is longer than is read at once."""

    def has_part(self) -> bool:
        return not self.too_long

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        field = self.element_name()
        length: int = pipe.execute_command("HSTRLEN", name, field)
        self.too_long = length > WHOLE
        if self.too_long and self.reveals:
            raise TooLarge(
                f"The value of this field has {figures(length)} bytes, more than can be edited here."
            )
        if self.supports("HPEXPIRETIME"):
            told = pipe.execute_command("HPEXPIRETIME", name, "FIELDS", 1, field)
            self.expires_at = max(told[0], 0) if told else 0
        if self.too_long:
            return Subject(None, str(length).encode())
        return Subject(pipe.execute_command("HGET", name, field))

    def keep_ttl(self, pipe: Pipeline, name: bytes) -> None:
        """HSET takes the TTL of a field away: put it back in the same MULTI."""
        if self.expires_at:
            pipe.execute_command("HPEXPIREAT", name, self.expires_at, "FIELDS", 1, self.element_name())


class SetField(ValueEdit, _OfField):
    slug, label, reveals = "hash-set", "Edit", True

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data = self.new_bytes()
        self.written = len(data)
        pipe.execute_command("HSET", name, self.element_name(), data)
        self.keep_ttl(pipe, name)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"field": self.element_name()[:200], "length_after": self.written}


class UploadField(FileEdit, _OfField):
    slug, label, icon, act, done = (
        "hash-upload",
        "Replace by a file",
        "upload",
        "Upload",
        "Replaced a field of",
    )

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("HSET", name, self.element_name(), self.new_bytes())
        self.keep_ttl(pipe, name)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"field": self.element_name()[:200], "length_after": self.cleaned_data["file"].size}


class AddField(ValueEdit, _OneField):
    slug, label, icon, act, done, creates = "hash-add", "Add field", "plus", "Add", "Added to", True
    guarded = False
    field = EscapedField(label="Field")
    field_order = ("field", "value", "using")

    def field_name(self) -> bytes:
        name: bytes = self.cleaned_data["field"]
        return name

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        if (
            self.is_bound
            and not self.creating
            and pipe.execute_command("HEXISTS", name, self.cleaned_data["field"])
        ):
            raise BadInput("The hash has such a field already; nothing was written.", "Edit that one.")
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("HSET", name, self.cleaned_data["field"], self.new_bytes())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"field": self.cleaned_data["field"][:200]}


class DeleteField(_OfField):
    slug, label, icon, act, done, removes = (
        "hash-delete",
        "Delete field",
        "trash-2",
        "Delete",
        "Deleted a field of",
        True,
    )

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("HDEL", name, self.element_name())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"field": self.element_name()[:200]}


class IncrementField(_OfField):
    slug, label, icon, act, done, guarded = (
        "hash-increment",
        "Increment",
        "plus",
        "Add",
        "Added to a field of",
        False,
    )
    by = ScoreField(label="Add", initial="1", finite=True, help_text="A negative number subtracts.")

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        if not pipe.execute_command("HEXISTS", name, self.element_name()):
            raise BadInput("There is no such field any more.", "Reload the hash.")
        return super().read_subject(pipe, name)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        by = self.cleaned_data["by"]
        command = "HINCRBY" if is_whole_number(by) else "HINCRBYFLOAT"
        pipe.execute_command(command, name, self.element_name(), by)
        self.keep_ttl(pipe, name)

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"field": self.element_name()[:200]}


HASH_EDITS = (AddField, SetField, UploadField, IncrementField, DeleteField)
