"""Whether a server takes the payloads of an archive: one example of each kind is tried, and no key is made by it.

RESTORE looks through a payload before it looks at the expiry; with one in the past it then answers OK and makes no key.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from keyspace.backups.dumps import Dump, payload_version, type_of_payload
from keyspace.backups.typed import TypedPiece
from keyspace.encoding import to_text
from keyspace.wire import Wire

EXAMPLES = 20
_PROBE = b"keyspace-console:probe:{%s}"
"""In the slot of the key itself, so that a node of a cluster answers for it."""
_MODULE = 10
"""Bytes at the beginning of a module's payload that name the module."""
NO_FIELD_TTLS = "fields of it have TTLs, which this server does not know"
Typed = Callable[[Dump], Iterable[TypedPiece]]


@dataclass
class Fit:
    """Keys looked at by what would become of them: `readable` go by their readable form, `no` cannot be written at all."""

    wire: Wire
    typed: Typed
    counts: dict[str, int] = field(default_factory=lambda: {"readable": 0, "no": 0})
    examples: dict[str, list[list[str]]] = field(default_factory=lambda: {"readable": [], "no": []})
    """For each of the two: [name, type, why]."""
    _known: dict[tuple[bytes, int], tuple[str, str]] = field(default_factory=dict)
    _taken: set[tuple[int, bytes]] = field(default_factory=set)
    """Kinds of which no further payload has to be looked at: type byte, and version as it stands in the payload."""

    def look_at(self, page: Iterable[Dump]) -> None:
        for dump in page:
            if (dump.payload[0], dump.payload[-10:-8]) not in self._taken:
                self._look(dump)

    def _look(self, dump: Dump) -> None:
        module = type_of_payload(dump.payload) == "module"
        kind = dump.payload[: _MODULE if module else 1], payload_version(dump.payload)
        if kind not in self._known:
            self._known[kind] = self._try(dump)
        verdict, why = self._known[kind]
        if not verdict and not module:
            self._taken.add((dump.payload[0], dump.payload[-10:-8]))
        if verdict:
            self.counts[verdict] += 1
            if len(self.examples[verdict]) < EXAMPLES:
                self.examples[verdict].append([to_text(dump.name)[:200], type_of_payload(dump.payload), why])

    def _try(self, dump: Dump) -> tuple[str, str]:
        """(verdict, why); ("", "") when the server takes it, and when it refuses for a reason that lies not in the payload."""
        answer = self.wire.call_many([("RESTORE", _PROBE % dump.name, 1, dump.payload, "ABSTTL")])[0]
        if not isinstance(answer, Exception):
            return "", ""
        why = str(answer)
        if "Bad data format" not in why and "DUMP payload" not in why:
            return "", ""
        return self._by_readable_form(dump, why[:200])

    def _by_readable_form(self, dump: Dump, why: str) -> tuple[str, str]:
        verdict = "no"
        for piece in self.typed(dump):
            verdict = "readable"
            if piece.type != "hash":
                break
            if any(len(row) > 2 for row in piece.piece["value"]):
                known = self.wire.call_many([("COMMAND", "INFO", "HPEXPIREAT")])[0]
                unknown = isinstance(known, list) and not any(known)
                return ("no", NO_FIELD_TTLS) if unknown else (verdict, why)
        return verdict, why

    def as_dict(self) -> dict[str, Any]:
        return {"counts": self.counts, "examples": self.examples}
