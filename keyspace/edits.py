"""The one service that runs edits: it watches, compares with what the person saw, writes once, audits, and keeps what was there."""

from dataclasses import dataclass
from typing import Any

import redis
from redis.client import Pipeline

from keyspace import audit, values
from keyspace.access import Permission, performs
from keyspace.errors import BadInput, Conflict, Denied, NotFound, explain
from keyspace.images import Image, Weight, is_dumped, preview_key, read_kind, take_image, weigh
from keyspace.parts import take_part
from keyspace.pending import WayBack, way_back
from keyspace.servers import Connection
from keyspace.transactions import commit
from keyspace.types import TYPES, type_of
from keyspace.types.base import Edit
from keyspace.types.editing import Subject
from keyspace.wire import Command

TRIES = 10
_BUILT_IN = frozenset({"string", "list", "hash", "set", "zset", "stream"})
EDITS: dict[str, tuple[str, type[Edit]]] = {
    edit.slug: (key_type.name, edit) for key_type in TYPES.values() for edit in key_type.edits
}
"""By slug: the type as TYPE answers, and the edit."""


class Masked(Denied):
    """The editor would show a value that is masked for the person."""


class Changed(Conflict):
    """What would be changed is no longer what the person saw: `theirs` is what it is now, `hidden` from whom it is masked."""

    def __init__(self, theirs: Subject, digest: str, *, hidden: bool) -> None:
        gone = theirs.value is None and not theirs.shape
        super().__init__(
            "What you were editing is gone meanwhile; nothing was written."
            if gone
            else "It changed while you were editing; nothing was written.",
            "Look at both, then take theirs, overwrite it, or merge by hand.",
        )
        self.theirs, self.digest, self.hidden = theirs, digest, hidden


@dataclass(frozen=True)
class Opened:
    """What the editor shows: the subject as it is now and its digest; `hidden` where the person may not see the value; whether what
    is changed is kept, so that it is `undoable`."""

    kind: str
    subject: Subject
    digest: str
    hidden: bool
    undoable: bool


@dataclass(frozen=True)
class Edited:
    """`entry` is what leads back (None: the key is too large for it, or the server does not dump it); `gone`: the key ended by it."""

    sentence: str
    entry: str | None
    gone: bool


def find_edit(slug: str) -> tuple[str, type[Edit]]:
    """(the type as TYPE answers, the edit). Raises NotFound."""
    if slug not in EDITS:
        raise NotFound("There is no such change.", "Open the key anew from the list.")
    return EDITS[slug]


@performs(Permission.EDIT_VALUES, audited=False)
def open_edit(connection: Connection, name: bytes, *, edit: Edit, reveal: str | None = None) -> Opened:
    """The subject of an edit, to be shown and compared later. Raises NotFound, Conflict for another type, Masked."""
    kind = find_edit(edit.slug)[0]
    hidden = values.is_masked(connection, name, reveal)
    if hidden and edit.reveals:
        raise Masked("The values of this key are masked.", "Reveal them first, if your role lets you.")
    edit.supports = connection.supports
    with connection.redis.pipeline(transaction=True) as pipe:
        pipe.watch(name)
        _check_type(pipe, name, kind)
        subject = edit.read_subject(pipe, name)
    if edit.element and subject.value is None and not subject.shape:
        raise NotFound("It is gone meanwhile: it expired or was deleted.", "Reload the key.")
    whole = weigh(connection, connection.redis, name, kind).fits_edit
    undoable = is_dumped(connection.redis, name) if whole else edit.has_part()
    return Opened(kind, subject, subject.digest(kind), hidden, undoable)


def _check_type(pipe: redis.Redis, name: bytes, kind: str) -> None:
    now = read_kind(pipe, name)
    if now != kind:
        raise Conflict(f"The key is a {now} now, it was a {kind}; nothing was written.", "Reload the key.")


