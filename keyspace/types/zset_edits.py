"""What can be changed of a sorted set. Scores are sent as they were typed: the server reads every digit of them."""

from typing import Any

import redis
from django import forms
from redis.client import Pipeline

from keyspace.errors import BadInput
from keyspace.types.editing import Edit, EscapedField, ScoreField, Subject
from keyspace.types.zset_scores import score_text
from keyspace.wire import Command


class _OneScored(Edit):
    """A change of one member alone, which `member_name` names."""

    def member_name(self) -> bytes:
        return self.element_name()

    def part(self, name: bytes) -> Command:
        return ("ZSCORE", name, self.member_name())

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        if held is None:
            return [("ZREM", name, self.member_name())]
        return [("ZADD", name, score_text(held), self.member_name())]


class AddScored(_OneScored):
    slug, label, icon, act, done, creates, guarded = (
        "zset-add",
        "Add member",
        "plus",
        "Add",
        "Added to",
        True,
        False,
    )
    made = "sorted set"
    member = EscapedField(label="Member")
    score = ScoreField(label="Score", initial="0", help_text="A number with up to 17 digits, inf or -inf.")

    def member_name(self) -> bytes:
        name: bytes = self.cleaned_data["member"]
        return name

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        new = self.is_bound and not self.creating
        if new and pipe.execute_command("ZSCORE", name, self.cleaned_data["member"]) is not None:
            raise BadInput(
                "The sorted set has this member already; nothing was written.", "Rescore that one."
            )
        return Subject(None)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("ZADD", name, "NX", self.cleaned_data["score"], self.cleaned_data["member"])


class _OfScored(_OneScored):
    element = True

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        """The score as text, exactly."""
        score = pipe.execute_command("ZSCORE", name, self.element_name())
        return Subject(None if score is None else score_text(score).encode())


class Rescore(_OfScored):
    slug, label, done, reveals = "zset-score", "Edit", "Rescored a member of", True
    score = ScoreField(label="Score", help_text="A number with up to 17 digits, inf or -inf.")

    def filled_from(self, subject: Subject) -> dict[str, Any]:
        return {"score": (subject.value or b"").decode()}

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("ZADD", name, self.cleaned_data["score"], self.element_name())


class IncrementScore(_OfScored):
    slug, label, icon, act, done, guarded = (
        "zset-increment",
        "Increment",
        "plus",
        "Add",
        "Added to a score of",
        False,
    )
    by = ScoreField(label="Add", initial="1")

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        subject = super().read_subject(pipe, name)
        if subject.value is None:
            raise BadInput("There is no such member any more.", "Reload the sorted set.")
        return subject

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("ZINCRBY", name, self.cleaned_data["by"], self.element_name())


class RemoveScored(_OfScored):
    slug, label, icon, act, done, removes = "zset-remove", "Remove", "trash-2", "Remove", "Removed from", True

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("ZREM", name, self.element_name())


class TrimScored(Edit):
    slug, label, icon, act, done, removes = (
        "zset-trim",
        "Remove by rank",
        "scissors",
        "Remove",
        "Removed from",
        True,
    )
    first = forms.IntegerField(
        label="From rank", initial=0, help_text="0 is the lowest score, -1 the highest."
    )
    last = forms.IntegerField(label="To rank")

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        return Subject(None, str(pipe.execute_command("ZCARD", name)).encode())

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("ZREMRANGEBYRANK", name, self.cleaned_data["first"], self.cleaned_data["last"])

    def sentence(self, answers: list[Any]) -> str:
        return f"Removed {answers[0]} from"

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"removed": answers[0]}


ZSET_EDITS = (AddScored, Rescore, IncrementScore, RemoveScored, TrimScored)
