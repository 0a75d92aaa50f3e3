"""What can be changed of a set: which members it has."""

from typing import Any

import redis
from redis.client import Pipeline

from keyspace.types.editing import Edit, LinesField, Subject, ValueEdit
from keyspace.wire import Command


class _Members(Edit):
    """A change of whether `members_changed` are in the set."""

    def members_changed(self) -> list[bytes]:
        raise NotImplementedError

    def has_part(self) -> bool:
        return self.supports("SMISMEMBER")

    def part(self, name: bytes) -> Command:
        return ("SMISMEMBER", name, *self.members_changed())

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        were = list(zip(self.members_changed(), held, strict=True))
        added, removed = [each for each, was in were if was], [each for each, was in were if not was]
        commands: list[Command] = [("SADD", name, *added)] if added else []
        return commands + ([("SREM", name, *removed)] if removed else [])


class AddMembers(_Members):
    slug, label, icon, act, done, creates, guarded = (
        "set-add",
        "Add members",
        "plus",
        "Add",
        "Added to",
        True,
        False,
    )
    members = LinesField(label="Members")

    def members_changed(self) -> list[bytes]:
        return list(dict.fromkeys(self.cleaned_data["members"]))

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("SADD", name, *self.cleaned_data["members"])

    def sentence(self, answers: list[Any]) -> str:
        return f"Added {answers[0]} to"

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"added": answers[0], "given": len(self.cleaned_data["members"])}


class AddMember(ValueEdit, _Members):
    slug, label, icon, act, done, guarded = "set-add-value", "Add a value", "plus", "Add", "Added to", False
    note = "One member as text, JSON or hex."

    def members_changed(self) -> list[bytes]:
        return [self.new_bytes()]

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("SADD", name, self.new_bytes())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"added": answers[0]}


class _OfMember(_Members):
    element = True

    def members_changed(self) -> list[bytes]:
        return [self.element_name()]

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        member = self.element_name()
        return Subject(member if pipe.execute_command("SISMEMBER", name, member) else None)


class ReplaceMember(ValueEdit, _OfMember):
    slug, label, done, reveals = "set-replace", "Edit", "Replaced a member of", True

    def members_changed(self) -> list[bytes]:
        return list(dict.fromkeys([self.new_bytes(), self.element_name()]))

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("SADD", name, self.new_bytes())
        if self.new_bytes() != self.element_name():
            pipe.execute_command("SREM", name, self.element_name())


class RemoveMember(_OfMember):
    slug, label, icon, act, done, removes = "set-remove", "Remove", "trash-2", "Remove", "Removed from", True

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("SREM", name, self.element_name())


SET_EDITS = (AddMembers, AddMember, ReplaceMember, RemoveMember)