@performs(Permission.EDIT_VALUES)
def edit_key(
    connection: Connection,
    name: bytes,
    *,
    edit: Edit,
    seen: str,
    overwrite: bool = False,
    reveal: str | None = None,
) -> Edited:
    """Run a valid edit on the key, if its subject still has the digest `seen`; `overwrite` does not ask, and is audited as such.

    The TTL stays as it is, and a key that is gone is not written. Raises NotFound, Conflict, Changed, BadInput for what cannot be
    written.
    """
    kind = find_edit(edit.slug)[0]
    edit.supports = connection.supports
    hidden = values.is_masked(connection, name, reveal)
    _check_type(connection.redis, name, kind)
    weight = weigh(connection, connection.redis, name, kind)
    preview = preview_key(connection, name, weight)
    with way_back(connection, name, edit.slug) as way:
        for _ in range(TRIES):
            with connection.redis.pipeline(transaction=True) as pipe:
                pipe.watch(name)
                _check_type(pipe, name, kind)
                subject = edit.read_subject(pipe, name)
                _compare(edit, subject, seen, kind, overwrite=overwrite, hidden=hidden)
                edit.before = subject.value
                image = (
                    take_image(connection, pipe, name, weight, preview)
                    if weight.fits_edit
                    else take_part(edit, pipe, name, weight)
                )
                way.prepare(image)
                answers = _write(pipe, name, edit, image, _length_question(name, weight))
            if answers is not None:
                break
        else:
            raise Conflict("The key changes all the time; nothing was written.", "Try again.")
        *own, left, there, length = answers
        entry = _entry(way, image, left, there=bool(there))
    _tell(edit, own, subject, weight, entry, overwrite)
    if _has_a_sure_length(weight):
        audit.tell(key_length_after=length)
    return Edited(edit.sentence(own), entry, gone=not there)


def _compare(edit: Edit, subject: Subject, seen: str, kind: str, *, overwrite: bool, hidden: bool) -> None:
    if not edit.guarded or overwrite:
        return
    digest = subject.digest(kind)
    if digest != seen:
        raise Changed(subject, digest, hidden=hidden)


def _write(pipe: Pipeline, name: bytes, edit: Edit, image: Image | None, length: Command) -> list[Any] | None:
    """The answers; the last three are what it left behind (as the image asks for it), whether the key exists, and its length.

    None when the key changed between reading and writing: nothing was written, so it may be tried again.
    """
    pipe.multi()
    edit.apply(pipe, name)
    pipe.execute_command(*(image.question(name) if image else ("EXISTS", name)))
    pipe.execute_command("EXISTS", name)
    pipe.execute_command(*length)
    return execute(pipe)


def _length_question(name: bytes, weight: Weight) -> Command:
    command = type_of(weight.type).length_command(name)
    return command if command and _has_a_sure_length(weight) else ("EXISTS", name)


def _has_a_sure_length(weight: Weight) -> bool:
    """Whether asking for it cannot fail: the server has answered it before, and no module has to make sense of a key that is gone."""
    return weight.length is not None and weight.type in _BUILT_IN


def _entry(way: WayBack, image: Image | None, left: Any, *, there: bool) -> str | None:
    """The entry that leads back; None where there is none: it is as it was, or there is no key any more for a part of it."""
    if image is None or image.is_still(left) or (image.ask is not None and not there):
        way.withdraw()
        return None
    return way.confirm(image, image.digest(left))


def execute(pipe: Pipeline) -> list[Any] | None:
    """EXEC, sent once; None when a watched key changed. What the server refuses to do is BadInput in its own words."""
    try:
        return commit(pipe)
    except redis.ResponseError as error:
        problem = explain(error)
        if problem.status != 502:
            raise
        raise BadInput(problem.sentence, "Nothing was written.") from error


def _tell(
    edit: Edit, own: list[Any], subject: Subject, weight: Weight, entry: str | None, overwrite: bool
) -> None:
    facts = {"change": edit.slug, "length_before": None if subject.value is None else len(subject.value)}
    facts |= {"key_length_before": weight.length, "trash": entry} | edit.facts(own)
    facts |= {"overwrote": True} if overwrite else {}
    audit.tell(**{fact: value for fact, value in facts.items() if value is not None})
