"""The way back from a change of one part (a field, a member, an element) of a collection that is too large to be kept whole.

It is kept as the question that tells what the part is, and the commands that make it what it was. Undoing asks first: when the answer is
no longer what the change left behind, nothing is written. A key that is gone is not brought back by a part of it.
"""

import base64
import json
from typing import Any

import redis
from redis.client import Pipeline

from keyspace.encoding import to_text
from keyspace.errors import Conflict
from keyspace.images import Image, Weight, digest_of_answer, read_kind
from keyspace.types.editing import Edit
from keyspace.wire import Command

MOST = 1024 * 1024
"""Bytes of a part that is kept."""


class PartChanged(Conflict):
    """The part is no longer what the change left behind."""


def take_part(edit: Edit, pipe: redis.Redis, name: bytes, weight: Weight) -> Image | None:
    """What `edit` is about to change, read while the key is watched; None where it changes more than a part, or one too large."""
    if not edit.has_part():
        return None
    ask = edit.part(name)
    held = pipe.execute_command(*ask)
    payload = _pack(ask, edit.put_back(name, held))
    if len(payload) > MOST:
        return None
    shown = "  ".join(_text(each) for each in (*ask[2:], held))[:400]
    return Image(weight.type, payload, None, weight.length, [[shown, True]], ask, digest_of_answer(held))


def _text(word: Any) -> str:
    return (
        to_text(word[:200]) if isinstance(word, bytes) else "not there" if word is None else str(word)[:200]
    )


def question_of(payload: bytes) -> Command:
    """What tells how the part is now."""
    return _unpack(payload)[0]


def put_back(pipe: Pipeline, name: bytes, *, kind: str, payload: bytes, left: str | None) -> None:
    """Queue what puts the part back, with the key watched; `left` is the digest it must still have (None: whatever it is now).

    Raises NotFound, PartChanged, Conflict for a key of another type.
    """
    ask, *back = _unpack(payload)
    now = read_kind(pipe, name)
    if now != kind:
        raise Conflict(f"The key is a {now} now, it was a {kind}; nothing was written.", "Reload the key.")
    if left is not None and digest_of_answer(pipe.execute_command(*ask)) != left:
        raise PartChanged("It changed again since; nothing was written.",
                          "The Trash page can put the earlier value back over it.")  # fmt: skip
    pipe.multi()
    for command in back:
        pipe.execute_command(*command)


def _pack(ask: Command, back: list[Command]) -> bytes:
    return json.dumps([[_packed(word) for word in command] for command in (ask, *back)]).encode()


def _unpack(payload: bytes) -> list[Command]:
    return [tuple(_unpacked(word) for word in command) for command in json.loads(payload)]


def _packed(word: Any) -> Any:
    return {"b64": base64.b64encode(word).decode()} if isinstance(word, bytes) else word


def _unpacked(word: Any) -> Any:
    return base64.b64decode(word["b64"]) if isinstance(word, dict) else word
