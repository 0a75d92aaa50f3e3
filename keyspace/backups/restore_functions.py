"""Function libraries: taken as one dump where there is one and the target reads it, else loaded one by one from their code."""

from collections.abc import Sequence

import redis

from keyspace.backups.restore_target import Target
from keyspace.backups.surroundings import EMPTY_DUMP, Libraries, Library, library_names, read_libraries
from keyspace.servers import Client

DONE = "The function libraries were restored."
_BY_CODE = ("DUMP payload", "already exists")
_UNREAD = "no server here reads the form in which the backup has them"


def restore_functions(target: Target, libraries: Libraries, *, emptied: bool) -> str:
    """On every primary; in words what came of it. Where the target was not emptied no library is overwritten: they have no trash."""
    dump = libraries.dump()
    if dump is not None and len(dump) <= EMPTY_DUMP:
        return ""
    try:
        if dump is not None:
            for client in target.primaries():
                client.execute_command("FUNCTION", "RESTORE", dump, "FLUSH" if emptied else "APPEND")
            return DONE
    except redis.ResponseError as error:
        if not any(words in str(error) for words in _BY_CODE):
            return f"The function libraries were not restored: {error}."
    code = libraries.code()
    if code is None:
        return f"The function libraries were not restored: {_UNREAD}."
    return _load(target, code, emptied=emptied) if code else ""


def _load(target: Target, libraries: Sequence[Library], *, emptied: bool) -> str:
    refused: dict[str, str] = {}
    for client in target.primaries():
        try:
            if emptied:
                client.execute_command("FUNCTION", "FLUSH")
            for library in libraries:
                _load_one(client, library, refused)
        except redis.ResponseError as error:
            return f"The function libraries were not restored: {error}."
    told = "; ".join(f"{name[:80]}: {why}" for name, why in refused.items())
    rest = len(libraries) - len(refused)
    others = f" The other {rest} {'is' if rest == 1 else 'are'} there." if rest else ""
    return f"Function libraries were not restored: {told}.{others}" if refused else DONE


def _load_one(client: Client, library: Library, refused: dict[str, str]) -> None:
    try:
        client.execute_command("FUNCTION", "LOAD", library.code)
    except redis.ResponseError as error:
        if not _has(client, library):
            refused[library.name] = str(error)[:200]


def _has(client: Client, library: Library) -> bool:
    try:
        return any(each.code == library.code for each in read_libraries(client))
    except redis.ResponseError:
        return False


def foresee_functions(target: Target, libraries: Libraries, *, emptied: bool) -> str:
    """What a restore would do with them."""
    dump = libraries.dump()
    if dump is not None and len(dump) <= EMPTY_DUMP:
        return ""
    code = libraries.code()
    if code is None:
        return "The backup has function libraries; which, no server here can tell."
    there = set() if emptied else {name for client in target.primaries() for name in library_names(client)}
    new = [library.name[:80] for library in code if library.name not in there]
    left = [library.name[:80] for library in code if library.name in there]
    told = [f"Function libraries that would be restored: {', '.join(new)}."] if new else []
    told += [f"Function libraries that are there already, and left alone: {', '.join(left)}."] if left else []
    return " ".join(told)
