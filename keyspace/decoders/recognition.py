"""All decoders, and which of them knows given bytes best."""

from keyspace.decoders.avro import Avro
from keyspace.decoders.base import Decoder
from keyspace.decoders.base64 import Base64
from keyspace.decoders.bitmap import Bitmap
from keyspace.decoders.brotli import Brotli
from keyspace.decoders.bson import Bson
from keyspace.decoders.cbor import Cbor
from keyspace.decoders.gzip import Gzip
from keyspace.decoders.hex import Hex
from keyspace.decoders.json import Json
from keyspace.decoders.jwt import Jwt
from keyspace.decoders.lz4 import Lz4
from keyspace.decoders.msgpack import Msgpack
from keyspace.decoders.number import Number
from keyspace.decoders.php import Php
from keyspace.decoders.pickle import Pickle
from keyspace.decoders.snappy import Snappy
from keyspace.decoders.text import Text
from keyspace.decoders.uuid import Uuid
from keyspace.decoders.zlib import Zlib
from keyspace.decoders.zstd import Zstd

DECODERS: tuple[Decoder, ...] = (
    Text(), Json(), Hex(), Base64(), Number(), Uuid(), Jwt(), Msgpack(), Cbor(), Bson(), Avro(), Php(), Pickle(),
    Gzip(), Zlib(), Zstd(), Lz4(), Brotli(), Snappy(), Bitmap(),
)  # fmt: skip
"""In the order in which they are offered."""

BY_NAME = {decoder.name: decoder for decoder in DECODERS}
SURE = 90
"""From this confidence on a decoder that then fails has met damaged data, and that is told."""


def candidates(data: bytes, *, partial: bool = False) -> list[tuple[Decoder, int]]:
    """The decoders that claim `data`, the surest first."""
    claims = [(decoder, decoder.detect(data, partial=partial)) for decoder in DECODERS]
    return sorted([claim for claim in claims if claim[1]], key=lambda claim: -claim[1])


def recognise(data: bytes, *, partial: bool = False) -> tuple[Decoder, int]:
    """The decoder that knows `data` best, and how sure it is. There is always one: hex."""
    return candidates(data, partial=partial)[0]
