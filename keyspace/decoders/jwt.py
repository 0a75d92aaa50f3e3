"""JSON Web Tokens (RFC 7519): header and claims are shown. The signature is not checked: the console has no key, and says so."""

import base64
import binascii
import json
import re
import time
from typing import Any

from keyspace.decoders.base import DecodeError, Layer, Limits, Reading
from keyspace.decoders.notation import parse
from keyspace.decoders.structured import print_tree
from keyspace.decoders.times import instant
from keyspace.decoders.tree import Kind, Node, text

_TOKEN = re.compile(rb"(?:Bearer )?([A-Za-z0-9_-]{4,})\.([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]*)\Z")
_ENCRYPTED = re.compile(rb"[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){4}\Z")
_MOMENTS = (("iat", "issued"), ("nbf", "valid from"), ("exp", "expires"))


class Jwt(Reading):
    name, label = "jwt", "JWT"

    def detect(self, data: bytes, *, partial: bool = False) -> int:
        """Three parts, of which two are JSON objects, the first with an algorithm."""
        if partial or data.count(b".") != 2 or not _TOKEN.match(data):
            return 0
        return 90 if self.accepts(data) else 0

    def decode(self, data: bytes, limits: Limits, *, partial: bool = False) -> Layer:
        if partial:
            raise DecodeError("A token is told only from the whole of a value.")
        found = _TOKEN.match(data)
        if not found:
            encrypted = data.count(b".") == 4 and _ENCRYPTED.match(data)
            raise DecodeError("This token is encrypted (JWE): its claims cannot be read without the key."
                              if encrypted else "A JSON Web Token is three parts of base64 with dots between.")  # fmt: skip
        header, claims = (_object(part, limits) for part in found.groups()[:2])
        if not any(key.value == "alg" for key, _ in header.value):
            raise DecodeError("The first part of this token names no algorithm.")
        both = Node(Kind.MAP, [[text("header"), header], [text("claims"), claims]])
        return print_tree(
            both, limits, note="Not verified: the signature was not checked." + _moments(claims)
        )


def _object(part: bytes, limits: Limits) -> Node:
    """The JSON object in one part. Raises DecodeError."""
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise DecodeError("A part of this token is not JSON in base64.") from error
    node = parse(decoded, limits)
    if node.kind is not Kind.MAP:
        raise DecodeError("A part of this token is no JSON object.")
    return node


def _moments(claims: Node) -> str:
    """What the registered claims say of time, against now."""
    told = []
    for name, words in _MOMENTS:
        at = next((_seconds(value) for key, value in claims.value if key.value == name), None)
        shown = instant(at, 0) if at is not None else None
        if at is not None and shown:
            words = "expired" if name == "exp" and at <= time.time() else words
            told.append(f"{words} {shown.replace('T', ' ').replace('Z', ' UTC')}")
    return f" It says: {', '.join(told)}." if told else ""


def _seconds(node: Node) -> int | None:
    try:
        value: Any = json.loads(node.value) if node.kind is Kind.NUMBER else None
        return int(value) if value is not None else None
    except (ValueError, OverflowError):
        return None
