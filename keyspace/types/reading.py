"""One read of one key: the parameters it is asked with, and the questions to the server."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from redis.exceptions import ResponseError

from keyspace.encoding import from_text, to_text
from keyspace.errors import BadInput, NotFound
from keyspace.types.bounds import COMPACT, MAX_PAGE, PAGE, Budget
from keyspace.wire import Command, read_many

if TYPE_CHECKING:
    from keyspace.servers import Connection


class BytesField(forms.CharField):
    """Bytes as a person types them: UTF-8 with the escapes of `to_text`. Empty text is None."""

    def __init__(self, *, max_length: int = 4096, **options: Any) -> None:
        super().__init__(max_length=max_length, strip=False, required=False, **options)

    def clean(self, value: Any) -> bytes | None:
        text = super().clean(value)
        try:
            return from_text(text) if text else None
        except UnicodeError as error:
            raise forms.ValidationError("This is not text.") from error


class PageForm(forms.Form):
    """The parameters of one read. A field left out has its default from `defaults`."""

    count = forms.IntegerField(min_value=1, max_value=MAX_PAGE, required=False)

    defaults: ClassVar[dict[str, Any]] = {}

    def asked(self) -> dict[str, Any]:
        """What was asked, defaults filled in. Raises BadInput with the first thing that is wrong."""
        if not self.is_valid():
            name, errors = next(iter(self.errors.items()))
            raise BadInput(
                f"The {name} of this page is not valid: {errors[0]}", "Open the key anew from the list."
            )
        given = {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
        return (
            {"count": PAGE} | {name: None for name in self.fields if name != "count"} | self.defaults | given
        )

    def given(self) -> dict[str, str]:
        """The parameters that were given, as text."""
        return {name: str(self.data[name]) for name in self.fields if self.data.get(name, "") != ""}


class StartForm(PageForm):
    """A window by position: `start` elements are passed over."""

    start = forms.IntegerField(min_value=0, max_value=2**62, required=False)

    defaults: ClassVar[dict[str, Any]] = {"start": 0}


@dataclass(frozen=True)
class Reading:
    """One read of one key: whom to ask, and what (`asked`: cleaned parameters; `given`: those of the address, as text)."""

    connection: "Connection"
    name: bytes
    asked: dict[str, Any]
    given: dict[str, str] = field(default_factory=dict)

    @cached_property
    def redis(self) -> Any:
        return self.connection.redis

    def ask(self, *commands: Command) -> list[Any]:
        """The server's own answers, in one round trip. Raises the first error among them."""
        answers = self.try_asking(*commands)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def try_asking(self, *commands: Command) -> list[Any]:
        """As `ask`, with the errors among the answers."""
        return read_many(self.redis, commands)

    def with_(self, **changed: Any) -> dict[str, str]:
        """The given parameters with some changed (None: dropped), for `Page.next` and `Page.previous`."""
        merged = self.given | {name: str(value) for name, value in changed.items() if value is not None}
        return {
            name: value for name, value in merged.items() if name not in changed or changed[name] is not None
        }

    def size(self, length_command: Command, *more: Command) -> tuple[int, Budget, list[Any]]:
        """Length, the Budget for a page, and the answers to `more`. Raises NotFound when the key is gone (length 0)."""
        length, encoding, memory, *others = self.try_asking(
            length_command, ("OBJECT", "ENCODING", self.name), ("MEMORY", "USAGE", self.name), *more
        )
        for answer in (length, *others):
            if isinstance(answer, Exception):
                raise answer
        if not length:
            raise gone(self.name)
        average = memory / length if isinstance(memory, int) else None
        return length, Budget(self.asked["count"], average=average, compact=encoding in COMPACT), others


def gone(name: bytes) -> NotFound:
    return NotFound(f"There is no key {to_text(name[:200])} here.", "It may have expired or been deleted.")


def pairs(answer: Any) -> list[tuple[Any, Any]]:
    """A reply of pairs, in either protocol: [[a, b], ...] or [a, b, ...]."""
    if answer and isinstance(answer[0], list):
        return [(first, second) for first, second in answer]
    return list(zip(answer[::2], answer[1::2], strict=True))


def mapping(answer: Any) -> dict[str, Any]:
    """A reply of names and values, in either protocol, as a dict."""
    items = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {name.decode("utf-8", "replace"): value for name, value in items}


def is_refused(answer: Any, beginning: str) -> bool:
    """Whether an answer is an error of the server that begins so."""
    return isinstance(answer, ResponseError) and str(answer).removeprefix("ERR ").startswith(beginning)
