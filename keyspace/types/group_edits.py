"""What can be changed of a stream's consumer groups. The address of a group is its `key_id`; of a consumer, or of a pending
entry, it is the group's, a dot, and the consumer's (or the entry's id)."""

import re
from typing import Any

import redis
from django import forms
from redis.client import Pipeline

from keyspace.encoding import from_key_id, to_text
from keyspace.errors import BadInput
from keyspace.types.editing import Edit, EscapedField, Subject
from keyspace.types.reading import mapping

_POSITION = re.compile(r"(\$|\d{1,20}(-\d{1,20})?)\Z")
_ID = re.compile(r"\d{1,20}(-\d{1,20})?\Z")


class PositionField(forms.CharField):
    """``$`` (the end), ``0`` (the beginning), or the id after which the group reads."""

    def __init__(self, **options: Any) -> None:
        options = {
            "label": "Read after",
            "max_length": 41,
            "help_text": "$ is the end of the stream, 0 its beginning.",
            **options,
        }
        super().__init__(**options)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value).strip()
        if not _POSITION.match(text):
            raise forms.ValidationError("This is $, 0, or the id of an entry.")
        return text


class IdsField(forms.CharField):
    """Ids of entries, with spaces or lines between them."""

    def clean(self, value: Any) -> list[str]:
        ids: list[str] = super().clean(value).split()
        if not ids or not all(_ID.match(each) for each in ids):
            raise forms.ValidationError("An id is milliseconds-number, like 1700000000000-0.")
        return ids


class CreateGroup(Edit):
    slug, label, icon, act, done, face = (
        "group-create",
        "Create group",
        "plus",
        "Create",
        "Created a group of",
        "groups",
    )
    guarded = False
    group = EscapedField(label="Name", required=True)
    position = PositionField(initial="$")

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        if self.is_bound and read_group(pipe, name, self.cleaned_data["group"]):
            raise BadInput(
                "The stream has a group of this name already; nothing was written.", "Choose another name."
            )
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XGROUP CREATE", name, self.cleaned_data["group"], self.cleaned_data["position"])

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"group": self.cleaned_data["group"][:200], "position": self.cleaned_data["position"]}


def read_group(pipe: redis.Redis, name: bytes, group: bytes) -> dict[str, Any] | None:
    """What XINFO tells of the group; None where there is none."""
    for each in pipe.execute_command("XINFO GROUPS", name):
        told = {str(key): value for key, value in each.items()} if isinstance(each, dict) else mapping(each)
        if told["name"] == group:
            return told
    return None


class _OfGroup(Edit):
    element, face = True, "groups"

    def group_name(self) -> bytes:
        return from_key_id(self.address.partition(".")[0])

    def told_element(self) -> str:
        parts = [self.group_name()] + ([from_key_id(self.rest())] if self.slug == "consumer-delete" else [])
        return ", ".join(to_text(part) for part in parts)

    def rest(self) -> str:
        return self.address.partition(".")[2]

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        group = read_group(pipe, name, self.group_name())
        return Subject(None if group is None else self.group_name())

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"group": to_text(self.group_name())[:200]}


class SetPosition(_OfGroup):
    slug, label, icon, act, done = "group-setid", "Set position", "skip-back", "Set", "Moved a group of"
    position = PositionField()

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        """Where it stands now: a group that has moved on since is a conflict."""
        group = read_group(pipe, name, self.group_name())
        return Subject(None if group is None else group["last-delivered-id"])

    def filled_from(self, subject: Subject) -> dict[str, Any]:
        return {"position": (subject.value or b"").decode()}

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XGROUP SETID", name, self.group_name(), self.cleaned_data["position"])


class DestroyGroup(_OfGroup):
    slug, label, icon, act, done, removes = (
        "group-destroy",
        "Destroy",
        "trash-2",
        "Destroy",
        "Destroyed a group of",
        True,
    )
    note = "Its consumers, and the list of what they have not acknowledged, go with it. The entries stay."

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XGROUP DESTROY", name, self.group_name())


