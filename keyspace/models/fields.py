"""Fields that keep whatever text turns up: SQLite takes all, Postgres refuses a text that is too long, and the character NUL."""

import json
import re
from typing import Any

from django.db import models

NUL_SHOWN = "\ufffd"
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Sentence(models.CharField):  # type: ignore[type-arg]
    """What is for people alone: it ends where there is no more room. To migrations a CharField."""

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return prepared.replace("\0", NUL_SHOWN)[: self.max_length] if isinstance(prepared, str) else prepared

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class _WithoutNul(json.JSONEncoder):
    def encode(self, o: Any) -> str:
        text = super().encode(o)
        return _NUL.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


class Document(models.JSONField):
    """JSON whose texts may come from outside. To migrations a JSONField."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"encoder": _WithoutNul})

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        del kwargs["encoder"]
        return name, "django.db.models.JSONField", args, kwargs
