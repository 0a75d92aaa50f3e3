"""Which server reads the dumps of which: by the versions they tell, before anything is sent."""

from dataclasses import dataclass

import redis

from keyspace.servers import Connection

SHARED = 11
"""The last RDB version that Redis and Valkey both read; from the next on each goes its own way."""


@dataclass(frozen=True)
class DumpFormat:
    """The family (Redis, Valkey) of a server, and the RDB version in which it dumps."""

    family: str
    version: int

    def reads(self, other: "DumpFormat") -> bool:
        """Whether it takes what `other` dumps: nothing later, of the other family nothing beyond SHARED."""
        return other.version <= (self.version if other.family == self.family else min(self.version, SHARED))


def dump_format(connection: Connection) -> DumpFormat | None:
    """Of the server, by its own version; None where it does not tell."""
    try:
        told = connection.redis.info("server")
    except redis.ResponseError:
        return None
    valkey = str(told.get("valkey_version", ""))
    if valkey:
        return DumpFormat("Valkey", 80 if int(valkey.partition(".")[0]) >= 9 else 11)
    major, _, rest = str(told.get("redis_version", "0.0")).partition(".")
    minor = int(rest.partition(".")[0] or 0)
    if int(major) >= 8 or (int(major), minor) >= (7, 4):
        return DumpFormat("Redis", 12)
    return DumpFormat("Redis", 11 if (int(major), minor) >= (7, 2) else 10 if int(major) == 7 else 9)