class DeleteConsumer(_OfGroup):
    slug, label, icon, act, done = "consumer-delete", "Delete", "trash-2", "Delete", "Deleted a consumer of"
    removes, face = True, "consumers"
    note = "What it has not acknowledged is no longer pending: claim that for another consumer first."

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        """The consumer, and how much is pending for it."""
        consumer = from_key_id(self.rest())
        if read_group(pipe, name, self.group_name()) is None:
            return Subject(None)
        for each in pipe.execute_command("XINFO CONSUMERS", name, self.group_name()):
            told = each if isinstance(each, dict) else mapping(each)
            if told["name"] == consumer:
                return Subject(consumer, str(told["pending"]).encode())
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XGROUP DELCONSUMER", name, self.group_name(), from_key_id(self.rest()))

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return super().facts(answers) | {
            "consumer": to_text(from_key_id(self.rest()))[:200],
            "were_pending": answers[0],
        }


class Acknowledge(_OfGroup):
    slug, label, icon, act, done = "pending-ack", "Acknowledge", "check", "Acknowledge", "Acknowledged in"
    face, guarded = "pending", False
    ids = IdsField(label="Ids", max_length=100_000)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("XACK", name, self.group_name(), *self.cleaned_data["ids"])

    def sentence(self, answers: list[Any]) -> str:
        return f"Acknowledged {answers[0]} in"

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return super().facts(answers) | {"acknowledged": answers[0]}


class Claim(_OfGroup):
    slug, label, icon, act, done = "pending-claim", "Claim", "hand", "Claim", "Claimed in"
    face, guarded = "pending", False
    ids = IdsField(label="Ids", max_length=100_000)
    consumer = EscapedField(label="For consumer", required=True)
    idle = forms.IntegerField(label="Idle for at least (ms)", min_value=0, initial=0)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data = self.cleaned_data
        pipe.execute_command(
            "XCLAIM",
            name,
            self.group_name(),
            data["consumer"],
            data["idle"],
            *data["ids"],
            "JUSTID",
            parse_justid=True,
        )

    def sentence(self, answers: list[Any]) -> str:
        return f"Claimed {_claimed(answers[0])} in"

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return super().facts(answers) | {
            "claimed": _claimed(answers[0]),
            "consumer": to_text(self.cleaned_data["consumer"])[:200],
        }


def _claimed(answer: Any) -> int:
    return len(answer) if isinstance(answer, list | tuple | dict) else 0


class AutoClaim(_OfGroup):
    slug, label, icon, act, done = "pending-autoclaim", "Claim idle", "hand", "Claim", "Claimed in"
    face, guarded, needs = "pending", False, ("XAUTOCLAIM",)
    consumer = EscapedField(label="For consumer", required=True)
    idle = forms.IntegerField(label="Idle for at least (ms)", min_value=0, initial=60_000)
    start = forms.CharField(label="From id", initial="0", max_length=41)
    count = forms.IntegerField(label="At most", min_value=1, max_value=10_000, initial=100)

    def clean_start(self) -> str:
        if not _ID.match(self.cleaned_data["start"].strip()):
            raise forms.ValidationError("This is not the id of an entry.")
        return str(self.cleaned_data["start"].strip())

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        data = self.cleaned_data
        pipe.execute_command(
            "XAUTOCLAIM", name, self.group_name(), data["consumer"], data["idle"], data["start"],
            "COUNT", data["count"], "JUSTID", parse_justid=True,
        )  # fmt: skip

    def sentence(self, answers: list[Any]) -> str:
        return f"Claimed {_claimed(answers[0])} in"

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return super().facts(answers) | {"claimed": _claimed(answers[0])}


GROUP_EDITS = (CreateGroup, SetPosition, DestroyGroup, DeleteConsumer, Acknowledge, Claim, AutoClaim)
