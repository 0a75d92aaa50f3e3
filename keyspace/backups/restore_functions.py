"""Function libraries: taken as one dump where the target reads it, else loaded anew from their code."""

import redis

from keyspace.backups.restore_source import Source
from keyspace.backups.restore_target import Target
from keyspace.encoding import to_text
from keyspace.servers import Client

_EMPTY_DUMP = 10
"""Bytes of version and checksum."""
DONE = "The function libraries were restored."


def restore_functions(target: Target, source: Source, *, emptied: bool) -> str:
    """On every primary; in words what came of it. Where the target was not emptied no library is overwritten: they have no trash."""
    libraries = source.functions()
    if not libraries or len(libraries) <= _EMPTY_DUMP:
        return ""
    try:
        for client in target.primaries():
            client.execute_command("FUNCTION", "RESTORE", libraries, "FLUSH" if emptied else "APPEND")
    except redis.ResponseError as error:
        if "DUMP payload" not in str(error):
            return f"The function libraries were not restored: {error}."
        return _load(target, source.function_code(), emptied=emptied)
    return DONE


def _load(target: Target, libraries: list[bytes], *, emptied: bool) -> str:
    refused: dict[str, str] = {}
    for client in target.primaries():
        try:
            if emptied:
                client.execute_command("FUNCTION", "FLUSH")
            for code in libraries:
                _load_one(client, code, refused)
        except redis.ResponseError as error:
            return f"The function libraries were not restored: {error}."
    told = "; ".join(f"{first}: {why}" for first, why in refused.items())
    return f"Function libraries were not restored: {told}." if refused else DONE


def _load_one(client: Client, code: bytes, refused: dict[str, str]) -> None:
    try:
        client.execute_command("FUNCTION", "LOAD", code)
    except redis.ResponseError as error:
        refused[to_text(code.partition(b"\n")[0])[:80]] = str(error)
