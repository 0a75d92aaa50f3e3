"""One module for each Redis type. A new type is a KeyType here, its template, and its name in TYPES."""

from keyspace.types.base import KeyType
from keyspace.types.hash import HashType
from keyspace.types.json import JsonType
from keyspace.types.list import ListType
from keyspace.types.set import SetType
from keyspace.types.stream import StreamType
from keyspace.types.string import StringType
from keyspace.types.unsupported import UnsupportedType
from keyspace.types.zset import ZsetType

TYPES: dict[str, KeyType] = {
    each.name: each
    for each in (StringType(), HashType(), ListType(), SetType(), ZsetType(), StreamType(), JsonType())
}
"""By what TYPE answers."""
UNSUPPORTED = UnsupportedType()


def type_of(name: str) -> KeyType:
    """The KeyType for an answer of TYPE; the one that knows little for a type of a module that is not known here."""
    return TYPES.get(name, UNSUPPORTED)


__all__ = ["TYPES", "UNSUPPORTED", "KeyType", "type_of"]
