"""How the bytes of a value may be read: one module a format, chains of them, and the way back.

`decode_value` is what pages call, `encode_value` what editors call. To add a format: a module with a Decoder (`base.py` says
what that is), its line in `DECODERS` in `recognition.py`, its samples in the tests.
"""

from keyspace.decoders.base import EDITED, LIMITS, ROW, DecodeError, Decoder, Limits
from keyspace.decoders.chain import Decoded, decode_value, encode_value
from keyspace.decoders.recognition import DECODERS

__all__ = [
    "DECODERS",
    "EDITED",
    "LIMITS",
    "ROW",
    "DecodeError",
    "Decoded",
    "Decoder",
    "Limits",
    "decode_value",
    "encode_value",
]
