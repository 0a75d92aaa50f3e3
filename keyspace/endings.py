"""What a TTL in the past deletes goes into the trash before: the key; of a hash that loses a field, the hash as it was, or the field
alone where that is too large.
"""

from dataclasses import dataclass
from typing import Any

import redis

from keyspace import trash
from keyspace.encoding import key_id
from keyspace.images import Image, Weight, preview_key, read_kind, take_image, weigh
from keyspace.models import TrashEntry
from keyspace.parts import take_part
from keyspace.servers import Connection
from keyspace.types.hash_edits import DeleteField
from keyspace.wire import Command


@dataclass(frozen=True)
class Ending:
    """An entry in the trash for what is about to go."""

    entry: TrashEntry
    image: Image

    def question(self, name: bytes) -> Command:
        """What to ask in the same MULTI: how it was left is what an undo will look for."""
        return self.image.question(name)

    def settle(self, left: Any, *, gone: bool) -> str:
        """The entry's id, once it was done."""
        if not gone:
            TrashEntry.objects.filter(pk=self.entry.pk).update(left=self.image.digest(left))
        return str(self.entry.pk)


def fits(connection: Connection, name: bytes, field: bytes | None) -> bool:
    """Whether there will be a way back: it is not too large, and the server dumps it for our user."""
    weight = _weigh(connection, name)
    return field is not None or (
        weight.fits_trash and take_image(connection, connection.redis, name, weight, []) is not None
    )


def keep_ending(connection: Connection, pipe: redis.Redis, name: bytes, field: bytes | None) -> Ending | None:
    """Kept before it goes, with the key watched. None where it does not fit, or the server does not dump it."""
    weight = _weigh(connection, name)
    if weight.fits_trash if field is None else weight.fits_edit:
        image = take_image(connection, pipe, name, weight, preview_key(connection, name, weight))
    else:
        image = None if field is None else _field_alone(connection, pipe, name, field, weight)
    if image is None:
        return None
    why = TrashEntry.Why.DELETED if field is None else TrashEntry.Why.EDITED
    return Ending(trash.keep(connection, name, image, why=why, operation="set_ttl"), image)


def _weigh(connection: Connection, name: bytes) -> Weight:
    return weigh(connection, connection.redis, name, read_kind(connection.redis, name))


def _field_alone(
    connection: Connection, pipe: redis.Redis, name: bytes, field: bytes, weight: Weight
) -> Image | None:
    edit = DeleteField(element=key_id(field))
    edit.supports = connection.supports
    edit.read_subject(pipe, name)
    return take_part(edit, pipe, name, weight)
