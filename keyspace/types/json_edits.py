"""What can be changed of a JSON document: the value at one path."""

import json
from typing import Any

import redis
from django import forms
from redis.client import Pipeline

from keyspace.errors import BadInput, TooLarge
from keyspace.types.bounds import WHOLE
from keyspace.types.editing import Edit, ScoreField, Subject, ValueEdit
from keyspace.types.json_paths import parse_path, path_text
from keyspace.wire import Command


class _OfPath(Edit):
    element = True

    def told_element(self) -> str:
        return self.path()

    def path(self) -> str:
        try:
            return path_text(parse_path(self.address[:8192]))
        except forms.ValidationError as error:
            raise BadInput(error.messages[0], "Open the key anew.") from error

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        """The JSON text at the path; the module answers with an array of the one match."""
        answer = pipe.execute_command("JSON.GET", name, self.path())
        text = answer.encode() if isinstance(answer, str) else answer
        if not text or text == b"[]":
            return Subject(None)
        if len(text) > WHOLE:
            raise TooLarge(
                "This part of the document is larger than can be edited here.", "Open it part by part."
            )
        return Subject(text[1:-1])

    def part(self, name: bytes) -> Command:
        return ("JSON.GET", name, self.path())

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        text = held.encode() if isinstance(held, str) else held
        if not text or text == b"[]":
            return [("JSON.DEL", name, self.path())]
        return [("JSON.SET", name, self.path(), text[1:-1])]

    def facts(self, answers: list[Any]) -> dict[str, Any]:
        return {"path": self.path()[:200]}


class SetPath(ValueEdit, _OfPath):
    slug, label, reveals, fixed_using = "json-set", "Edit", True, "json"

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("JSON.SET", name, self.path(), as_json(self), *([] if self.creating else ["XX"]))


class AddKey(ValueEdit, _OfPath):
    slug, label, icon, act, done, guarded = "json-add", "Add here", "plus", "Add", "Added to", False
    fixed_using = "json"
    note = "Into an object under a key; into an array at its end, where the key stays empty."
    key = forms.CharField(label="Key", required=False, strip=False, max_length=4096)
    field_order = ("key", "value", "using")

    def read_subject(self, pipe: redis.Redis, name: bytes) -> Subject:
        kind = pipe.execute_command("JSON.TYPE", name, self.path())
        told = kind[0] if isinstance(kind, list) and kind else kind
        told = told[0] if isinstance(told, list) and told else told
        self.into = told.decode() if isinstance(told, bytes) else str(told)
        if self.into not in ("object", "array"):
            raise BadInput("Only an object or an array takes more values.", "Edit this value itself.")
        return Subject(self.into.encode())

    def has_part(self) -> bool:
        """The new key of an object; what an array is without its new end is not told by one question."""
        return self.into == "object"

    def part(self, name: bytes) -> Command:
        return ("JSON.GET", name, self._new_path())

    def put_back(self, name: bytes, held: Any) -> list[Command]:
        return [("JSON.DEL", name, self._new_path())]

    def _new_path(self) -> str:
        return path_text((*parse_path(self.address), self.cleaned_data["key"]))

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        value = as_json(self)
        if self.into == "array":
            pipe.execute_command("JSON.ARRAPPEND", name, self.path(), value)
        else:
            pipe.execute_command("JSON.SET", name, self._new_path(), value, "NX")


class IncrementPath(_OfPath):
    slug, label, icon, act, done, guarded = "json-increment", "Increment", "plus", "Add", "Added to", False
    by = ScoreField(label="Add", initial="1", finite=True)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("JSON.NUMINCRBY", name, self.path(), self.cleaned_data["by"])


class DeletePath(_OfPath):
    slug, label, icon, act, done, removes = (
        "json-delete",
        "Delete",
        "trash-2",
        "Delete",
        "Deleted a part of",
        True,
    )

    def has_part(self) -> bool:
        """Into an array nothing is put back by its path: the others have moved up."""
        return isinstance((parse_path(self.address) or (0,))[-1], str)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("JSON.DEL", name, self.path())


class CreateDocument(ValueEdit):
    slug, label, creates, made, fixed_using = "json-create", "JSON document", True, "JSON", "json"
    needs = ("JSON.SET",)

    def apply(self, pipe: Pipeline, name: bytes) -> None:
        pipe.execute_command("JSON.SET", name, "$", as_json(self), "NX")


def as_json(edit: ValueEdit) -> bytes:
    """What was typed, as it was typed: the module lays it out itself. Raises BadInput for what is not JSON."""
    text: str = edit.cleaned_data["value"]
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"This is not JSON: {error}.", "Nothing was written.") from error
    return text.encode()


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON of the standard")


JSON_EDITS = (SetPath, AddKey, IncrementPath, DeletePath, CreateDocument)
